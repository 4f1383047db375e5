"""Loading by other processes: the same batches, errors that arrive, nothing left behind."""
import multiprocessing
from multiprocessing import forkserver  # noqa: F401
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import chainer
import numpy
import pytest

from finetune import cli
from finetune.config.settings import Config, Data
from finetune.data import annotation_files, iterators
from finetune.data.dataset import EpochOrder, PartDataset
from finetune.data.iterators import iterate
from finetune.data.own_pictures import NO_PARTS
from finetune.errors import InputError
from finetune.parts.kind import parts_of


@pytest.fixture
def records(drawn_birds):
    return annotation_files.read_cub(drawn_birds).train


def make_dataset(records, train=True, **changes):
    settings = Data(**{'input_size': 24, 'part_input_size': 16, **changes})
    if not settings.has_parts:
        records = records.with_parts(*NO_PARTS)
    return PartDataset(records, parts_of(Config(data=settings)), settings, train=train, seed=0)


def assert_same(batch, other):
    assert len(batch) == len(other)
    for one, two in zip(batch, other):
        assert all(a.dtype == b.dtype and numpy.array_equal(a, b) for a, b in zip(one, two))


@pytest.mark.parametrize('parts', ['GT', 'GLOBAL'])
def test_batches_do_not_depend_on_the_number_of_workers(parts, records):
    dataset = make_dataset(records, parts=parts, order='shuffled')
    iterators = [iterate(dataset, 5, n_workers, EpochOrder(len(dataset), 3))
                 for n_workers in (0, 1, 4)]
    for _ in range(50):
        first, *others = [iterator.next() for iterator in iterators]
        for other in others:
            assert_same(first, other)
    assert [iterator.epoch for iterator in iterators] == [20] * 3
    for iterator in iterators:
        iterator.finalize()
    assert not multiprocessing.active_children()


def test_one_pass(records):
    dataset = make_dataset(records, train=False)
    with iterate(dataset, 5, 0) as alone, iterate(dataset, 5, 2) as beside:
        for _ in range(2):
            alone.reset()
            beside.reset()
            batches = list(alone)
            assert [len(batch) for batch in batches] == [5, 5, 2]
            for batch, other in zip(batches, beside):
                assert_same(batch, other)


def test_every_image_is_augmented_in_its_own_way(records):
    """Also by workers: from one and the same image no two examples of an epoch are alike."""
    same = [records[0]] * 12
    with iterate(make_dataset(same), 6, 2, EpochOrder(12, 0)) as iterator:
        images = [example[0].tobytes() for _ in range(4) for example in iterator.next()]
    assert len(set(images)) == len(images) == 24


def test_iterator_of_workers_goes_on_where_it_was(records):
    dataset = make_dataset(records)
    with iterate(dataset, 5, 2, EpochOrder(12, 0)) as stopped, (
            iterate(dataset, 5, 0, EpochOrder(12, 0))) as resumed:
        for _ in range(4):
            stopped.next()
        saved = chainer.serializers.DictionarySerializer()
        stopped.serialize(saved)
        resumed.serialize(chainer.serializers.NpzDeserializer(saved.target))
        for _ in range(5):
            assert_same(stopped.next(), resumed.next())


def test_error_of_a_worker_arrives(records, tmp_path):
    broken = [record._replace(path=tmp_path / 'none.png') for record in records]
    with iterate(make_dataset(broken), 4, 2, EpochOrder(12, 0)) as iterator:
        with pytest.raises(InputError, match='none.png: there is no such image'):
            iterator.next()


class Dying(PartDataset):

    def get_example(self, i):
        os._exit(9)


def test_workers_that_die_are_noticed(records):
    dataset = Dying(records, parts_of(Config()), Data(), train=True, seed=0)
    with iterate(dataset, 4, 2, EpochOrder(12, 0)) as iterator:
        with pytest.raises(InputError, match='images died, perhaps because memory ran out'):
            iterator.next()
    assert not multiprocessing.active_children()


class Sleeping(PartDataset):

    def get_example(self, i):
        time.sleep(60)


