import numpy
import pytest

from finetune.data import points


@pytest.mark.parametrize('deviation', [.1, .2])
def test_points_are_normal_around_the_unit_circle(deviation):
    x, centres = points.draw(10, 4000, deviation, numpy.random.RandomState(0))
    assert x.shape == (40000, 2) and x.dtype == numpy.float32
    k = numpy.arange(1, 11)
    numpy.testing.assert_allclose(centres[:, 0], numpy.cos(k * numpy.pi / 5), atol=1e-12)
    numpy.testing.assert_allclose(centres[:, 1], numpy.sin(k * numpy.pi / 5), atol=1e-12)
    classes = x.reshape(10, 4000, 2)
    standard_error = deviation / numpy.sqrt(4000)
    assert abs(classes.mean(axis=1) - centres).max() < 5 * standard_error
    numpy.testing.assert_allclose(classes.std(axis=1), deviation, rtol=.05)


def test_generator_decides():
    first, again, other = (points.draw(3, 5, .1, numpy.random.RandomState(seed))[0]
                           for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
