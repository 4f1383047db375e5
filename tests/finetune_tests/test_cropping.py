import numpy
import pytest

from finetune.data import cropping
from finetune.errors import InputError
from finetune.parts.points import point_boxes


def test_box_has_the_images_aspect_and_is_centred():
    points = numpy.array([(50, 100), (0, 0), (20.4, 30.6)], numpy.float32)
    boxes = point_boxes(points, numpy.ones(3, bool), (100, 200))
    assert boxes.dtype == numpy.int32
    numpy.testing.assert_array_equal(boxes[:, 2:] - boxes[:, :2], [(31, 62)] * 3)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert numpy.abs(centres - points).max() <= 0.5
    assert boxes[1, 0] < 0 and boxes[1, 1] < 0      # sticks out


def test_size_is_rounded_down():
    boxes = point_boxes(numpy.array([(30., 30.)]), numpy.array([True]), (99, 99), 0.31)
    assert (boxes[0, 2:] - boxes[0, :2]).tolist() == [30, 30]       # 30.69


def test_hidden_parts_get_the_centre_box():
    points = numpy.array([(0, 0), (50, 100)], numpy.float32)
    hidden, centre = point_boxes(points, numpy.array([False, True]), (100, 200))
    assert hidden.tolist() == centre.tolist()


def test_quadrants_are_exact():
    points = numpy.array([(16., 16.), (16., 48.), (48., 16.), (48., 48.)])
    boxes = point_boxes(points, numpy.ones(4, bool), (64, 64), 0.5)
    assert boxes.tolist() == [[0, 0, 32, 32], [0, 32, 32, 64], [32, 0, 64, 32], [32, 32, 64, 64]]


def test_no_parts():
    assert point_boxes(numpy.zeros((0, 2)), numpy.zeros(0, bool), (9, 9)).shape == (0, 4)


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
