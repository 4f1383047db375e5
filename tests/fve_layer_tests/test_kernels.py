"""The GPU's kernels, executed by CPU threads, against loops and against the pure functions."""
import chainer
import numpy
import oracles
import pytest

import cuda_on_cpu
from fve_layer import encoding, function, FVELayer, gmm, kernels
from fve_layer.maths import Maths, maths_for
from fve_layer.arrays import ceil_div


@pytest.fixture(scope='session')
def compiled(tmp_path_factory):
    if cuda_on_cpu.compiler() is None:
        pytest.skip('there is no C++ compiler')
    return cuda_on_cpu.Kernels(tmp_path_factory.mktemp('kernels'))


@pytest.fixture(autouse=True)
def emulated(compiled, monkeypatch):
    compiled.launches.clear()
    monkeypatch.setattr(kernels, '_function', compiled.function)
    return compiled


def case(n_components, n_dims, masked, n=3, t=7):
    """A mixture, features and which count; what hidden ones hold must not matter."""
    random = numpy.random.RandomState(n_components + n_dims)
    x = random.randn(n, t, n_dims)
    mask = random.rand(n, t) < .7 if masked else None
    if masked:
        mask[1] = False
        x[~mask] = numpy.nan
    return x, oracles.mixture(n_components, n_dims), mask


# More components and dimensions than a warp has lanes, or a thread registers; and fewer.
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('n_components, n_dims', [(1, 3), (5, 37), (9, 1), (40, 5)])
class TestAgainstReference:

    @pytest.mark.parametrize('normalization', ['sqrt', 'mean'])
    def test_encode_against_loops(self, n_components, n_dims, masked, normalization):
        x, mixture, mask = case(n_components, n_dims, masked)
        fv, _ = kernels.encode(x, *mixture, mask, normalization)
        expected = oracles.fisher_vector(x, *mixture, mask, normalization)
        numpy.testing.assert_allclose(fv, expected, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize('dtype, tolerance, resp_gradient', [
        ('d', 1e-10, True), ('f', 1e-5, True), ('e', 4e-3, True), ('d', 1e-10, False)])
    def test_encode_and_vjp(self, n_components, n_dims, masked, dtype, tolerance, resp_gradient):
        x, mixture, mask = case(n_components, n_dims, masked)
        x = x.astype(dtype)
        g = numpy.random.RandomState(5).randn(len(x), 2 * mixture[0].size).astype(dtype)
        mixture32 = [a.astype(numpy.promote_types(dtype, 'f')) for a in mixture]
        results = []
        for maths, arrays in ((kernels, (g, x, mixture32)),
                              (encoding, (g.astype('d'), x.astype('d'), mixture))):
            gradient, features, parameters = arrays
            fv, resps = maths.encode(features, *parameters, mask)
            gx = maths.encode_vjp(gradient, features, resps, *parameters, mask,
                                  resp_gradient=resp_gradient)
            results.append((fv, gx))
        for ours, expected in zip(*results):
            assert ours.dtype == dtype and ours.shape == expected.shape
            numpy.testing.assert_allclose(
                ours, expected, rtol=tolerance, atol=tolerance * abs(expected).max())
        if masked:
            assert not results[0][1][~mask].any()

    @pytest.mark.parametrize('dtype, tolerance', [('d', 1e-10), ('f', 1e-5)])
    def test_em(self, n_components, n_dims, masked, dtype, tolerance):
        x, mixture, mask = case(n_components, n_dims, masked)
        ours, expected = (maths.e_step(features, *mixture, mask) for maths, features in (
            (kernels, x.astype(dtype)), (gmm, x)))
        numpy.testing.assert_allclose(ours.s0, expected.s0, rtol=tolerance)
        assert abs(ours.log_likelihood - expected.log_likelihood) < tolerance * 10
        for actual, desired in [*zip(gmm.m_step(ours, *mixture[:2], 1e-3),
                                     gmm.m_step(expected, *mixture[:2], 1e-3)),
                                (gmm.feature_variance(ours), gmm.feature_variance(expected))]:
            assert actual.dtype == numpy.float64
            numpy.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


def test_components_far_apart():
    """Squared distances of 2e6 between components cost float32 nothing."""
    random = numpy.random.RandomState(0)
    mean = random.randn(4, 64) * 180
    owner = random.randint(4, size=(2, 9))
    x = (mean[owner] + random.randn(2, 9, 64)).astype('f')
    x[0, 0] = (mean[0] + mean[1]) / 2 + .01     # between two of them
    mean, var, weight = mean.astype('f'), numpy.ones((4, 64), 'f'), numpy.full(4, .25, 'f')
    fv, (resp, _) = kernels.encode(x, mean, var, weight)
    expected, expected_resps = encoding.encode(x.astype('d'), mean, var, weight)
    numpy.testing.assert_allclose(fv, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())
    numpy.testing.assert_allclose(resp[0], numpy.hstack(expected_resps[0]), rtol=1e-5, atol=1e-6)


class FakeCupyArray:
    pass


def test_each_kind_of_array_has_its_functions():
    names = 'e_step', 'encode', 'encode_vjp'
    assert maths_for(numpy.zeros(1)) == (
        gmm.e_step, encoding.encode, encoding.encode_vjp)
    assert maths_for(FakeCupyArray()) == tuple(getattr(kernels, name) for name in names)


@pytest.mark.parametrize('settings', [{}, {'relative_var_floor': .5, 'var_floor': 1e-9}], ids=str)
def test_layer_on_the_kernels(settings, monkeypatch, emulated):
    """Three steps of training, once with the kernels and once with the reference."""
    x, _, _ = case(3, 4, masked=False)
    results = []
    on_gpu = Maths(kernels.e_step, kernels.encode, kernels.encode_vjp)
    for choose in (function.maths_for, lambda x: on_gpu):
        monkeypatch.setattr(function, 'maths_for', choose)
        layer = FVELayer(4, 3, seed=0, norm_filter=True, **settings)
        for factor in (1, 2, 3):
            variable = chainer.Variable(factor * x)
            fv = layer(variable)
            fv.grad = fv.array
            fv.backward()
        results.append((fv.array, variable.grad, *layer.mixture, layer.smallest_var))
    assert {launch[0] for launch in emulated.launches} == {
        'posterior', 'sums', 'posterior_vjp', 'features_vjp'}
    for expected, actual in zip(*results):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('a, b, quotient', [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2)])
