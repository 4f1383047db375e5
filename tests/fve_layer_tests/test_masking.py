import numpy
import pytest

from fve_layer.masking import counting_features


def test_without_filter_the_visible_ones_count():
    x = numpy.zeros((2, 3, 4), 'f')
    assert counting_features(x) is None
    visible = numpy.array([[True, False, True], [False] * 3])
    numpy.testing.assert_array_equal(counting_features(x, visible), visible)


def test_norm_filter_against_a_loop():
    random = numpy.random.RandomState(0)
    x, visible = random.randn(5, 30, 8), random.rand(5, 30) < .6
    for mask in (None, visible):
        actual = counting_features(x, mask, norm_filter=True)
        for i in range(5):
            shown = [t for t in range(30) if mask is None or mask[i, t]]
            norms = {t: numpy.linalg.norm(x[i, t]) for t in shown}
            mean = sum(norms.values()) / len(norms)
            expected = [t for t in shown if norms[t] > mean]
            assert list(numpy.flatnonzero(actual[i])) == expected
            assert 0 < len(expected) < len(shown)


def test_strictly_greater_and_all_count_if_none_is():
    x = numpy.zeros((2, 3, 1))
    x[0, :, 0] = 1, 2, 3        # the mean is 2: a norm equal to it does not count
    x[1, :, 0] = 2, -2, 2       # all norms are equal
    visible = numpy.array([[True, True, True], [True, False, True]])
    expected = [[False, False, True], [True, False, True]]
    numpy.testing.assert_array_equal(counting_features(x, visible, True), expected)


@pytest.mark.parametrize('garbage', [numpy.nan, numpy.inf, 1e30])
def test_hidden_features_are_not_looked_at(garbage):
    random = numpy.random.RandomState(0)
    x, visible = random.randn(3, 20, 4).astype('f'), random.rand(3, 20) < .5
    expected = counting_features(x, visible, True)
    x[~visible] = garbage
    with numpy.errstate(over='ignore'):
        numpy.testing.assert_array_equal(counting_features(x, visible, True), expected)


def test_squares_of_half_precision_do_not_overflow():
    x = numpy.full((1, 2, 4), 300, numpy.float16)   # 300^2 is beyond float16
    x[0, 1] = 400
    numpy.testing.assert_array_equal(
        counting_features(x, None, True), [[False, True]])


def test_image_without_visible_features_has_none_that_count():
    x = numpy.random.RandomState(0).randn(2, 3, 4)
    visible = numpy.array([[False] * 3, [True] * 3])
    assert not counting_features(x, visible, True)[0].any()
