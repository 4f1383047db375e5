"""The table of runs, the best weights, TensorBoard's log and the verdict on a result."""
import json
from pathlib import Path
import re
import shutil
import sys
import types

import numpy
import pytest
import yaml

from conftest import fails, load, run
from finetune.config.config import read_config
from finetune.experiments import experiment
from finetune.runs.folder import RunFolder
from finetune.training.extensions import Evaluator


def test_table_of_runs(write_config, capsys):
    config = write_config(training={'epochs': 3})
    assert run('status', '.') == 0
    assert capsys.readouterr().out == '.: contains no runs.\n'
    assert run('train', config, '--output', 'results/b') == 0
    settings = read_config(config)
    data_set = load(settings.data)
    begun, damaged = RunFolder('results/a'), RunFolder('results/c')
    begun.path.mkdir()
    begun.write_settings(settings, data_set)
    (begun.path / 'log').write_text(json.dumps([
        {'epoch': 1, 'elapsed_time': 3725., 'validation/main/accuracy/both': .25},
        {'epoch': 2, 'elapsed_time': 7450.}]))      # not evaluated
    damaged.path.mkdir()
    damaged.write_settings(settings, data_set)
    (damaged.path / 'log').write_text('[')
    capsys.readouterr()
    with begun.opened(settings, data_set):
        assert run('status') == 0
    header, first, second, third = capsys.readouterr().out.splitlines()
    assert header.split() == ['run', 'state', 'epoch', 'test', 'accuracy', 'time', 'left',
                              'changed', 'settings']
    assert first.split() == ['results/a', 'running', '2', 'of', '3', '25.0', '%', '2:04:10',
                             '1:02:05']
    assert second.split()[:5] == ['results/b', 'finished', '3', 'of', '3']
    assert second.endswith('-') and third.startswith('results/c  damaged: ')
    assert run('status', 'results/a') == 0
    assert 'no snapshot yet' in capsys.readouterr().out


def test_settings_that_differ_from_the_file_of_a_run(write_config, capsys):
    config = write_config(training={'epochs': 1, 'seed': 0})
    for name, given in {'a': (), 'b': ('training.learning_rate=0.01', 'training.seed=4'),
                        'seed1': ('data.flip=false', 'training.learning_rate=0.01')}.items():
        settings = read_config(config, given)
        folder = RunFolder(Path('results/config', name))
        folder.path.mkdir(parents=True)
        folder.write_settings(settings, load(settings.data))

    def table():
        capsys.readouterr()
        assert run('status') == 0
        header, *rows = capsys.readouterr().out.splitlines()
        return [row[header.index('changed settings'):] for row in rows]

    both = ['', 'training.learning_rate=0.01', 'data.flip=false, training.learning_rate=0.01']
    assert table() == both
    Path('other.yml').write_text('base: config.yml\ntraining: {learning_rate: 0.01}\n')
    for name in 'a', 'b':       # is this file's run, which is then changed, and lost
        tree = yaml.safe_load(Path('results/config', name, 'config.yml').read_text())
        Path('results/config', name, 'config.yml').write_text(yaml.safe_dump(
            {**tree, 'file': 'other.yml'}))
    lr = read_config(config).training.learning_rate
    assert table() == [f'training.learning_rate={lr}', '', both[2]]
    Path('other.yml').unlink()
    assert table() == ['', '', both[2]]


def held_out(finished_run, folder, accuracy, of_test=None):
    """A finished run that was tested on held-out images, and perhaps apart on test images."""
    shutil.copytree(finished_run, folder)
    if of_test is not None:
        (folder / 'test').mkdir()
        shutil.copy(folder / 'evaluation.yml', folder / 'test')
        change(folder / 'test/evaluation.yml', 'accuracy', both=of_test)
    change(folder / 'evaluation.yml', 'accuracy', both=accuracy)
    change(folder / 'config.yml', 'data', split='validation')


def change(path, section, **values):
    tree = yaml.safe_load(path.read_text())
    tree[section].update(values)
    path.write_text(yaml.safe_dump(tree))


