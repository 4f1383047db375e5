import numpy
import pytest

from finetune.data import cropping
from finetune.errors import InputError


@pytest.mark.parametrize('box', [
    (1, 2, 4, 6), (-3, -2, 2, 3), (3, 4, 9, 12), (-4, -4, 11, 15), (0, 0, 5, 7)])
def test_crop_equals_padding_with_edge_pixels(box):
    img = numpy.random.RandomState(0).randint(0, 256, (3, 5, 7)).astype(numpy.uint8)
    padded = numpy.pad(img, ((0, 0), (20, 20), (20, 20)), mode='edge')
    y_min, x_min, y_max, x_max = numpy.array(box) + 20
    result = cropping.crop(img, numpy.array(box, numpy.int32))
    assert result.dtype == numpy.uint8
    numpy.testing.assert_array_equal(result, padded[:, y_min:y_max, x_min:x_max])


def test_crop_does_not_share_memory():
    img = numpy.zeros((3, 5, 7), numpy.uint8)
    cropping.crop(img, (0, 0, 2, 2))[:] = 1
    assert not img.any()


@pytest.mark.parametrize('box', [(2, 2, 2, 5), (2, 5, 4, 5), (4, 2, 2, 5)])
def test_empty_box(box):
    with pytest.raises(InputError, match='is empty; correct it'):
        cropping.crop(numpy.zeros((3, 5, 7), numpy.uint8), box)


@pytest.mark.parametrize('box', [(-3, 0, 0, 2), (5, 0, 8, 2), (0, -3, 2, 0), (0, 7, 2, 9)])
def test_box_outside_the_image(box):
    with pytest.raises(InputError, match='outside the image of 5 x 7 pixels; correct'):
        cropping.crop(numpy.zeros((3, 5, 7), numpy.uint8), box)


@pytest.mark.parametrize('box', [(0, 0, 10 ** 6, 10 ** 6), (-2 ** 29, -2 ** 29, 2 ** 29, 2 ** 29),
                                 (2, 2, 4, 10 ** 9)])
def test_box_far_larger_than_the_image(box):
    with pytest.raises(InputError, match='is far larger than the image of 5 x 7 pixels; correct'):
        cropping.crop(numpy.zeros((3, 5, 7), numpy.uint8), numpy.array(box, numpy.int32))


def test_box_larger_than_the_image_within_limits():
    assert cropping.crop(numpy.ones((3, 5, 7), numpy.uint8), (0, 0, 2, 10 ** 6)).all()


def test_box_of_a_large_image_is_never_oversized(monkeypatch):
    monkeypatch.setattr(cropping, 'MOST_PIXELS', 10)
    img = numpy.zeros((3, 5, 7), numpy.uint8)
    assert cropping.crop(img, (0, 0, 5, 7)).shape == img.shape
    assert cropping.is_oversized([[0, 0, 5, 7], [0, 0, 5, 8]], (5, 7)).tolist() == [False, True]
