"""One run on several ranks, by a real MPI; the part of the layer is in test_multi_node.py."""
import importlib.util
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import chainer
import numpy
import pytest

from finetune.data.iterators import iterate
from finetune.errors import InputError
from finetune.ranks import processes

PROJECT = Path(__file__).parents[2]
needs_mpi = pytest.mark.skipif(
    shutil.which('mpiexec') is None or importlib.util.find_spec('mpi4py') is None,
    reason='needs mpiexec and mpi4py')
ENCODINGS = {'fve': {}, 'gradient_fve': {'model': {'encoding': 'gradient_fve'}},
             'gap': {'data': {'missing': 'zero'}, 'model': {'encoding': 'gap'}},
             'norm filter, K = 5': {'model': {'n_components': 5, 'norm_filter': True}},
             'recomputed': {'training': {'recompute': True}}}
SECONDS_TO_END = 30


def environment():
    return {**os.environ, 'PYTHONPATH': str(PROJECT), 'OMP_NUM_THREADS': '1'}


def mpiexec(n, *command, **options):
    return subprocess.Popen(['mpiexec', '-n', str(n), sys.executable, *map(str, command)],
                            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **options)


def finished(process, seconds=100):
    """Output and errors; a process that hangs is killed, and its ranks end with it."""
    try:
        return process.communicate(timeout=seconds)
    finally:
        process.kill()


def train(n, *arguments):
    """Trains on n ranks; returns exit code, output and errors."""
    process = mpiexec(n, '-m', 'finetune', 'train', *arguments)
    out, error = finished(process)
    return process.returncode, out, error


def arrays(path):
    with numpy.load(path) as file:
        return {name: file[name].astype('d') for name in file.files}


def updates(n, config, name):
    """Arrays after 20 updates in float64 on n ranks, and what was reported in each."""
    process = mpiexec(n, PROJECT / 'tools/mpi/updates.py', config, f'{name}.npz', 20)
    _, error = finished(process)
    assert process.returncode == 0, error
    return arrays(f'{name}.npz')


def assert_equal(got, expected):
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = 1e-8 * max(abs(value).max(), 1e-3)
        numpy.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance, err_msg=name)


@needs_mpi
@pytest.mark.parametrize('name', ENCODINGS)
def test_ranks_train_as_one(name, write_config):
    config = write_config(**ENCODINGS[name])
    overridden = Path(config).read_text().replace('update_size: 6', 'update_size: 12')
    Path(config).write_text(overridden)
    expected = updates(1, config, 'alone')
    assert any(key.startswith('main/loss') for key in expected)
    for n in (2, 4) if name == 'fve' else (2,):
        assert_equal(updates(n, config, f'ranks{n}'), expected)


@needs_mpi
def test_ranks_without_a_visible_part(write_config, birds):
    """Three of twelve images have none: with one image each, ranks have no crops at all."""
    locations = birds / 'parts/part_locs.txt'
    lines = [line.split() for line in locations.read_text().splitlines()]
    training = [line.split() for line in (birds / 'train_test_split.txt').open()]
    hidden = [image for image, is_training in training if int(is_training)][::4]
    assert len(hidden) == 3
    locations.write_text(''.join(
        ' '.join([*line[:-1], '0' if line[0] in hidden else line[-1]]) + '\n' for line in lines))
    config = write_config()
    text = Path(config).read_text().replace('update_size: 6', 'update_size: 4')
    Path(config).write_text(text)
    assert_equal(updates(4, config, 'four'), updates(1, config, 'one'))


@needs_mpi
def test_run_is_resumed_after_a_kill_and_with_other_ranks(write_config):
    config = write_config(training={'epochs': 4, 'workers': 1})
    for output in 'whole', 'other', 'alone':
        code, out, error = train(2, config, '--output', output) if output == 'whole' else (
            _killed(config, output, 1 if output == 'other' else 0))
        if output == 'whole':
            assert code == 0, error
            assert out.count('epoch   4') == 1 and out.count('test accuracy') == 5
    for n, output in ((2, 'other'), (1, 'alone')):
        log = json.loads(Path(output, 'log').read_text())
        assert 0 < len(log) < 4 and not Path(output, 'model.npz').exists()
        code, out, error = train(n, config, '--output', output)
        assert code == 0, error
        assert len(json.loads(Path(output, 'log').read_text())) == 4
    whole, other, alone = (arrays(f'{output}/model.npz') for output in ('whole', 'other', 'alone'))
    for name, value in whole.items():
        numpy.testing.assert_array_equal(other[name], value, err_msg=name)
        assert alone[name].shape == value.shape and numpy.isfinite(alone[name]).all()
    code, out, _ = train(3, config, '--output', 'alone')        # is finished
    assert code == 0 and 'epoch' not in out


def _killed(config, output, rank):
    """Kills a rank after the second epoch; all end, with a whole snapshot."""
    process = mpiexec(2, '-m', 'finetune', 'train', config, '--output', output)
    for line in process.stdout:
        if line.startswith('epoch   2'):
            break
    os.kill(_pid_of_rank(rank, output), signal.SIGKILL)
    killed = time.monotonic()
    out, error = finished(process, SECONDS_TO_END)
    while _pids(output):
        assert time.monotonic() - killed < SECONDS_TO_END
        time.sleep(.1)
    assert process.returncode not in (0, 2)
    return process.returncode, out, error