def test_ceil_div(a, b, quotient):
    assert ceil_div(a, b) == quotient


def test_weight_of_zero():
    x, (mean, var, _), _ = case(3, 4, masked=False)
    weight = numpy.array([.5, 0, .5])
    numpy.testing.assert_allclose(kernels.encode(x, mean, var, weight)[0],
                                  encoding.encode(x, mean, var, weight)[0], atol=1e-10)


@pytest.mark.parametrize('n, t', [(0, 4), (2, 0)])
def test_nothing_to_encode(n, t):
    x, mixture, _ = case(3, 4, masked=False, n=n, t=t)
    fv, resps = kernels.encode(x, *mixture)
    assert fv.shape == (n, 24) and not fv.any()
    assert kernels.encode_vjp(fv, x, resps, *mixture).shape == (n, t, 4)
    statistics = kernels.e_step(x, *mixture)
    assert not statistics.s0.any() and not statistics.s1.any() and statistics.log_likelihood == 0


def test_few_launches_within_the_limits(emulated):
    x, mixture, _ = case(500, 300, masked=False, n=1, t=3)
    fv, resps = kernels.encode(x, *mixture)
    kernels.encode_vjp(fv, x, resps, *mixture)
    assert [launch[0] for launch in emulated.launches] == [
        'posterior', 'sums', 'posterior_vjp', 'features_vjp']
    for _, grid, block, shared_mem in emulated.launches:
        assert numpy.prod(block) <= 1024 and block[0] % 32 == 0
        assert max(grid[1:], default=1) <= 65535 and shared_mem <= 48 * 1024
