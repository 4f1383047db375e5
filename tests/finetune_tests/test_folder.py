"""The folder of a run: its states, what it refuses, and files that are whole or not there."""
import json
import multiprocessing
from pathlib import Path

import numpy
import pytest
import yaml

from finetune.config import read_config
from finetune.errors import InputError
from finetune.files import atomic, locked
from finetune.models.small_cnn import SmallCNN
from finetune.runs.folder import BEGUN, FINISHED, NEW, REPORTED, RunFolder


def test_place_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for config, seed, place in (('configs/birds/fve.yml', 3, 'results/birds/fve/seed3'),
                                (tmp_path / 'configs/fve.yml', 0, 'results/fve/seed0'),
                                ('elsewhere/fve.yml', 1, 'results/fve/seed1')):
        assert str(RunFolder.of(config, seed)) == place
        assert RunFolder.of(config, seed).printed == Path(f'{place}.txt')


def test_states_follow_each_other(tmp_path):
    folder = RunFolder(tmp_path / 'run')
    assert folder.state == NEW and not folder.is_run
    folder.path.mkdir()
    for name, state in (('config.yml', NEW), ('log', NEW), ('tmpsnapshot_iter_2', NEW),
                        ('snapshot_iter_2', BEGUN), ('model.npz', FINISHED),
                        ('predictions.csv', FINISHED), ('evaluation.yml', REPORTED)):
        (folder.path / name).touch()
        assert folder.state == state, name
    assert folder.is_run and folder.is_finished


@pytest.mark.parametrize('file, is_kept', [('log', False), ('snapshot_iter_2', True),
                                           ('model.npz', True)])
def test_what_was_learned_with_other_settings_is_kept(file, is_kept, write_config):
    config = read_config(write_config())
    folder = RunFolder('run')
    folder.path.mkdir()
    folder.write_settings(config)
    (folder.path / file).touch()
    folder.check(config)
    config.training.workers = 3         # without effect on the results
    folder.check(config)
    config.training.epochs = 7
    assert folder.differences(config) == ['training.epochs']
    if is_kept:
        with pytest.raises(InputError, match='run: was made with a different training.epochs; '):
            folder.check(config)
    else:
        folder.check(config)


def test_folder_of_something_else(tmp_path, write_config):
    config = read_config(write_config())
    folder = RunFolder(tmp_path / 'run')
    folder.check(config)
    folder.path.mkdir()
    (folder.path / '.lock').touch()
    folder.check(config)
    (folder.path / 'thesis.txt').touch()
    with pytest.raises(InputError, match='holds something other'):
        folder.check(config)
    with pytest.raises(InputError, match='holds no run of this program'):
        folder.require_finished()


def test_runs_of_an_experiment_are_in_the_order_of_their_seeds(tmp_path):
    for seed in (10, 2, 0):
        (tmp_path / f'seed{seed}').mkdir()
        (tmp_path / f'seed{seed}' / 'config.yml').touch()
    (tmp_path / 'seed1').mkdir()                # empty
    (tmp_path / 'seed2.txt').touch()            # what it printed
    assert [folder.path.name for folder in RunFolder.all_of(tmp_path)] == [
        'seed0', 'seed2', 'seed10']


def test_names_in_the_log_of_version_0_1(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_log() == []
    names = {'main/accuracy': 'main/accuracy/both',
             'validation/main/accuracy_parts': 'validation/main/accuracy/parts',
             'main/accuracy/global': 'main/accuracy/global', 'main/loss': 'main/loss'}
    (tmp_path / 'log').write_text(json.dumps([dict.fromkeys(names, 1)]))
    assert folder.read_log() == [dict.fromkeys(names.values(), 1)]


def test_begun_run_needs_no_first_weights(write_config, finished_run):
    """They may have been moved away since."""
    from finetune.training.joint import JointLearning
    folder = RunFolder('run')
    assert JointLearning.needs_start(folder)
    folder.path.mkdir()
    (folder.path / 'snapshot_iter_2').touch()
    assert not JointLearning.needs_start(folder)


@pytest.mark.parametrize('write', [
    lambda path: path.write_text('half of'), lambda path: None])
def test_after_an_error_the_file_is_what_it_was(write, tmp_path):
    path = tmp_path / 'file.txt'
    for before in (None, 'whole'):
        if before:
            path.write_text(before)
        with pytest.raises(RuntimeError):
            with atomic(path) as unfinished:
                write(unfinished)
                raise RuntimeError
        assert [other.name for other in tmp_path.iterdir()] == (['file.txt'] if before else [])
        assert not before or path.read_text() == before


def test_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / 'arrays.npz'
    path.write_text('before')
    with atomic(path) as unfinished:
        numpy.savez(unfinished, a=numpy.arange(3))
        assert path.read_text() == 'before'
    assert numpy.load(path)['a'].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_cannot_be_saved_leave_nothing(tmp_path, monkeypatch):
    def half(path, link):
        path.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    folder = RunFolder(tmp_path)
    monkeypatch.setattr('chainer.serializers.save_npz', half)
    with pytest.raises(OSError):
        folder.save_model(SmallCNN())
    assert not folder.is_finished and list(tmp_path.iterdir()) == []


def hold(path, is_held, may_end):
    with locked(path):
        is_held.set()
        may_end.wait(60)


def test_lock_waits_and_says_so(tmp_path):
    context = multiprocessing.get_context('spawn')
    is_held, may_end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / '.lock', is_held, may_end))
    process.start()
    assert is_held.wait(60)
    waited = []

    def on_wait():
        waited.append(process.is_alive())
        may_end.set()

    with locked(tmp_path / '.lock', on_wait):
        process.join(60)
    assert waited == [True] and process.exitcode == 0


def test_versions_are_saved(finished_run):
    versions = yaml.safe_load((finished_run / 'environment.yml').read_text())
    assert versions['numpy'] == numpy.__version__ and versions['chainer'] == '7.8.1'