def test_chosen_run_of_photographs(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, accuracies in {'tuned': (.75, .5), 'validation/fold0': (.25,)}.items():
        held_out(finished_run, Path('results/photos', name), *accuracies)
    shutil.copytree(finished_run, 'results/photos/plain')
    named = Path('results/photos/chosen.yml')

    def table(folder='results'):
        capsys.readouterr()
        assert run('status', folder) == 0
        _, *rows = capsys.readouterr().out.splitlines()
        return [tuple(re.split('   *', row)[1:4:2]) for row in rows]    # state and accuracy

    before = plain, tuned, fold = table()
    assert before == [('finished', plain[1]), ('finished', '75.0 % (validation)'),
                      ('finished', '25.0 % (validation)')]
    named.write_text('run: tuned\n')
    assert table() == [plain, ('finished, chosen', '50.0 %'), fold]
    assert table('results/photos/tuned') == [('finished, chosen', '50.0 %')]
    named.write_text('run: plain\n')
    assert table(tmp_path / 'results') == [('finished, chosen', plain[1]), tuned, fold]
    named.write_text('run: ../plain\n')
    capsys.readouterr()
    assert run('status') == 0
    *rows, problem = capsys.readouterr().out.splitlines()
    assert len(rows) == 4 and ', chosen' not in ''.join(rows)
    assert problem.startswith(f'{named.absolute()}: does not name a run in this folder; repeat')


def test_no_folder_of_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert 'no such folder of results' in fails(capsys, 'status', 'nowhere')


@pytest.mark.parametrize('every', [1, 2])
def test_best_weights_are_those_of_the_best_evaluation(every, write_config, monkeypatch):
    """Accuracies are made up: the second of three is the best, the third only as good."""
    accuracies = iter([.2, .5, .5])
    monkeypatch.setattr(Evaluator, 'evaluate', lambda self: {
        'validation/main/accuracy/both': next(accuracies), 'validation/main/loss': 1.})
    saved, save = [], RunFolder.save_model
    monkeypatch.setattr(RunFolder, 'save_model', lambda self, model, path=None: (
        saved.append(path), save(self, model, path)))
    config = write_config(training={'epochs': 3 * every, 'evaluate_every': every,
                                    'keep_best': True})
    assert run('train', config, '--output', 'out') == 0
    best = Path('out/best.npz')
    assert saved == [best, best, None]
    with numpy.load(best) as first, numpy.load('out/model.npz') as last:
        assert first.files == last.files
        assert any((first[name] != last[name]).any() for name in first.files)


def test_fewer_evaluations(write_config, monkeypatch, capsys):
    """Every other epoch and after the last, interrupted in the third: the same weights and log."""
    settings = {'epochs': 5, 'keep_best': True}
    assert run('train', write_config(training=settings), '--output', 'every') == 0
    evaluated, evaluate = [], Evaluator.evaluate

    def evaluate_twice(self):
        evaluated.append(self)
        if len(evaluated) == 2:
            raise KeyboardInterrupt
        return evaluate(self)

    monkeypatch.setattr(Evaluator, 'evaluate', evaluate_twice)
    config = write_config(training={**settings, 'evaluate_every': 2})
    capsys.readouterr()
    assert run('train', config, '--output', 'fewer') == 130
    assert run('train', config, '--output', 'fewer') == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('epoch ')]
    assert ['test accuracy' in line for line in lines] == [False, True, False, True, True]
    every, fewer = (json.loads(Path(folder, 'log').read_text()) for folder in ('every', 'fewer'))
    for of_every, of_fewer, line in zip(every, fewer, lines):
        assert set(of_every) - set(of_fewer) == (set() if 'test accuracy' in line else {
            name for name in of_every if name.startswith('validation/')})
        for name in set(of_fewer) - {'memory', 'elapsed_time'}:
            assert of_fewer[name] == of_every[name]
    with numpy.load('every/model.npz') as expected, numpy.load('fewer/model.npz') as model:
        assert expected.files == model.files
        assert all((model[name] == expected[name]).all() for name in model.files)


@pytest.mark.parametrize('stop_at', [None, 2, 4])
def test_early_stopping(stop_at, write_config, monkeypatch, capsys):
    """The second of made-up accuracies is the best; two later training stops, also if resumed."""
    accuracies, evaluated = [.2, .5, .4, .5, .9], []

    def evaluate(self):
        evaluated.append(self)
        if len(evaluated) == stop_at:
            raise KeyboardInterrupt
        n = len(evaluated) - (stop_at is not None and len(evaluated) > stop_at)
        return {'validation/main/accuracy/both': accuracies[n - 1], 'validation/main/loss': 1.}

    monkeypatch.setattr(Evaluator, 'evaluate', evaluate)
    config = write_config(data={'split': 'validation', 'fold': 1}, training={
        'epochs': 5, 'patience': 2, 'evaluate_every': 5})
    if stop_at is not None:
        assert run('train', config, '--output', 'out') == 130
    assert run('train', config, '--output', 'out') == 0
    assert len(json.loads(Path('out/log').read_text())) == 4
    assert ('out: training ended after epoch 4; the weights are those of epoch 2'
            in capsys.readouterr().out)
    with numpy.load('out/best.npz') as best, numpy.load('out/model.npz') as model:
        assert all((best[name] == model[name]).all() for name in model.files)


def test_log_for_tensorboard(write_config, monkeypatch, capsys):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def flush(self):
            pass

    config = write_config(training={'epochs': 2, 'tensorboard': True})
    monkeypatch.setitem(sys.modules, 'tensorboardX', None)
    assert 'tensorboardX is missing; pip install tensorboardX' in fails(
        capsys, 'train', config, '--output', 'none')
    monkeypatch.setitem(sys.modules, 'tensorboardX',
                        types.SimpleNamespace(SummaryWriter=SummaryWriter))
    assert run('train', config, '--output', 'out') == 0
    assert written[0] == ('out/tensorboard', 1)
    assert {('main/loss', 1), ('lr', 2), ('validation/main/accuracy/both', 2)} <= set(written)


@pytest.mark.parametrize('accuracy, words', [
    (74.0, 'As expected: 74.0 % is the result of seed 0.'),
    (75.5, 'As expected: seed 0 had 74.0 % on the CPU of the reports; on others'),
    (70.1, 'As expected: seed 0 had 74.0 % on the CPU of the reports; on others'),
    (69.8, 'Not as expected: seed 0 had 74.0 % on the CPU of the reports; on others')])
def test_verdict_on_the_result_of_a_seed(accuracy, words, write_config):
    config = read_config(write_config(expect_of_seeds={0: 74, 1: 75, 2: 73},
                                      expect_elsewhere={'a': 71, 'b': 72}))     # 73 +- 1.58
    assert experiment._verdict(config, 69).endswith('it was 71.0 to 75.0 %. Check the '
                                                    'installation by tests/run.sh.')
    assert experiment._verdict(config, accuracy).startswith(words)
    config.training.seed = 3
    assert experiment._verdict(config, accuracy) == ''


def test_verdict_holds_for_the_settings_of_the_file(write_config):
    config = write_config(expect_of_seeds={0: 74, 1: 75}, expect_elsewhere={'a': 72})
    for overrides, holds in (['training.workers=1'], True), (['training.epochs=1'], False):
        read = read_config(config, overrides)
        assert bool(read.expect_of_seeds) == bool(read.expect_elsewhere) == holds
