"""What signals, damaged files and careless users do: a table of what was tried and what survived.

    python tests/reliability.py                         # about ten minutes on two CPU cores
    python tests/reliability.py --seed 1 archives layer # some rows, other damages

Survived: the same results as without, or one sentence and exit code 2. Everything happens in a
temporary folder. The exit code is 1 if anything failed.
"""
import fve_layer    # (before Chainer)

import argparse
import collections
import contextlib
import io
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings

import chainer
import numpy
import yaml

from finetune import cli
from finetune.config import read_config
from finetune.data import data_sets
from finetune.data.dataset import PartDataset
from finetune.data.minibirds import drawing
from finetune.errors import InputError
from finetune.models import pretrained
from finetune.models.part_classifier import build_classifier
from finetune.report.results import Results
from finetune.runs.folder import RunFolder

PROJECT = Path(__file__).resolve().parents[1]
CONFIG, RUN = Path('configs/minibirds/gt_fve.yml'), Path('results/minibirds/gt_fve/seed0')
SETTINGS = {
    'data': {'dataset': 'minibirds', 'root': 'birds', 'parts': 'GT', 'missing': 'mask',
             'input_size': 32, 'part_input_size': 32,
             'drawing': {'n_species': 3, 'n_train': 4, 'n_test': 2, 'size': 48}},
    'model': {'architecture': 'small_cnn', 'encoding': 'fve', 'n_components': 2},
    'training': {'epochs': 3, 'lr_epochs': [1], 'update_size': 6, 'batch_size': 4}}
SCALARS = ['2020-13-45', '!!int abc', '!!bool x', '!!timestamp x', '0x_', '9' * 6000, '[' * 3000,
           '&a [*a]', '{? [a]: 1}', '1e999', '.nan', '~', '""', '-1', '[-1]', '{a: 1}', '\\0', '*b',
           '!!python/object/apply:os.getcwd []', 'true', '1_0', '@', '- -', '<<: 1', '0b_']


def damaged(content, random):
    """Bytes changed, cut, doubled or replaced."""
    content = bytearray(content)
    for _ in range(random.randint(1, 10)):
        content[random.randint(len(content))] = random.randint(256)
    kind = random.randint(6)
    if kind == 0:
        return bytes(content[:random.randint(len(content))])
    if kind == 1:
        place = random.randint(len(content))
        return bytes(content[:place] + content[random.randint(len(content)):])
    if kind == 2 and random.randint(5) == 0:
        return [b'', bytes(1000), b'<html></html>', b'PK\3\4'][random.randint(4)]
    return bytes(content)


def tried(function, *arguments):
    """What is wrong with a call, if anything: an exception other than ``InputError``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return function(*arguments)
    except InputError as error:
        if len(str(error)) > 1500 or '\n' in str(error):
            return f'no short sentence: {str(error)[:60]!r}'
    except Exception as error:
        return f'{type(error).__name__}: {str(error)[:60]}'


def archives(random):
    """Damaged weights: refused, or the same arrays."""
    config, content = read_config(CONFIG), (RUN / 'model.npz').read_bytes()
    model = build_classifier(config, data_sets.load(config.data))
    expected = dict(numpy.load(RUN / 'model.npz'))
    path = Path('damaged.npz')

    def load():
        pretrained.load_classifier(model, path)
        target = chainer.serializers.DictionarySerializer()
        target.save(model)
        if any(not numpy.array_equal(target.target[key], expected[key]) for key in expected):
            return 'other weights without a word'

    for _ in range(5000):
        path.write_bytes(damaged(content, random))
        yield tried(load)


def files(random):
    """Damaged text files of a run, read for the report."""
    for name in ('config.yml', 'log', 'evaluation.yml', 'predictions.csv'):
        content = (RUN / name).read_bytes()
        for _ in range(100):
            (RUN / name).write_bytes(damaged(content, random))
            yield tried(lambda: Results() and None)
        (RUN / name).write_bytes(content)
    content = (RUN / 'names.yml').read_bytes()
    for _ in range(100):
        (RUN / 'names.yml').write_bytes(damaged(content, random))
        yield tried(lambda: RunFolder(RUN).read_names() and None)
    (RUN / 'names.yml').write_bytes(content)


def settings(random):
    """Malformed values of random settings, by --set and in files."""
    names = [f'{section}.{name}' for section, tree in SETTINGS.items() for name in tree]
    for i in range(300):
        value, name = SCALARS[random.randint(len(SCALARS))], names[random.randint(len(names))]
        started = time.monotonic()
        if i % 2:
            problem = tried(lambda: read_config(CONFIG, [f'{name}={value}']) and None)
        else:
            text = CONFIG.read_text()
            place = random.randint(len(text))
            Path('malformed.yml').write_text(text[:place] + value + text[place:])
            problem = tried(lambda: read_config('malformed.yml') and None)
        yield problem or (f'{value[:20]} took seconds' if time.monotonic() - started > 3 else None)


def annotations(random):
    """Damaged annotation files and images."""
    config = read_config(CONFIG)

    def load():
        lists = data_sets.load(config.data)
        for record in lists.train[:3]:
            PartDataset([record], config.data, train=True, seed=0)[0]

    paths = [path for path in sorted(Path('birds').rglob('*'))
             if path.suffix == '.txt'] + [data_sets.load(config.data).train[0].path] * 3
    for _ in range(200):
        path = paths[random.randint(len(paths))]
        content = path.read_bytes()
        path.write_bytes(damaged(content, random))
        yield tried(load)
        path.write_bytes(content)


def layer(random):
    """Random calls of random layers: finite, or a ValueError for what cannot be."""
    kinds = fve_layer.FVELayer, fve_layer.GMMLayer, fve_layer.GradientFVELayer

    def call(link, x, mask):
        with chainer.using_config('train', bool(random.randint(4))):
            y = link(x, mask)
        finite = [chainer.as_array(array) for array in (y, link.mean, link.var, link.weight)]
        if numpy.isfinite(x).all() and not all(numpy.isfinite(a).all() for a in finite):
            return 'not finite'
        if abs(float(chainer.as_array(link.weight).sum()) - 1) > 1e-4:
            return 'weights do not sum to 1'

    for _ in range(2000):
        d, k = random.randint(1, 9), random.randint(1, 7)
        link = kinds[random.randint(3)](d, k, norm_filter=bool(random.randint(2)),
                                        seed=random.randint(1000))
        for _ in range(20):
            n, t = random.randint(1, 5), random.randint(0, 12)
            x = (random.randn(n, t, d) * 10. ** random.randint(-4, 4)).astype(
                ['f', 'd'][random.randint(2)])
            mask = None if random.randint(2) else random.uniform(size=(n, t)) < .7
            if random.randint(20) == 0 and x.size and not isinstance(
                    link, fve_layer.GradientFVELayer) and link.is_seeded:
                x.flat[random.randint(x.size)] = [numpy.nan, numpy.inf][random.randint(2)]
            yield tried(call, link, x, mask)


def process(*arguments):
    return subprocess.Popen(
        [sys.executable, '-m', 'finetune', *map(str, arguments)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, 'PYTHONPATH': str(PROJECT)},
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (1, 2, 15)])


def left_over(group):
    """Processes of a session that are still there after some seconds."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        alive = [line for line in subprocess.run(
            ['ps', '-o', 'pid=', '-s', str(group)], capture_output=True, text=True
        ).stdout.split()]
        if not alive:
            return False
        time.sleep(.2)
    return True


