import hashlib

import numpy
from PIL import Image
import pytest
from sklearn.datasets import load_digits

from finetune.data import digits, annotation_files, cropping
from finetune.errors import InputError


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'digits'
    digits.prepare(root)
    return root


@pytest.fixture(scope='module')
def data_set(root):
    return annotation_files.read_cub(root)


def read(record):
    return numpy.asarray(Image.open(record.path))


def test_split_is_stratified(data_set):
    assert len(data_set.train) + len(data_set.test) == 1797
    counts = numpy.bincount(load_digits().target)
    train = numpy.bincount([r.label for r in data_set.train])
    assert numpy.abs(train - counts * 2 / 3).max() <= 0.5
    assert {r.image_id for r in data_set.train}.isdisjoint(r.image_id for r in data_set.test)


def test_hidden_share_and_place(data_set):
    visible = numpy.array([r.visible for r in data_set.train + data_set.test])
    assert visible.shape == (1797, 4)
    assert numpy.abs(visible.mean(axis=0) - 0.9).max() < 0.025
    for record in data_set.test[:200]:
        img = read(record).transpose(2, 0, 1)
        boxes = cropping.point_boxes(numpy.float32([(16, 16), (16, 48), (48, 16), (48, 48)]),
                                  numpy.ones(4, bool), (64, 64), 0.5)
        grey = [bool((cropping.crop(img, box) == 128).all()) for box in boxes]
        assert grey == (~record.visible).tolist()


def test_images_are_the_digits(data_set):
    digits_of = load_digits()
    for record in data_set.train[:50]:
        i = int(record.image_id) - 1
        assert record.label == digits_of.target[i]
        if record.visible.all():
            small = read(record)[:, :, 0].reshape(8, 8, 8, 8).mean(axis=(1, 3))
            assert numpy.corrcoef(small.ravel(), digits_of.images[i].ravel())[0, 1] > 0.97


def test_nothing_hidden(tmp_path):
    digits.prepare(tmp_path / 'digits', hide=0, size=16)
    data_set = annotation_files.read_cub(tmp_path / 'digits')
    assert all(r.visible.all() for r in data_set.train + data_set.test)
    assert read(data_set.train[0]).shape == (16, 16, 3)


def test_deterministic_and_seeded(root, tmp_path):
    def digest(folder):
        return hashlib.sha256(b''.join(
            path.read_bytes() for path in sorted(folder.rglob('*.txt')))).hexdigest()

    digits.prepare(tmp_path / 'same')
    digits.prepare(tmp_path / 'other', seed=1)
    assert digest(tmp_path / 'same') == digest(root) != digest(tmp_path / 'other')


def test_other_options(root):
    with pytest.raises(InputError, match='drawn with other options'):
        digits.prepare(root, hide=0.2)
