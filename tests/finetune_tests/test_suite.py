"""Many configs and seeds at once, through the command line."""
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from chainer.testing import attr
import numpy
import pytest
import yaml

from finetune import cli, suite
from finetune.errors import InputError


def run(*arguments):
    return cli.main(['train', *map(str, arguments)])


@pytest.fixture
def configs(write_config, tmp_path):
    """Two small experiments and the pre-training of one of them, in a folder."""
    short = {'epochs': 1}
    (tmp_path / 'configs/birds').mkdir(parents=True)
    write_config('configs/birds/gap.yml', model={'encoding': 'gap'}, data={'missing': 'zero'},
                 training=short)
    write_config('configs/birds/fve.yml', training=short)
    return 'configs/birds'


def evaluations():
    """Every evaluation below the results, byte for byte."""
    return {path.parent: (path.read_bytes(), (path.parent / 'evaluation.yml').read_bytes())
            for path in Path('results').rglob('predictions.csv')}


def test_every_config_runs_with_every_seed_and_is_skipped_afterwards(configs, capfd):
    assert run(configs, '--seeds', 2) == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed[0].startswith('4 runs, 0 of them finished before')
    assert len(printed) == 5
    for i, (line, name) in enumerate(zip(printed[1:], ('fve seed 0', 'gap seed 0', 'fve seed 1',
                                                       'gap seed 1')), 1):
        out = Path('results/birds', name.replace(' seed ', '/seed'))
        accuracy = yaml.safe_load((out / 'evaluation.yml').read_text())['accuracy']
        assert re.fullmatch(rf' +{i} of 4   birds/{name}: {100 * accuracy:.1f} % in \d+:\d\d; '
                            r'about \d+:\d\d left', line)
        assert f'{out}: test accuracy' in out.with_suffix('.txt').read_text()
    times = {path: path.stat().st_mtime_ns for path in Path('results').rglob('*')}
    assert run(configs, '--seeds', 2) == 0
    assert capfd.readouterr().out.startswith('4 runs, 4 of them finished before')
    assert {path: path.stat().st_mtime_ns for path in Path('results').rglob('*')} == times


@pytest.mark.parametrize('name', ['evaluation.yml', 'predictions.csv'])
def test_run_that_is_not_evaluated_is_not_finished(name, configs, capfd):
    """As after a kill between the two, or with results of a version that did not write one."""
    assert run(configs, '--seeds', 1) == 0
    before = evaluations()
    Path('results/birds/fve/seed0', name).unlink()
    assert run(configs, '--seeds', 1) == 0
    assert '2 runs, 1 of them finished before' in capfd.readouterr().out
    assert evaluations() == before


def test_runs_of_a_suite_are_those_of_single_commands(configs):
    assert run(configs, '--seeds', '1,3', '--jobs', 2, '--set', 'training.batch_size=3') == 0
    many = evaluations()
    Path('results').rename('results_of_suite')
    for name in ('fve', 'gap'):
        for seed in (1, 3):
            assert run(f'{configs}/{name}.yml', '--seed', seed,
                       '--set', 'training.batch_size=3') == 0
    assert evaluations() == many and len(many) == 4


def test_failed_run_does_not_stop_the_others(configs, write_config, capfd):
    write_config(f'{configs}/bad.yml', model={'pretrained': 'none.npz'})
    assert run(configs, '--seeds', 1) == 1
    out, error = capfd.readouterr()
    assert '1 of 3   birds/bad seed 0: FAILED with exit code 2: finetune: none.npz' in out
    assert re.findall('Failed: .*', error) == [
        'Failed: birds/bad seed 0: exit code 2: finetune: none.npz: there is no such file of '
        'weights; correct model.pretrained.; see results/birds/bad/seed0.txt']
    assert len(evaluations()) == 2


def test_results_of_other_settings_are_no_results(configs, capfd):
    assert run(configs, '--seeds', 1) == 0
    assert run(configs, '--seeds', 1, '--set', 'model.ema_decay=0.8') == 1
    out, error = capfd.readouterr()
    assert '2 runs, 0 of them finished before' in out
    assert error.count('was made with another model.ema_decay') == 2
    assert run(configs, '--seeds', 1, '--set', 'training.workers=1') == 0
    assert '2 runs, 2 of them finished before' in capfd.readouterr().out


# Who runs the tests in the background may have them ignore SIGINT, which children inherit.
MAIN = """import signal, sys
from finetune import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(cli.main())"""