def arrays(folder):
    with numpy.load(Path(folder) / 'model.npz') as archive:
        return {key: archive[key].tobytes() for key in archive.files}


def kills(random):
    """Killed by SIGKILL at random times, five times each, and started again."""
    expected, seconds = arrays(RUN), 4.
    for i in range(8):
        out, workers = f'killed{i}', i % 2
        command = 'train', CONFIG, '--set', f'training.workers={workers}', '--output', out
        for _ in range(5):
            running = process(*command)
            time.sleep(random.uniform(1, seconds))
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
            yield 'a process is left' if left_over(running.pid) else None
        running = process(*command)
        error = running.communicate()[1]
        yield (None if running.returncode == 0 and arrays(out) == expected
               else f'not the same after kills: {error[-80:]}')


def loaders(random):
    """One of two loaders killed, by each signal, at a random time."""
    for i in range(12):
        running = process('train', CONFIG, '--set', 'training.workers=2', '--set',
                          'training.epochs=200', '--output', f'loader{i}')
        while not running.stdout.readline().startswith('epoch'):
            pass
        time.sleep(random.uniform(0, .5))
        number = [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV][i % 3]
        os.kill(_loaders_of(running.pid)[0], number)
        try:
            error = running.communicate(timeout=60)[1]
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            yield 'hangs'
            continue
        is_told = running.returncode == 2 and error.count('\n') == 1 and 'images died' in error
        yield None if is_told and not left_over(running.pid) else f'{running.returncode} {error}'


def _loaders_of(pid):
    """The fork server's children, while the main process has one server and one tracker."""
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    of_children = [Path(f'/proc/{child}/task/{child}/children').read_text().split()
                   for child in children]
    return [int(grandchild) for grandchild in max(of_children, key=len)]


def signals(random):
    """A run and a suite interrupted by each signal, at a random time."""
    for command in (['train', CONFIG, '--set', 'training.epochs=200', '--set',
                     'training.workers=1', '--output', 'interrupted'],
                    ['train', CONFIG, '--seeds', '5,6', '--jobs', '2', '--set',
                     'training.epochs=200']):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            running = process(*command)
            time.sleep(random.uniform(3, 6))
            running.send_signal(number)
            error = running.communicate(timeout=60)[1]
            is_sound = running.returncode == 128 + number and error.count('\n') == 1
            yield None if is_sound and not left_over(running.pid) else (
                f'{running.returncode} {error[-80:]}')


ROWS = {function.__name__: function for function in (
    archives, files, settings, annotations, layer, kills, loaders, signals)}


def prepare():
    """A small data set, a config and a finished run in the working folder."""
    CONFIG.parent.mkdir(parents=True)
    CONFIG.write_text(yaml.safe_dump(SETTINGS))
    drawing.prepare('birds', **SETTINGS['data']['drawing'])
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(['train', str(CONFIG)]) == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('rows', nargs='*', metavar='ROW', help=f'of {", ".join(ROWS)}')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare()
        print('| what | tried | survived | failed | s |\n|---|---|---|---|---|', flush=True)
        for name in options.rows or ROWS:
            started = time.monotonic()
            problems = list(ROWS[name](numpy.random.RandomState(options.seed)))
            failed = collections.Counter(filter(None, problems))
            n_failed += sum(failed.values())
            print(f'| {ROWS[name].__doc__.split(":")[0].rstrip(".")} | {len(problems)} | '
                  f'{len(problems) - sum(failed.values())} | {sum(failed.values())} | '
                  f'{time.monotonic() - started:.0f} |', flush=True)
            for problem, n in failed.most_common(5):
                print(f'{n} times: {problem}', file=sys.stderr, flush=True)
        os.chdir('/')
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if n_failed else 0


if __name__ == '__main__':
    sys.exit(main())
