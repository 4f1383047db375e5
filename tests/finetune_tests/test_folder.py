"""The folder of a run: its states, what it refuses, and files that are whole or not there."""
import errno
import fcntl
import io
import os
from pathlib import Path
import pickle
import subprocess
import sys

import numpy
import pytest
import yaml

from conftest import load
from finetune import cli
from finetune.config.config import read_config
from finetune.config.settings import Data
from finetune.errors import InputError
from finetune.files import atomic, locked
from finetune.models.small_cnn import SmallCNN
from finetune.runs.folder import BEGUN, FINISHED, NEW, REPORTED, RunFolder
from finetune.runs.predictions import Predictions


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
    folder.write_settings(config, load(config.data))
    (folder.path / file).touch()
    folder.check(config)
    config.training.workers = 3         # without effect on the results
    folder.check(config)
    config.training.epochs = 7
    assert folder.differences(config) == ['training.epochs']
    if is_kept:
        with pytest.raises(InputError, match='run: the run has a different training.epochs; '):
            folder.check(config)
    else:
        folder.check(config)


@pytest.mark.parametrize('name', ['model.pretrained', 'model.checkpoint', 'detector.cnn'])
def test_paths_are_the_same_from_another_working_directory(name, write_config, tmp_path,
                                                           monkeypatch):
    detected = {'data': {'parts': 'CS_PARTS', 'box_frame': 427}} if 'detector' in name else {}
    config_path, path = tmp_path / write_config(**detected), tmp_path / 'weights/cnn.npz'

    def read(value):
        return read_config(config_path, [f'{name}={value}'])

    config, folder = read('weights/cnn.npz'), RunFolder(tmp_path / 'run')
    folder.path.mkdir()
    folder.write_settings(config, load(read_config(write_config('plain.yml')).data))
    folder.model.touch()
    assert folder.differences(read('weights/other.npz')) == [name]
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    for same in path, '../weights/cnn.npz', 'weights/cnn.npz':
        assert folder.differences(read(same)) == [], same
    for other in 'cnn.npz', tmp_path / 'cnn.npz', '':
        assert name in folder.differences(read(other)), other


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
    with pytest.raises(InputError, match='is no run of this program'):
        folder.require_finished()


def test_runs_of_an_experiment_are_in_the_order_of_their_seeds(tmp_path):
    for seed in (10, 2, 0, '0_old'):
        (tmp_path / f'seed{seed}').mkdir()
        (tmp_path / f'seed{seed}' / 'config.yml').touch()
    (tmp_path / 'seed1').mkdir()                # empty
    (tmp_path / 'seed2.txt').touch()            # what it printed
    assert [folder.path.name for folder in RunFolder.all_of(tmp_path)] == [
        'seed0', 'seed2', 'seed10']


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
    def half(path, **arrays):
        path.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    folder = RunFolder(tmp_path)
    monkeypatch.setattr('numpy.savez', half)
    with pytest.raises(OSError, match=r"No space left on device: '.*/model.npz'"):
        folder.save_model(SmallCNN())
    assert not folder.is_finished and list(tmp_path.iterdir()) == []


def test_results_are_both_there_or_neither(drawn_birds, tmp_path, monkeypatch):
    def full(tree):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('yaml.safe_dump', full)
    label = numpy.zeros(1, int)
    predictions = Predictions(label, label, {'both': label}, 1.)
    data_set = load(Data(root=str(drawn_birds)))
    with pytest.raises(OSError, match='No space'):
        RunFolder(tmp_path).write_results({}, predictions, data_set)
    assert list(tmp_path.iterdir()) == []


class Evil:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self):
        return Path.touch, (Path('pwned'),)


def evil(kind, arrays):
    """Bytes of a file that runs code when it is unpickled."""
    if kind == 'pickle':
        return pickle.dumps(Evil())
    file = io.BytesIO()
    if kind == 'array':
        numpy.save(file, numpy.array([Evil()], object), allow_pickle=True)
    else:
        name = 'updater/iteration' if kind == 'member' else kind
        numpy.savez(file, **{**arrays, name: numpy.array([Evil()], object)})
    return file.getvalue()


