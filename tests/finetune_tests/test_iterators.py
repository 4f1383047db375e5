"""Loading by threads: the same batches, errors that arrive, nothing left behind."""
from concurrent.futures import wait
import os
from pathlib import Path
import subprocess
import sys
import threading
import time

import chainer
import numpy
import pytest

from finetune import cli
from finetune.config.settings import Config, Data
from finetune.data import annotation_files
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
def test_batches_do_not_depend_on_the_number_of_threads(parts, records):
    dataset = make_dataset(records, parts=parts, order='shuffled')
    iterators = [iterate(dataset, 5, n_threads, EpochOrder(len(dataset), 3))
                 for n_threads in (0, 1, 4)]
    for _ in range(50):
        first, *others = [iterator.next() for iterator in iterators]
        for other in others:
            assert_same(first, other)
    assert [iterator.epoch for iterator in iterators] == [20] * 3
    for iterator in iterators:
        iterator.finalize()


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


def test_reset_drops_what_was_prefetched(records):
    with iterate(make_dataset(records, train=False), 5, 1) as iterator:
        iterator.next()
        iterator.reset()
        iterator._request()
        assert set(iterator._requested) == set(range(5))


def test_every_image_is_augmented_in_its_own_way(records):
    """Also by threads: from one and the same image no two examples of an epoch are alike."""
    same = [records[0]] * 12
    with iterate(make_dataset(same), 6, 2, EpochOrder(12, 0)) as iterator:
        images = [example[0].tobytes() for _ in range(4) for example in iterator.next()]
    assert len(set(images)) == len(images) == 24


def test_iterator_of_threads_goes_on_where_it_was(records):
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


def test_error_of_a_thread_arrives(records, tmp_path):
    broken = [record._replace(path=tmp_path / 'none.png') for record in records]
    with iterate(make_dataset(broken), 4, 2, EpochOrder(12, 0)) as iterator:
        with pytest.raises(InputError, match='none.png: there is no such image'):
            iterator.next()


class Counting(PartDataset):

    """Remembers in which order examples are begun, and by how many threads."""

    def get_example(self, i):
        self.begun = [*getattr(self, 'begun', []), i]
        self.threads = getattr(self, 'threads', set()) | {threading.current_thread()}
        return super().get_example(i)


def test_no_more_than_the_next_batch_is_loaded_beside_the_main_thread(records):
    settings = Data(input_size=24, part_input_size=16)
    dataset = Counting(records, parts_of(Config()), settings, train=True, seed=0)
    with iterate(dataset, 4, 1, EpochOrder(12, 0)) as iterator:
        for n in range(1, 4):
            iterator.next()
            wait(iterator._requested.values())
            assert len(dataset.begun) == len(set(dataset.begun)) == 4 * (n + 1)
    assert threading.main_thread() not in dataset.threads and len(dataset.threads) == 1
    assert not any(thread.is_alive() for thread in dataset.threads)


class Slow(PartDataset):

    begun = 0

    def get_example(self, i):
        self.begun += 1
        time.sleep(.1)


def test_threads_end_after_their_examples(records):
    dataset = Slow(records, parts_of(Config()), Data(), train=True, seed=0)
    with iterate(dataset, 12, 1, EpochOrder(12, 0)) as iterator:
        iterator._request()
    assert dataset.begun <= 2
    assert threading.active_count() == 1


SCRIPT = """import sys
from finetune.experiments import experiment
experiment.run(sys.argv[1])
"""


@pytest.mark.parametrize('workers', [1, 2])
@pytest.mark.parametrize('is_file', [True, False])
def test_script_needs_neither_a_guard_nor_a_file(is_file, workers, write_config):
    """As in notebooks, and where the name of the folder for temporary files is long."""
    config = write_config(training={'workers': workers})
    Path('script.py').write_text(SCRIPT)
    temporary = Path(f'{"t" * 106}').absolute()
    temporary.mkdir()
    subprocess.run([sys.executable, 'script.py' if is_file else '-', config], check=True,
                   input=None if is_file else SCRIPT, text=True, timeout=100,
                   env={**os.environ, 'TMPDIR': str(temporary)})
    assert [*Path('results').rglob('model.npz')]


def test_missing_image_through_the_command_line(write_config, birds, capsys):
    next((birds / 'images').rglob('*.png')).unlink()
    capsys.readouterr()
    assert cli.main(['train', write_config(training={'workers': 2})]) == 2
    error = capsys.readouterr().err
    assert error.startswith('finetune: ') and '.png: there is no such image' in error
    assert error.count('\n') == 1
    assert threading.active_count() == 1


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
