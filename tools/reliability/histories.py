"""Data that change between commands: refused, or the results of a run from scratch."""
import hashlib
from pathlib import Path
import shutil

import numpy
from PIL import Image
import yaml

from common import command, content, problem_of
from finetune.training.extensions import Evaluator

HOME, SCRATCH = Path('histories'), Path('scratch')
OWN, FOUND = Path('configs/own/own.yml'), Path('configs/own/found.yml')
CLASSES = 'ant', 'bee', 'cat', 'dog'
N_HISTORIES, N_STEPS = 30, 7
SETTINGS = {
    'data': {'dataset': 'folder', 'root': 'photos', 'parts': 'GLOBAL', 'input_size': 32,
             'test_share': .4},
    'model': {'architecture': 'small_cnn', 'encoding': 'gap'},
    'training': {'epochs': 2, 'lr_epochs': [1], 'update_size': 8, 'batch_size': 8}}
DETECTOR = {'cnn': str(OWN), 'input_size': 32, 'sigma': 1, 'smallest_box': 8, 'n_parts': 2}


def histories(random):
    """Pictures and classes renamed, removed, added and exchanged before any command."""
    for number in range(N_HISTORIES):
        for folder in HOME, SCRATCH:
            shutil.rmtree(folder, ignore_errors=True)
        history = _History(random)
        problem = next(filter(None, (history.step() for _ in range(N_STEPS))), None)
        yield problem and f'history {number}, {", ".join(history.steps)}: {problem}'


class _History:

    """Random changes and commands, and what is known about the results."""

    def __init__(self, random):
        self.random, self.steps, self.n_new = random, [], 0
        self.data_of, self.from_scratch = {}, {}    # by run; by data and run
        for name, sections in (OWN, {}), (FOUND, {
                'data': {'parts': 'CS_PARTS', 'box_frame': 32, 'part_input_size': 32},
                'detector': DETECTOR}):
            path = HOME / name
            path.parent.mkdir(parents=True, exist_ok=True)
            tree = {key: {**SETTINGS.get(key, {}), **sections.get(key, {})}
                    for key in {**SETTINGS, **sections}}
            path.write_text(yaml.safe_dump(tree))
        for name in CLASSES[:3]:
            for _ in range(6):
                self._add(name)
        shutil.copytree(HOME / 'photos', HOME / '.first')

    def step(self):
        """Tries something; returns what is wrong, if anything."""
        actions = [self._change, self._change, self._go_back, self._train, self._train,
                   self._interrupt, self._evaluate, self._suite, self._report]
        action = actions[self.random.randint(len(actions))]
        self.steps.append(action.__name__[1:])
        return action()

    def _picture(self, path):
        pixels = self.random.randint(256, size=(24, 24, 3)).astype(numpy.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    def _add(self, name):
        self.n_new += 1
        self._picture(HOME / 'photos' / name / f'{self.n_new}.png')

    def _change(self):
        kind = self.random.randint(8)
        self.steps[-1] += f' {kind}'
        folders = sorted(path for path in (HOME / 'photos').iterdir() if path.name in CLASSES)
        pictures = sorted((HOME / 'photos').glob('[abcd]*/*.png'))
        one, other = (pictures[i] for i in self.random.permutation(len(pictures))[:2])
        if kind == 0:
            one.rename(one.with_name(f'x{one.name}'))
        elif kind == 1:
            one.unlink()
        elif kind == 2:
            self._add(folders[0].name)
        elif kind == 3:
            self._picture(one)
        elif kind == 4:
            before = one.read_bytes(), other.read_bytes()
            one.write_bytes(before[1])
            other.write_bytes(before[0])
        elif kind == 5:
            unused = sorted(set(CLASSES) - {folder.name for folder in folders})
            folders[self.random.randint(len(folders))].rename(HOME / 'photos' / unused[0])
        elif kind == 6:
            folders[0].rename(HOME / 'photos/aside')
            folders[1].rename(folders[0])
            (HOME / 'photos/aside').rename(folders[1])
        else:
            one.rename(folders[-1] / f'y{one.name}')

    def _go_back(self):
        boxes = HOME / 'photos/CS_parts'
        if boxes.exists():
            shutil.move(boxes, HOME / '.boxes')
        shutil.rmtree(HOME / 'photos')
        shutil.copytree(HOME / '.first', HOME / 'photos')
        if (HOME / '.boxes').exists():
            shutil.move(HOME / '.boxes', boxes)

    def _train(self):
        config, seed = (OWN, FOUND)[self.random.randint(2)], self.random.randint(2)
        return self._run('train', config, '--seed', seed)

    def _interrupt(self):
        return self._run('train', OWN, '--seed', 1, run_command=_interrupted)

    def _evaluate(self):
        runs = sorted(self.data_of)
        if runs:
            return self._run('evaluate', runs[self.random.randint(len(runs))])

    def _suite(self):
        return self._run('train', OWN, '--seeds', 2)

    def _report(self):
        code, error = command('report', folder=HOME)
        if code != 0:
            return problem_of(code, error)
        table = (HOME / 'results/report/runs.csv').read_text().splitlines()[1:]
        data = {self.data_of[run] for run in self.data_of if any(run in row for row in table)}
        return f'a report mixes {len(data)} data sets' if len(data) > 1 else None

    def _run(self, *arguments, run_command=command):
        before = self._results()
        code, error = run_command(*arguments, folder=HOME)
        if code not in (0, 1, 2, 130) or 'Traceback' in error:
            return f'exit code {code}: {error[-200:]}'
        for run, evaluation in self._results().items():
            data = _digest(HOME / 'photos')
            if before.get(run) == evaluation:
                if code == 0 and self.data_of[run] != data and run in map(str, arguments):
                    return f'{run}: results on other data are left without a word'
                continue
            if self.data_of.setdefault(run, data) != data:
                return f'{run}: results on other data are overwritten'
            if evaluation != self._scratch(run, data):
                return f'{run}: other results than a run from scratch'

    @staticmethod
    def _results():
        return {str(path.parent.relative_to(HOME)): (path.parent / 'predictions.csv').read_bytes()
                for path in HOME.glob('results/own/*/seed?/evaluation.yml')}

    def _scratch(self, run, data):
        """Predictions of a run from scratch on the data as they are."""
        if (data, run) not in self.from_scratch:
            shutil.rmtree(SCRATCH, ignore_errors=True)
            shutil.copytree(HOME / 'configs', SCRATCH / 'configs')
            shutil.copytree(HOME / 'photos', SCRATCH / 'photos',
                            ignore=shutil.ignore_patterns('CS_parts'))
            config, seed = Path(run).parent.name, run[-1]
            command('train', f'configs/own/{config}.yml', '--seed', seed, folder=SCRATCH)
            self.from_scratch[data, run] = (SCRATCH / run / 'predictions.csv').read_bytes()
        return self.from_scratch[data, run]


def _interrupted(*arguments, **options):
    """A command that is interrupted at its second evaluation."""
    evaluate, n = Evaluator.evaluate, []

    def interrupt(evaluator):
        n.append(1)
        if len(n) == 2:
            raise KeyboardInterrupt
        return evaluate(evaluator)

    Evaluator.evaluate = interrupt
    try:
        return command(*arguments, **options)
    finally:
        Evaluator.evaluate = evaluate


def _digest(photos):
    files = sorted((str(path), data) for path, data in content(photos).items()
                   if path.parts[0] != 'CS_parts')
    return hashlib.sha256(repr(files).encode()).hexdigest()