@pytest.mark.parametrize('kind', ['pickle', 'array', 'member', 'another'])
@pytest.mark.parametrize('name', ['snapshot_iter_9', 'model.npz', 'examples.npz'])
def test_code_in_files_does_not_run(name, kind, finished_run, copy_of, write_config, capsys):
    folder = copy_of(finished_run)
    write_config(data={'root': RunFolder(folder).read_config().data.root})
    with numpy.load(next(folder.glob('snapshot_*')) if 'snapshot' in name else folder / name) as a:
        content = evil(kind, dict(a))
    if name.startswith('snapshot'):
        (folder / 'model.npz').unlink()
    (folder / name).write_bytes(content)
    picture = next(Path('birds').rglob('*.png'))
    commands = (['train', 'config.yml'] if name.startswith('snapshot') else
                ['predict', str(folder), str(picture), '--pictures', 'out'])
    assert cli.main(commands) == 2
    reason = {('model.npz', 'pickle'): 'names pathlib', ('model.npz', 'array'):
              'is a single array'}.get((name, kind), 'is not a complete')
    assert f'{name}: {reason}' in capsys.readouterr().err.splitlines()[-1]
    assert not Path('pwned').exists()
    pickle.loads(pickle.dumps(Evil()))
    assert Path('pwned').exists()           # it would have


def changed(name, change):
    return lambda arrays: arrays.update({name: change(arrays[name])})


WRONG_SNAPSHOTS = {
    'spread': changed('updater/model:main/part_head/W', lambda array: array[:1, :1]),
    'not finite': changed('updater/model:main/part_head/b', lambda array: array * numpy.nan),
    'of a moment': changed('updater/optimizer:main/part_head/W/ms', lambda array: array[:1]),
    'missing': lambda arrays: arrays.pop('updater/iteration'),
    'complex': changed('updater/model:main/part_head/b', lambda array: array * 1j),
    'a log of text': changed('extensions/LogReport/_log', lambda array: numpy.array('{[')),
}


@pytest.mark.parametrize('kind', WRONG_SNAPSHOTS)
def test_wrong_snapshot_is_refused(kind, finished_run, copy_of, write_config, capsys):
    folder = copy_of(finished_run)
    write_config(data={'root': RunFolder(folder).read_config().data.root})
    (folder / 'model.npz').unlink()
    snapshot, = folder.glob('snapshot_*')
    with numpy.load(snapshot) as arrays:
        arrays = dict(arrays)
    WRONG_SNAPSHOTS[kind](arrays)
    with open(snapshot, 'wb') as file:
        numpy.savez(file, **arrays)
    assert cli.main(['train', 'config.yml']) == 2
    error = capsys.readouterr().err
    assert f'{snapshot}: is not a complete snapshot' in error and error.count('\n') == 1
    assert not (folder / 'model.npz').exists()


def test_equal_weights_are_equal_bytes(tmp_path):
    arrays = {name: numpy.arange(3.) for name in 'cab'}
    for name in ('one', 'other'):
        RunFolder(tmp_path).save_model(dict(sorted(arrays.items(), reverse=name == 'other')))
        (tmp_path / 'model.npz').rename(tmp_path / name)
    assert (tmp_path / 'one').read_bytes() == (tmp_path / 'other').read_bytes()


HOLD = """import sys
from finetune.files import locked
with locked(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.readline()
"""


def test_lock_waits_and_says_so(tmp_path):
    process = subprocess.Popen([sys.executable, '-c', HOLD, tmp_path / '.lock'],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    waited = []

    def on_wait():
        waited.append(process.poll())
        process.stdin.write('go on\n')
        process.stdin.flush()

    with locked(tmp_path / '.lock', on_wait):
        assert process.wait(60) == 0
    assert waited == [None]
    process.stdin.close()
    process.stdout.close()


def refuse_locks(monkeypatch, number):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, 'flock', refuse)


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_run_without_locks_is_told_and_the_same(number, finished_run, write_config, monkeypatch,
                                                capsys):
    config = write_config()
    refuse_locks(monkeypatch, number)
    assert cli.main(['train', config]) == 0
    assert capsys.readouterr().err == (
        f'results/config/seed0/.lock: the file system cannot lock files ({os.strerror(number)}); '
        'start no other process that writes into this folder.\n')
    model = Path('results/config/seed0/model.npz')
    assert model.read_bytes() == (finished_run / 'model.npz').read_bytes()
    assert cli.main(['status']) == 0
    assert 'running' not in capsys.readouterr().out