def process(*arguments, **options):
    return subprocess.Popen([sys.executable, '-c', MAIN, 'train', *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_interrupted_suite_ends_its_runs_and_goes_on(configs, write_config):
    for name in ('fve', 'gap'):
        path = Path(configs, f'{name}.yml')
        path.write_text(path.read_text().replace('epochs: 1', 'epochs: 6', 1))
    interrupted = process(configs, '--seeds', 1, '--jobs', 2)
    log = Path('results/birds/fve/seed0.txt')
    while not (log.exists() and 'epoch   2' in log.read_text()):
        assert interrupted.poll() is None
    interrupted.send_signal(signal.SIGINT)
    _, error = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130 and 'run the same command again' in error
    assert 'interrupted' in log.read_text()
    assert not Path('results/birds/fve/seed0/model.npz').exists()
    assert run(configs, '--seeds', 1) == 0
    after_interruption = evaluations()
    Path('results').rename('interrupted')
    assert run(configs, '--seeds', 1) == 0
    assert evaluations() == after_interruption and len(after_interruption) == 2


@attr.slow
def test_suite_killed_at_five_random_points_gives_the_same(configs, write_config):
    """SIGKILL for the suite and all its runs, at other points in every test."""
    random = numpy.random.RandomState()
    write_config('pretrain.yml', data={'parts': 'GLOBAL'}, model={'encoding': 'gap'})
    write_config(f'{configs}/fve.yml', model={'pretrained': 'pretrain.yml'},
                 training={'epochs': 6, 'workers': 1})
    write_config(f'{configs}/separate.yml', training={'joint': False},
                 model={'pretrained': f'{configs}/gap.yml'})
    arguments = configs, '--seeds', 2, '--jobs', 2
    started = time.monotonic()
    assert run(*arguments) == 0
    seconds = time.monotonic() - started
    uninterrupted = evaluations()
    Path('results').rename('uninterrupted')
    for _ in range(5):
        killed = process(*arguments, start_new_session=True)
        with pytest.raises(subprocess.TimeoutExpired):      # else it had finished
            killed.communicate(timeout=random.uniform(.03, .2) * seconds)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    assert run(*arguments) == 0
    assert evaluations() == uninterrupted and len(uninterrupted) == 7   # and the pre-training


def test_folder_stands_for_its_configs_but_the_pretraining():
    project = Path(__file__).resolve().parents[2]
    there = {path.name for path in (project / 'configs/minibirds').glob('*.yml')}
    found = [Path(path).name for path in suite.expand([str(project / 'configs/minibirds')])]
    assert set(found) == there - {'pretrain.yml'} and found == sorted(found)
    one = str(project / 'configs/minibirds/gt_fve.yml')
    assert suite.expand([one, one]) == [one]


@pytest.mark.parametrize('arguments, problem', [
    (['{configs}', '--seeds', '2', '--output', 'there'], '--output is the folder of one run'),
    (['{configs}', '--seeds', '2', '--seed', '1'], 'give one of them'),
    (['{configs}', '--jobs', '0'], '--jobs is 0'),
    (['empty', '--seeds', '2'], 'empty: there is no config'),
])
def test_bad_input(arguments, problem, configs, capsys):
    Path('empty').mkdir()
    assert run(*(one.format(configs=configs) for one in arguments)) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count('\n') == 1
    assert not Path('results').exists()


@pytest.mark.parametrize('seeds', ['0', '-1', '1,-2', 'two', ''])
def test_bad_seeds(seeds, capsys):
    with pytest.raises(SystemExit) as raised:
        run('--seeds', seeds)
    assert raised.value.code == 2
    assert '--seeds' in capsys.readouterr().err


class FakeClock:
    def __init__(self):
        self.now = 0.

    def monotonic(self):
        return self.now


def test_time_left_is_that_of_the_same_experiments(configs, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(suite.time, 'monotonic', clock.monotonic)
    runs = [suite._run(f'{configs}/{name}.yml', seed, []) for seed in (0, 1, 2)
            for name in ('fve', 'gap')]
    queue = suite.Queue(runs[2:], [], n_jobs=2)
    assert queue._seconds_left() is None
    for run_, seconds in zip(runs[:2], (30., 70.)):
        run_.out.mkdir(parents=True)
        (run_.out / 'log').write_text(json.dumps([{'elapsed_time': 1.},
                                                  {'elapsed_time': seconds}]))
    queue.learn(runs[:2])
    assert queue._seconds_left() == (2 * 30 + 2 * 70) / 2
    queue.running[queue.waiting.pop(0)] = None, 0.      # fve, of 30 s
    clock.now = 10.
    assert queue._seconds_left() == (20 + 70 + 30 + 70) / 2
    clock.now = 50.
    assert queue._seconds_left() == (0 + 70 + 30 + 70) / 2


@pytest.mark.parametrize('seconds, text', [(0, '0:00'), (59.6, '1:00'), (3599, '59:59'),
                                           (3661, '1:01:01')])
def test_duration(seconds, text):
    assert suite.duration(seconds) == text


def test_input_error_of_a_config_comes_before_any_run(configs):
    Path(configs, 'mistyped.yml').write_text('model: {n_component: 3}')
    with pytest.raises(InputError, match='n_component'):
        suite.run_all([configs], [0])
    assert not Path('results').exists()