def _pids(output):
    """Folders in /proc of the processes of a run."""
    found = []
    for path in Path('/proc').glob('[0-9]*'):
        try:
            words = (path / 'cmdline').read_bytes().split(b'\0')
        except OSError:
            continue
        if words[0] == sys.executable.encode() and {b'finetune', output.encode()} < {*words}:
            found.append(path)
    return found


def _pid_of_rank(rank, output):
    variable = f'PMI_RANK={rank}'.encode()
    path, = (path for path in _pids(output)
             if variable in (path / 'environ').read_bytes().split(b'\0'))
    return int(path.name)


@needs_mpi
@pytest.mark.parametrize('n, settings, sentence', [
    (4, {}, 'training.update_size is 6, which 4 ranks cannot share evenly'),
    (3, {'training.epochs': 'x'}, "training.epochs is 'x'"),
    (7, {'training.update_size': 7}, 'there are 6 test images for 7 ranks')])
def test_all_ranks_end_with_one_sentence(n, settings, sentence, write_config):
    overrides = [word for name, value in settings.items() for word in ('--set', f'{name}={value}')]
    code, out, error = train(n, write_config(), *overrides)
    assert code == 2 and error.count('finetune: ') == 1 and sentence in error
    assert 'Traceback' not in error


@needs_mpi
def test_image_that_only_a_helper_reads(write_config, birds):
    """One rank cannot read an image: all end."""
    for path in sorted((birds / 'images').rglob('*.png')):
        path.write_bytes(b'no image')
    code, _, error = train(2, write_config())
    assert code == 2 and 'finetune: ' in error and 'Traceback' not in error


@needs_mpi
@pytest.mark.parametrize('word, code', [('--help', 0), ('--no-such-option', 2)])
def test_words_of_the_command_line(word, code):
    got, out, error = train(2, word)
    assert got == code and 'Traceback' not in error and (out + error).count('usage: ') == 1


@needs_mpi
def test_several_runs_are_not_for_mpiexec(write_config):
    code, _, error = train(2, write_config(), '--seeds', 2)
    assert code == 2 and 'mpiexec started 2 processes, which can only share one run' in error


def test_without_mpi4py(write_config, tmp_path):
    """The process believes that mpiexec started it."""
    (tmp_path / 'mpi4py').mkdir()
    (tmp_path / 'mpi4py/__init__.py').write_text('raise ImportError("there is none")')
    process = subprocess.run(
        [sys.executable, '-m', 'finetune', 'train', write_config()], text=True, timeout=60,
        capture_output=True, env={**environment(), 'PMI_SIZE': '2', 'PMI_RANK': '0',
                                  'PYTHONPATH': f'{tmp_path}:{PROJECT}'})
    assert process.returncode == 2
    assert process.stderr == ('finetune: mpiexec started 2 processes, but MPI cannot be used '
                              '(there is none); pip install mpi4py mpich.\n')


def test_versions_of_all_ranks_are_the_same():
    processes._check_versions(processes._versions())
    with pytest.raises(InputError, match='rank 0 has numpy .*, but rank 0 has 1.0; install the'):
        processes._check_versions({**processes._versions(), 'numpy': '1.0'})


def test_all_ranks_run_in_one_working_directory(tmp_path, monkeypatch):
    folder = os.getcwd()
    processes._check_folder(folder)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f'{tmp_path} instead of {folder}; start mpiexec with'):
        processes._check_folder(folder)


@needs_mpi
def test_rank_in_another_working_directory(write_config, tmp_path):
    """All end with one sentence."""
    (tmp_path / 'other').mkdir()
    process = mpiexec(1, '-m', 'finetune', 'train', write_config(), ':', '-n', '1', '-wdir',
                      tmp_path / 'other', sys.executable, '-m', 'finetune')
    _, error = finished(process)
    assert process.returncode == 2 and error.count('finetune: ') == 1
    assert 'rank 1 runs in another working directory than rank 0' in error


def test_ranks_are_those_of_either_mpi(monkeypatch):
    for names in processes.SIZES, processes.RANKS:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    assert processes.size() == 1 and not processes.is_helper()
    for size, rank in zip(processes.SIZES, processes.RANKS):
        with monkeypatch.context() as patch:
            patch.setenv(size, '4')
            patch.setenv(rank, '3')
            assert processes.size() == 4 and processes.is_helper()
            patch.setenv(rank, '0')
            assert not processes.is_helper()


def test_shares_are_the_whole_batch():
    class Numbers(chainer.dataset.DatasetMixin):
        def __len__(self):
            return 7

        def get_example(self, i):
            return numpy.full(3, i % 7)

    def order(current, position):
        return numpy.random.RandomState(int(current[0])).permutation(7) + 7

    def batches(share):
        iterator = iterate(Numbers(), 4, 0, order, share)
        return [[int(x[0]) for x in iterator.next()] for _ in range(6)], iterator.epoch_detail

    whole, epoch = batches((0, 1))
    shares = [batches((rank, 3)) for rank in range(3)]
    assert all(detail == epoch for _, detail in shares)
    for i, batch in enumerate(whole):
        assert sum((share[i] for share, _ in shares), []) == batch


def test_error_of_a_gpu_communicator(monkeypatch):
    """Without NCCL; ChainerMN's own sentence is kept."""
    chainermn = pytest.importorskip('chainermn')
    monkeypatch.setattr(processes, '_world', lambda: None)

    def no_nccl(name):
        raise RuntimeError('NCCL is not available.')

    monkeypatch.setattr(chainermn, 'create_communicator', no_nccl)
    processes.communicator.cache_clear()
    with pytest.raises(InputError, match='GPUs cannot communicate .NCCL is not available'):
        processes.communicator(True)
