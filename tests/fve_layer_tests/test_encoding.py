import numpy
import oracles
import pytest
from skimage.feature import fisher_vector as skimage_fisher_vector
from sklearn.mixture import GaussianMixture

from fve_layer import GMMLayer
from fve_layer.encoding import (component_normalize, encode, encode_vjp, l2_normalize,
                                part_normalizers, power_normalize)

CASES = [(k, normalization, masked) for k in (1, 5, 20)
         for normalization in ('sqrt', 'mean') for masked in (False, True)]


def features(masked, seed=1, shape=(4, 9, 3)):
    random = numpy.random.RandomState(seed)
    x, mask = random.randn(*shape), random.rand(*shape[:2]) < .6
    mask[0] = False     # an image in which nothing counts
    return x, mask if masked else None


@pytest.mark.parametrize('n_components, normalization, masked', CASES)
def test_equals_loops(n_components, normalization, masked):
    mixture = oracles.mixture(n_components, 3)
    x, mask = features(masked)
    fv, _ = encode(x, *mixture, mask, normalization)
    expected = oracles.fisher_vector(x, *mixture, mask, normalization)
    assert fv.shape == (4, 2 * n_components * 3)
    numpy.testing.assert_allclose(fv, expected, rtol=1e-10, atol=1e-10)
    if masked:
        assert not fv[0].any()


def test_equals_scikit_image_but_for_the_sign_of_the_sigma_part():
    random = numpy.random.RandomState(0)
    data = random.randn(500, 6) + 3 * random.randint(4, size=(500, 1))
    model = GaussianMixture(4, covariance_type='diag', random_state=0).fit(data)
    x = random.randn(3, 40, 6) + 3 * random.randint(4, size=(3, 40, 1))
    fv, _ = encode(
        x, model.means_, model.covariances_, model.weights_, normalization='mean')
    for actual, image in zip(fv, x):
        expected = skimage_fisher_vector(image, model)
        # scikit-image has the gradient with respect to the variance with a negative sign
        sigma_part, mean_part = expected[-24:], expected[-48:-24]
        numpy.testing.assert_allclose(actual[:24], mean_part, rtol=1e-9, atol=1e-12)
        numpy.testing.assert_allclose(actual[24:], -sigma_part, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('resp_gradient', [True, False])
@pytest.mark.parametrize('n_components, normalization, masked', CASES)
def test_vector_jacobian_product_against_finite_differences(
        n_components, normalization, masked, resp_gradient):
    mixture = oracles.mixture(n_components, 3)
    x, mask = features(masked, shape=(3, 5, 3))
    gfv = numpy.random.RandomState(2).randn(3, 2 * n_components * 3)
    _, resps = encode(x, *mixture, mask, normalization)
    gx = encode_vjp(gfv, x, resps, *mixture, mask, normalization, resp_gradient)

    def encoded(moved):
        if resp_gradient:
            return encode(moved, *mixture, mask, normalization)[0]
        return oracles.fisher_vector(moved, *mixture, mask, normalization, fixed)

    fixed = [oracles.responsibilities(image, *mixture) for image in x]
    expected = numpy.zeros_like(x)
    for index in numpy.ndindex(*x.shape):
        values = []
        for h in (-2e-4, -1e-4, 1e-4, 2e-4):
            moved = x.copy()
            moved[index] += h
            values.append((encoded(moved) * gfv).sum())
        expected[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-4
    numpy.testing.assert_allclose(gx, expected, rtol=1e-6, atol=1e-6 * abs(expected).max())
    if masked:
        assert not gx[~mask].any()


def relu_like():
    random = numpy.random.RandomState(0)
    centres = abs(random.randn(10, 2048)) * (random.rand(10, 2048) < .2)
    noise = .5 * random.randn(8, 320, 2048) - .5
    return numpy.maximum(centres[random.randint(10, size=(8, 320))] + noise, 0), 50


def far_from_the_origin():
    return 50 + numpy.random.RandomState(0).randn(6, 200, 64), 20


def far_and_narrow():
    return 50 + .03 * numpy.random.RandomState(0).randn(6, 100, 256), 20


def variances_at_the_floor():
    random = numpy.random.RandomState(0)
    return random.randn(4, 1, 32) + 1e-3 * random.randn(4, 50, 32), 4


def components_far_apart():
    random = numpy.random.RandomState(0)
    centres = 1000 * random.randn(20, 64)
    return centres[random.randint(20, size=(6, 100))] + random.randn(6, 100, 64), 20


@pytest.mark.parametrize('make', [relu_like, far_from_the_origin, far_and_narrow,
                                  variances_at_the_floor, components_far_apart])
def test_float32_is_close_to_float64(make):
    x, n_components = make()
    x = x.astype('f')
    mixture = fitted(x, n_components)
    results = {}
    for dtype in ('f', 'd'):
        arrays = [a.astype(dtype) for a in (x, *mixture)]
        fv, resps = encode(*arrays)
        gfv = numpy.random.RandomState(1).randn(*fv.shape).astype('f').astype(dtype)
        results[dtype] = fv, encode_vjp(gfv, arrays[0], resps, *arrays[1:])
    for single, double in zip(results['f'], results['d']):
        assert single.dtype == numpy.float32 and double.dtype == numpy.float64
        assert abs(single - double).max() < 1e-4 * abs(double).max()


def fitted(x, n_components):
    """The mixture after two batches, as float32."""
    layer = GMMLayer(x.shape[2], n_components, seed=0)
    layer(x)
    layer(x)
    return layer.mean, layer.var, layer.weight


def test_component_of_vanishing_weight_yields_zeros():
    mean, var, _ = oracles.mixture(3, 4)
    for vanishing in (0, 1e-30):
        weight = numpy.array([.6, vanishing, .4])
        x, _ = features(False, shape=(2, 9, 4))
        fv, resps = encode(x, mean, var, weight)
        fv = fv.reshape(2, 2, 3, 4)
        assert numpy.isfinite(fv).all() and not fv[:, :, 1].any() and fv[:, :, ::2].any()
        gx = encode_vjp(numpy.ones((2, 24)), x, resps, mean, var, weight)
        assert numpy.isfinite(gx).all()


def test_normalisers():
    root = 2 ** .5
    numpy.testing.assert_allclose(part_normalizers(numpy.array([.25, 0, 1e-13]))[..., 0],
                                  [[2, 0, 0], [root, 0, 0]], rtol=1e-15)


def test_power_and_l2_normalisation():
    fv = numpy.array([[4., -9., 0.], [0., 0., 0.]])
    numpy.testing.assert_allclose(power_normalize(fv), [[2, -3, 0], [0, 0, 0]])
    numpy.testing.assert_allclose(
        l2_normalize(fv), [[4 / 97 ** .5, -9 / 97 ** .5, 0], [0, 0, 0]])


@pytest.mark.parametrize('n_components, n_parts', [(3, 2), (3, 1), (1, 2)])
def test_normalisation_of_components(n_components, n_parts):
    """The mean part and the sigma part of each component, one after the other."""
    d = 4
    fv = numpy.random.RandomState(0).randn(5, n_parts, n_components, d)
    fv[0, 0, 0] = fv[1] = 0
    expected = numpy.zeros_like(fv)
    for i in numpy.ndindex(fv.shape[:-1]):
        length = sum(value ** 2 for value in fv[i]) ** .5
        for j in range(d) if length else ():
            expected[i][j] = fv[i][j] / length
    numpy.testing.assert_allclose(
        component_normalize(fv.reshape(5, -1), n_parts * n_components), expected.reshape(5, -1),
        rtol=1e-12)
