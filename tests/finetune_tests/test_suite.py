"""Many configs and seeds at once, through the command line."""
import json
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import time

from chainer.testing import attr
import numpy
import pytest
import yaml

from finetune import cli
from finetune.experiments import local, plan
from finetune.progress import duration
from finetune.runs.folder import RunFolder


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


def test_missing_data_are_told_once_and_nothing_is_started(configs, birds, capsys):
    birds.rename('elsewhere')
    assert run(configs, '--seeds', 3) == 2
    printed = capsys.readouterr()
    assert printed.out == '' and printed.err.count('there is no such folder') == 1
    assert not Path('results').exists()


@pytest.fixture
def finished(finished_run, finished_gap, tmp_path, monkeypatch):
    """A folder of two experiments, whose runs with seed 0 are finished."""
    monkeypatch.chdir(tmp_path)
    Path('configs/birds').mkdir(parents=True)
    for name, run_folder in (('fve', finished_run), ('gap', finished_gap)):
        shutil.copy(run_folder.parents[2] / 'config.yml', f'configs/birds/{name}.yml')
        shutil.copytree(run_folder, f'results/birds/{name}/seed0')
    return 'configs/birds'


def evaluations():
    """Every evaluation below the results, byte for byte."""
    return {path.parent: (path.read_bytes(), (path.parent / 'evaluation.yml').read_bytes())
            for path in Path('results').rglob('predictions.csv')}


def test_every_config_runs_with_every_seed_and_is_skipped_afterwards(configs, capfd):
    assert run(configs, '--seeds', 2) == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed[0].startswith('4 runs, 0 of them already finished')
    assert len(printed) == 5
    for i, (line, name) in enumerate(zip(printed[1:], ('fve seed 0', 'gap seed 0', 'fve seed 1',
                                                       'gap seed 1')), 1):
        out = Path('results/birds', name.replace(' seed ', '/seed'))
        accuracy = yaml.safe_load((out / 'evaluation.yml').read_text())['accuracy']['both']
        assert re.fullmatch(rf' +{i} of 4   birds/{name}: {100 * accuracy:.1f} % in \d+:\d\d; '
                            r'about \d+:\d\d left', line)
        assert f'{out}: test accuracy' in out.with_suffix('.txt').read_text()
    times = {path: path.stat().st_mtime_ns for path in Path('results').rglob('*')}
    assert run(configs, '--seeds', 2) == 0
    assert capfd.readouterr().out.startswith('4 runs, 4 of them already finished')
    assert {path: path.stat().st_mtime_ns for path in Path('results').rglob('*')} == times


@pytest.mark.parametrize('name', ['evaluation.yml', 'predictions.csv'])
def test_run_that_is_not_evaluated_is_not_finished(name, finished, capfd):
    """As after a kill between the two, or with results of a version that did not write one."""
    before = evaluations()
    weights = Path('results/birds/fve/seed0/model.npz').stat().st_mtime_ns
    Path('results/birds/fve/seed0', name).unlink()
    assert run(finished, '--seeds', 1) == 0
    printed = capfd.readouterr().out
    assert '2 runs, 1 of them already finished' in printed
    assert '1 of 1   birds/fve seed 0: ' in printed
    assert evaluations() == before and len(before) == 2
    assert Path('results/birds/fve/seed0/model.npz').stat().st_mtime_ns == weights


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
    Path(configs, 'gap.yml').unlink()
    assert run(configs, '--seeds', 1) == 1
    out, error = capfd.readouterr()
    assert '1 of 2   birds/bad seed 0: FAILED: exit code 2: finetune: none.npz' in out
    failures = re.findall('Failed: (birds/.*): exit code 2: finetune: (none.npz: .*) file; .*; '
                          'see (.*)', error)
    assert failures == [('birds/bad seed 0', 'none.npz: there is no such weights',
                         'results/birds/bad/seed0.txt')]
    assert list(evaluations()) == [Path('results/birds/fve/seed0')]


def test_results_of_other_settings_are_no_results(finished, capfd):
    before = evaluations()
    assert run(finished, '--seeds', 1, '--jobs', 2, '--set', 'training.weight_decay=0.1') == 1
    out, error = capfd.readouterr()
    assert '2 runs, 0 of them already finished' in out
    assert error.count('the run has a different training.weight_decay') == 2
    assert run(finished, '--seeds', 1, '--set', 'training.workers=1') == 0
    assert '2 runs, 2 of them already finished' in capfd.readouterr().out
    assert evaluations() == before


# Who runs the tests in the background may have them ignore SIGINT, which children inherit.
MAIN = """import signal, sys
from finetune import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(cli.main())"""


