import numpy

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