def test_workers_that_are_stuck_are_not_waited_for_for_ever(records, monkeypatch):
    monkeypatch.setattr(iterators, 'TIMEOUT_SECONDS', 2)
    dataset = Sleeping(records, parts_of(Config()), Data(), train=True, seed=0)
    with iterate(dataset, 4, 2, EpochOrder(12, 0)) as iterator:
        with pytest.raises(InputError, match='loaded no image in 2 s; the disk may be'):
            iterator.next()
    assert not multiprocessing.active_children()


def children():
    """The worker processes, which the fork server has started."""
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    tasks = Path(f'/proc/{server}/task/{server}/children')
    return [int(word) for word in tasks.read_text().split()]


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
@pytest.mark.parametrize('is_idle', [False, True])
def test_killed_worker_is_noticed(number, is_idle, records):
    """Whether it waits for work, holding the lock of the queue, or loads images."""
    with iterate(make_dataset(records), 6, 2, EpochOrder(12, 0)) as iterator:
        iterator.next()
        if is_idle:
            time.sleep(.5)
        os.kill(children()[0], number)
        with pytest.raises(InputError, match='images died'):
            for _ in range(5):
                iterator.next()
    time.sleep(.2)
    assert not children()


ENDLESS = """import sys, fve_layer
from multiprocessing import forkserver
from pathlib import Path
from finetune.config.settings import Config
from finetune.data.annotation_files import read_cub
from finetune.data.dataset import EpochOrder, PartDataset
from finetune.data.iterators import iterate
from finetune.parts.kind import parts_of
if __name__ == '__main__':
    records, config = read_cub(sys.argv[1]).train, Config()
    dataset = PartDataset(records, parts_of(config), config.data, train=True, seed=0)
    iterator = iterate(dataset, 4, 2, EpochOrder(len(dataset), 0))
    iterator.next()
    server = forkserver._forkserver._forkserver_pid
    print(server, Path(f'/proc/{server}/task/{server}/children').read_text(), flush=True)
    while True:
        iterator.next()
"""


def test_workers_end_with_a_killed_parent(drawn_birds, tmp_path):
    (tmp_path / 'endless.py').write_text(ENDLESS)
    process = subprocess.Popen([sys.executable, 'endless.py', drawn_birds], cwd=tmp_path, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    numbers = process.stdout.readline().split()
    assert len(numbers) == 3
    process.kill()
    assert 'Traceback' not in process.communicate()[1]
    deadline = time.monotonic() + 20
    while any(Path('/proc', number).exists() for number in numbers):
        assert time.monotonic() < deadline
        time.sleep(.1)


def test_missing_image_through_the_command_line(write_config, birds, capsys):
    next((birds / 'images').rglob('*.png')).unlink()
    capsys.readouterr()
    assert cli.main(['train', write_config(training={'workers': 2})]) == 2
    error = capsys.readouterr().err
    assert error.startswith('finetune: ') and '.png: there is no such image' in error
    assert error.count('\n') == 1
    assert not multiprocessing.active_children()


def test_run_is_the_same_with_workers_and_may_change_their_number(write_config):
    path = write_config()
    assert cli.main(['train', path, '--output', 'alone']) == 0
    assert cli.main(['train', path, '--set', 'training.workers=2', '--output', 'beside']) == 0
    assert cli.main(['train', path, '--set', 'training.epochs=1', '--set', 'training.workers=1',
                     '--output', 'short']) == 0
    Path('short/model.npz').unlink()
    text = Path('short/config.yml').read_text().replace('epochs: 1,', 'epochs: 2,')
    Path('short/config.yml').write_text(text.replace('epochs: 1\n', 'epochs: 2\n'))
    assert cli.main(['train', path, '--output', 'short']) == 0
    with numpy.load('alone/model.npz') as expected:
        for folder in ('beside', 'short'):
            with numpy.load(f'{folder}/model.npz') as arrays:
                for key in expected.files:
                    assert arrays[key].tobytes() == expected[key].tobytes(), (folder, key)
