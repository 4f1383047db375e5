"""Identities of files, and what has changed between two lists of images."""
import os
from pathlib import Path

import numpy
import pytest

from conftest import load
from finetune.config.settings import Data
from finetune.data import contents
from finetune.data.contents import BLOCK_BYTES, identify
from finetune.data.fingerprint import changes_of_classes, Fingerprint

LARGE = 8 * BLOCK_BYTES


def of_bytes(path, data):
    path.write_bytes(data)
    return identify([path])[0]


def test_equal_contents_have_one_identity(tmp_path):
    paths = [tmp_path / name for name in ('a', 'b', 'c')]
    for path, data in zip(paths, (b'x' * LARGE, b'x' * LARGE, b'x' * (LARGE + 1))):
        path.write_bytes(data)
    one, other, longer = identify(paths)
    assert one == other != longer and len(one) == 16
    os.utime(paths[0], (1, 1))
    assert identify(paths) == [one, other, longer]


@pytest.mark.parametrize('place', [20, BLOCK_BYTES - 1, LARGE // 3, 2 * LARGE // 3, LARGE - 1])
def test_another_byte_in_a_block_of_a_compressed_file_is_seen(place, tmp_path):
    data = bytearray(b'\x89PNG'.ljust(LARGE))
    before = of_bytes(tmp_path / 'a', data)
    data[BLOCK_BYTES + 10] = 1          # such a change is never alone
    assert of_bytes(tmp_path / 'a', data) == before
    data[place] = 1
    assert of_bytes(tmp_path / 'b', data) != before


@pytest.mark.parametrize('start', [b'', b'\xff\xd8\xff'])
@pytest.mark.parametrize('size', [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 4 * BLOCK_BYTES])
def test_every_byte_of_a_small_file_counts(size, start, tmp_path):
    every_byte_counts(bytearray(start.ljust(size)[:size]), tmp_path)


def test_every_byte_of_an_uncompressed_file_counts(tmp_path):
    every_byte_counts(bytearray(b'BM'.ljust(LARGE + 5)), tmp_path)


def every_byte_counts(data, tmp_path):
    size = len(data)
    before = of_bytes(tmp_path / 'a', data)
    for place in {size // 5, size // 3, size // 2, size - 1} if size else ():
        changed = data.copy()
        changed[place] ^= 1
        assert of_bytes(tmp_path / f'{place}', changed) != before


def test_a_file_that_has_changed_is_read_again_and_others_are_not(tmp_path, monkeypatch):
    path = tmp_path / 'a'
    before = of_bytes(path, b'one')
    hits = contents._hash.cache_info().hits
    assert identify([path]) == [before] and contents._hash.cache_info().hits == hits + 1
    path.write_bytes(b'two')
    os.utime(path, ns=(1, 1))
    assert identify([path]) != [before]


def test_what_cannot_be_read_has_no_identity(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    assert identify([tmp_path / 'none', tmp_path, tmp_path / 'pipe']) == ['', '', '']


@pytest.fixture
def images(drawn_birds):
    return Fingerprint.of(load(Data(root=str(drawn_birds))))


def changed(images, i, **columns):
    return Fingerprint(image._replace(**columns) if number == i else image
                       for number, image in enumerate(images))


def test_equal_lists(images, drawn_birds, tmp_path):
    assert images.changes(Fingerprint.of(load(Data(root=str(drawn_birds))))) == ''
    images.write(tmp_path / 'images.csv')
    assert Fingerprint.read(tmp_path / 'images.csv') == images
    assert all(len(image.contents) == 16 and not Path(image.path).is_absolute()
               for image in images)


def test_each_column_is_compared(images):
    path = images[0].path
    for columns, words in (({'contents': 'x'}, 'has other contents'),
                           ({'split': 'test'}, 'moved between training and test images'),
                           ({'class_name': images[-1].class_name, 'label': images[-1].label},
                            'has another class'), ({'parts': 'x'}, 'has other parts')):
        assert images.changes(changed(images, 0, **columns)) == f'1 image ({path}) {words}'
    assert images.changes(Fingerprint(images[1:])) == f'1 image ({path}) is gone'
    assert Fingerprint(images[1:]).changes(images) == f'1 image ({path}) is new'
    both = changed(changed(images, 0, contents='x'), 1, contents='x')
    first = min(path, images[1].path)
    assert images.changes(both) == f'2 images (such as {first}) have other contents'
    swapped = Fingerprint([images[1], images[0], *images[2:]])
    assert images.changes(swapped) == 'the images are in another order'


def test_parts_that_are_not_known_yet_are_no_change(images):
    unknown = Fingerprint(image._replace(parts='') for image in images)
    assert images.changes(unknown) == unknown.changes(images) == ''


def test_digests_are_of_both_sides_and_of_the_parts(images):
    last = len(images) - 1
    for i, columns, differing in ((0, {'contents': 'x'}, {'train'}),
                                  (last, {'path': 'x'}, {'test'}),
                                  (0, {'parts': 'x'}, {'parts'}), (0, {'label': 9}, {'train'}),
                                  (last, {'class_name': 'x'}, {'test'})):
        other = changed(images, i, **columns).digests
        assert {side for side, digest in images.digests.items()
                if digest != other[side]} == differing


def test_classes():
    assert changes_of_classes(['a', 'b'], ['a', 'b']) == ''
    assert changes_of_classes(['a', 'b'], ['b', 'a']) == 'the classes are in another order'
    assert changes_of_classes(list('abcde'), ['a']) == '4 classes (b, c, d, ...) are gone'
    assert changes_of_classes(['a', 'x'], ['a', 'y', 'z']) == (
        'class x is gone and 2 classes (y, z) are new')
    assert changes_of_classes(['ka\u0308fer'], ['käfer']) == ''


def test_test_images_that_were_trained_on_are_counted_by_their_contents(images):
    assert images.n_trained_on(images) == 0
    renamed = Fingerprint(image._replace(path=f'x{image.path}', split='test') for image in images)
    n_train = numpy.count_nonzero([image.split == 'train' for image in images])
    assert images.n_trained_on(renamed) == n_train
    unreadable = Fingerprint(image._replace(contents='') for image in images)
    assert unreadable.n_trained_on(Fingerprint(
        image._replace(split='test') for image in unreadable)) == 0


def test_a_path_that_is_listed_twice_is_compared_twice(images):
    twice = Fingerprint([images[0], images[0]._replace(parts='x'), *images])
    other = Fingerprint([images[0]._replace(parts='y'), *twice[1:]])
    assert twice.changes(other) == f'1 image ({images[0].path}) has other parts'


def test_labels_are_compared_if_two_classes_have_one_name(images):
    alike = Fingerprint(image._replace(class_name='rgb') for image in images)
    other = changed(alike, 0, label=images[-1].label)
    assert alike.changes(other) == f'1 image ({images[0].path}) has another class'


def test_an_image_that_cannot_be_read_any_more_is_named(images):
    assert images.changes(changed(images, 0, contents='')) == (
        f'1 image ({images[0].path}) cannot be read')