def process(*arguments, **options):
    return subprocess.Popen([sys.executable, '-c', MAIN, 'train', *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_interrupted_suite_ends_its_runs_and_goes_on(configs):
    for name in ('fve', 'gap'):
        path = Path(configs, f'{name}.yml')
        path.write_text(path.read_text().replace('epochs: 1', 'epochs: 6', 1))
    interrupted = process(configs, '--seeds', 1, '--jobs', 2)
    printed = Path('results/birds/fve/seed0.txt')
    while not (printed.exists() and 'epoch   2' in printed.read_text()):
        assert interrupted.poll() is None
        time.sleep(.05)
    interrupted.terminate()
    _, error = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 128 + signal.SIGTERM and 'run the same command again' in error
    assert 'interrupted' in printed.read_text()
    assert not Path('results/birds/fve/seed0/model.npz').exists()
    assert run(configs, '--seeds', 1, '--jobs', 2) == 0
    after_interruption = evaluations()
    Path('results').rename('interrupted')
    for name in ('fve', 'gap'):
        assert run(f'{configs}/{name}.yml') == 0
    assert evaluations() == after_interruption and len(after_interruption) == 2


@pytest.mark.parametrize('override', ['training.seed=5', ' training.seed=5', 'training={seed: 5}'])
def test_seed_of_a_setting_is_refused(override, configs, capsys):
    assert run(configs, '--seeds', 1, '--set', override) == 2
    error = capsys.readouterr().err
    assert '--seeds or --seed sets the seeds of the runs' in error and error.count('\n') == 1


def test_what_runs_need_comes_first_and_once(configs, write_config, capfd):
    write_config('pretrain.yml', data={'parts': 'GLOBAL'}, model={'encoding': 'gap'},
                 training={'epochs': 1})
    for name in ('fve', 'gap'):
        path = Path(configs, f'{name}.yml')
        path.write_text(path.read_text().replace('model:', 'model:\n  pretrained: pretrain.yml'))
    assert run(configs, '--seeds', 2, '--jobs', 4) == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed[0].startswith('4 runs, 0 of them already finished, and 2 more as prerequisites;')
    done = [re.match(r' +\d of 6   (.*): [\d.]+ %', line)[1] for line in printed[1:]]
    assert len(done) == 6
    for seed in (0, 1):
        first = done.index(f'pretrain seed {seed}')
        for name in ('fve', 'gap'):
            assert done.index(f'birds/{name} seed {seed}') > first
            text = Path(f'results/birds/{name}/seed{seed}.txt').read_text()
            assert 'Pre-training' not in text and 'waiting' not in text
    assert run(configs, '--seeds', 3) == 0
    printed = capfd.readouterr().out
    assert '6 runs, 4 of them already finished, and 1 more as prerequisites' in printed


def test_run_that_is_asked_for_and_needed_is_as_it_was_asked_for(configs, write_config):
    write_config(f'{configs}/a_separate.yml', training={'method': 'conventional'},
                 model={'pretrained': f'{configs}/gap.yml'})
    jobs, done = plan.plan_jobs([(f'{configs}/a_separate.yml', []),
                            (f'{configs}/gap.yml', ['training.batch_size=3'])], [0, 4])
    assert [str(job) for job in jobs] == [
        'birds/gap seed 0', 'birds/a_separate seed 0', 'birds/gap seed 4',
        'birds/a_separate seed 4'] and not done
    assert jobs[0].overrides == ('training.batch_size=3', 'training.seed=0')
    assert jobs[3].needs == ('results/birds/gap/seed4',)
    assert jobs[2].command[-4:] == ['--set', 'training.batch_size=3', '--set', 'training.seed=4']


def test_runs_that_need_a_failed_one_fail_with_it(configs, write_config, capfd):
    write_config('pretrain.yml', data={'parts': 'GLOBAL'},
                 model={'encoding': 'gap', 'pretrained': 'none.npz'})
    for name in ('fve', 'gap'):
        path = Path(configs, f'{name}.yml')
        path.write_text(path.read_text().replace('model:', 'model:\n  pretrained: pretrain.yml'))
    write_config(f'{configs}/other.yml', training={'epochs': 1})
    assert run(configs, '--seeds', 1, '--jobs', 2) == 1
    out, error = capfd.readouterr()
    assert 'pretrain seed 0: FAILED: exit code 2: finetune: none.npz' in out
    for name in ('fve', 'gap'):
        assert f'Failed: birds/{name} seed 0: it needs pretrain seed 0, which failed' in error
    assert list(evaluations()) == [Path('results/birds/other/seed0')]


@attr.slow
def test_suite_killed_at_five_random_points_gives_the_same(configs, write_config):
    """SIGKILL for the suite and all its runs, at other points in every test."""
    random = numpy.random.RandomState()
    write_config('pretrain.yml', data={'parts': 'GLOBAL'}, model={'encoding': 'gap'})
    write_config(f'{configs}/fve.yml', model={'pretrained': 'pretrain.yml'},
                 training={'epochs': 6, 'workers': 1})
    write_config(f'{configs}/separate.yml', training={'method': 'conventional'},
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
    assert evaluations() == uninterrupted and len(uninterrupted) == 8   # with both pre-trainings


def test_folder_stands_for_its_configs_but_the_pretraining():
    project = Path(__file__).resolve().parents[2]
    there = {path.name for path in (project / 'configs/minibirds').glob('*.yml')}
    names = [Path(path).name for path in plan.expand([str(project / 'configs/minibirds')])]
    assert set(names) == there - {'pretrain.yml'} and names == sorted(names)
    twice = [str(project / 'configs/minibirds/gt_fve.yml')] * 2
    assert plan.expand(twice) == twice[:1]


@pytest.mark.parametrize('arguments, problem', [
    (['{configs}', '--seeds', '2', '--seed', '1'], 'give one of them'),
    (['{configs}', '--jobs', '0'], '--jobs is 0'),
    (['empty'], 'give another folder, of configs, or with one folder of pictures per class'),
    (['none'], 'none: there is no such folder of photographs and no such config; give a folder'),
    (['empty', '--seeds', '2'], 'empty: this folder contains neither configs nor photographs'),
])
def test_bad_input(arguments, problem, configs, capsys):
    Path('empty').mkdir()
    assert run(*(argument.format(configs=configs) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count('\n') == 1
    assert not Path('results').exists()


@pytest.mark.parametrize('seeds', ['0', '-1', '1,-2', 'two', ''])
def test_bad_seeds(seeds, capsys):
    with pytest.raises(SystemExit) as raised:
        run('--seeds', seeds)
    assert raised.value.code == 2
    assert '--seeds' in capsys.readouterr().err


def make_job(name, seed=0, n_epochs=6, needs=()):
    folder = RunFolder(f'results/birds/{name}/seed{seed}')
    return plan.Job(f'configs/birds/{name}.yml', (), folder, n_epochs, needs)


def write_log(job, *seconds):
    """The log of a job after so many epochs."""
    job.folder.path.mkdir(parents=True, exist_ok=True)
    (job.folder.path / 'log').write_text(json.dumps([
        {'epoch': epoch, 'elapsed_time': time} for epoch, time in enumerate(seconds, 1)]))


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    times = {'now': 0.}
    monkeypatch.setattr(local.time, 'monotonic', lambda: times['now'])
    return times


def test_time_left_is_that_of_the_same_experiments(clock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = [make_job(name, seed) for seed in (0, 1, 2) for name in ('fve', 'gap')]
    assert local.Queue(jobs[2:], [], 2)._seconds_left() is None
    for job, seconds in zip(jobs, (30., 70.)):
        write_log(job, 1., seconds)
    queue = local.Queue(jobs[2:], jobs[:2], n_jobs=2)
    assert queue._seconds_left() == (2 * 30 + 2 * 70) / 2
    queue.running[queue.waiting.pop(0)] = None, 0.      # fve, of 30 s
    clock['now'] = 10.
    assert queue._seconds_left() == (20 + 70 + 30 + 70) / 2
    clock['now'] = 50.
    assert queue._seconds_left() == (0 + 70 + 30 + 70) / 2


def test_time_of_experiments_without_a_log_is_the_mean_of_all(clock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = [make_job('fve'), make_job('gap'), make_job('separate', n_epochs=0)]
    for job, seconds in zip(done, (30., 70.)):
        write_log(job, seconds)
    queue = local.Queue([make_job('separate', 1), make_job('fve', 1)], done, n_jobs=1)
    assert queue._seconds_left() == (30 + 70) / 2 + 30


@pytest.mark.parametrize('n_jobs, overrides, n_threads, workers', [
    (1, (), None, None), (2, (), '2', None), (4, (), '1', '0'), (5, (), '1', '0'),
    (4, ('training.workers=3',), '1', '3')])
def test_runs_that_take_all_cores_load_their_own_images(n_jobs, overrides, n_threads, workers,
                                                        tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local.os, 'sched_getaffinity', lambda pid: range(4))
    for name in local.THREADS:
        monkeypatch.delenv(name, raising=False)
    started = []
    monkeypatch.setattr(local.subprocess, 'Popen',
                        lambda command, env, **_: started.append((command, env)))
    local.Queue([], [], n_jobs)._start(make_job('fve')._replace(overrides=overrides))
    (command, environment), = started
    assert {environment.get(name) for name in local.THREADS} == {n_threads}
    of_workers = [word for word in command if word.startswith('training.workers')]
    assert of_workers == ([] if workers is None else [f'training.workers={workers}'])


def test_progress_is_read_from_the_log(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fve, separate = make_job('fve'), make_job('separate', seed=1, n_epochs=0)
    assert local._progress(fve) == local._progress(separate) == 'working'
    write_log(fve, 10., 20., 30.)
    assert local._progress(fve) == 'epoch 3 of 6'
    queue = local.Queue([], [], 2)
    queue.running = {job: (None, 0.) for job in (fve, separate)}
    queue._show_running()
    assert capsys.readouterr().err == ''        # not on a terminal
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    queue._show_running()
    assert capsys.readouterr().err.endswith(
        'running: birds/fve seed 0 (epoch 3 of 6), birds/separate seed 1 (working)')


@pytest.mark.parametrize('seconds, text', [(0, '0:00'), (59.6, '1:00'), (3599, '59:59'),
                                           (3661, '1:01:01')])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_input_error_of_a_config_comes_before_any_run(configs, capsys):
    Path(configs, 'mistyped.yml').write_text('model: {n_component: 3}')
    assert run(configs, '--seeds', 1) == 2
    assert 'n_component' in capsys.readouterr().err
    assert not Path('results').exists()