def test_other_error_of_a_lock_names_the_file(write_config, monkeypatch, capsys):
    config = write_config()
    refuse_locks(monkeypatch, errno.EIO)
    assert cli.main(['train', config]) == 2
    assert capsys.readouterr().err == ('finetune: results/config/seed0/.lock: Input/output error; '
                                       'fix this and run the same command again.\n')


def test_versions_are_saved(finished_run):
    versions = yaml.safe_load((finished_run / 'environment.yml').read_text())
    assert versions['numpy'] == numpy.__version__ and versions['chainer'] == '7.8.1'


@pytest.mark.parametrize('place', ['.', '/'])
def test_any_folder_can_be_asked_whether_it_is_a_run(place):
    with pytest.raises(InputError, match='is no run of this program'):
        RunFolder(place).require_finished()


@pytest.mark.parametrize('evaluation', [
    {'accuracy': {'both': 72.7}}, {'accuracy': {'both': -.1}}, {'accuracy': {'both': float('nan')}},
    {'accuracy': {'both': .5}, 'loss': float('nan')},
    {'accuracy': {'both': 'high'}}, {'accuracy': {'parts': .5}}, {'accuracy': .5}, {},
    {'accuracy': {'both': .5}, 'n_parameters': 'many'},
    {'accuracy': {'both': .5}, 'n_parameters': None},
    {'accuracy': {'both': .5}, 'robustness': {'hidden': {}}},
    {'accuracy': {'both': .5},
     'robustness': {'hidden': {.25: {'both': 50}}, 'shuffled': {'both': 1}}}])
def test_evaluations_that_are_none(evaluation, tmp_path):
    folder = RunFolder(tmp_path)
    whole = {'accuracy': {'both': .5, 'parts': 1, 'global': 0}, 'n_parameters': 7}
    (tmp_path / 'evaluation.yml').write_text(yaml.safe_dump(whole))
    assert folder.read_evaluation() == whole
    (tmp_path / 'evaluation.yml').write_text(yaml.safe_dump({'n_parameters': 7, **evaluation}))
    with pytest.raises(InputError, match='evaluation.yml: is not a complete evaluation'):
        folder.read_evaluation()


def damages(content, n, random):
    """Ways in which a file may be damaged: emptied, cut, bytes changed, something else."""
    yield from (b'', b'\0' * 1000, b'<html>not found</html>', content[:len(content) // 2])
    for _ in range(n):
        changed = bytearray(content)
        for _ in range(random.randint(1, 20)):
            changed[random.randint(len(changed))] = random.randint(256)
        yield bytes(changed[:random.randint(1, len(changed) + 1)])


READERS = {'log': RunFolder.read_log, 'evaluation.yml': RunFolder.read_evaluation,
           'predictions.csv': RunFolder.read_predictions, 'config.yml': RunFolder.read_config,
           'names.yml': RunFolder.read_names, 'examples.npz': RunFolder.read_examples}


@pytest.mark.parametrize('name', READERS)
def test_damaged_files_are_told_or_harmless(name, finished_run, copy_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, n_told = copy_of(finished_run), 0
    for content in damages((folder / name).read_bytes(), 60, numpy.random.RandomState(0)):
        (folder / name).write_bytes(content)
        try:
            READERS[name](RunFolder(folder))
        except InputError as error:
            assert str(folder / name) in str(error)
            n_told += 1
    assert n_told > 30


def test_suite_goes_on_from_a_damaged_log(finished_run, copy_of, write_config, capsys):
    folder = copy_of(finished_run)
    config = write_config(data={'root': RunFolder(folder).read_config().data.root})
    (folder / 'log').write_text('[{')
    assert cli.main(['train', config, '--seeds', '1']) == 0
    assert '1 of them already finished' in capsys.readouterr().out
