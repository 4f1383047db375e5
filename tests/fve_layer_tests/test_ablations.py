"""Fisher vector layers without one of their ingredients."""
import chainer
import chainer.functions as F
import numpy
import pytest

from fve_layer import ablations, FVELayer, gmm

D, K = 6, 3


def batches(n, dtype='d'):
    """Features of images that show one or two clusters each, and which of them count."""
    random = numpy.random.RandomState(0)
    centres = random.randn(K, D)        # which overlap
    for _ in range(n):
        own = random.randint(K, size=(5, 2))
        index = own[numpy.arange(5)[:, None], random.randint(2, size=(5, 40))]
        x = centres[index] + random.randn(5, 40, D)
        yield x.astype(dtype), random.uniform(size=(5, 40)) < .8


def learned(cls, **options):
    """A layer after some batches, and the next one."""
    with chainer.using_config('dtype', numpy.dtype('d')):
        layer = cls(D, K, seed=0, **options)
    *before, last = batches(6)
    for x, mask in before:
        layer(x, mask)
    return layer, *last


def arrays(layer):
    return [array.copy() for array in layer.mixture]


def encoded(layer, x, mask):
    """Vectors and the gradient of the features in test mode."""
    with chainer.using_config('train', False):
        x = chainer.Variable(x)
        fv = layer(x, mask)
    weight = numpy.random.RandomState(1).randn(*fv.shape)
    F.sum(fv * weight).backward()
    return fv.array, x.grad


def test_frozen_stays_what_it_was_seeded_with():
    layer, x, mask = learned(ablations.Frozen)
    seeded = FVELayer(D, K, seed=0)
    seeded._select(*next(batches(1)))
    for a, b in zip(layer.mixture, seeded.mixture):
        numpy.testing.assert_allclose(a, b, rtol=1e-6)
    before = arrays(layer)
    layer(x, mask)
    assert all((a == b).all() for a, b in zip(layer.mixture, before))
    random, *_ = learned(ablations.Frozen, init='random')
    assert (random.var == 1).all() and abs(random.mean).max() <= 1


def test_unit_variances():
    layer, *_ = learned(ablations.UnitVariances)
    assert (layer.var == 1).all() and layer.n_updates == 5
    assert not numpy.allclose(layer.mean, learned(ablations.Frozen)[0].mean)


@pytest.mark.parametrize('cls, factors', [(ablations.SigmaPart, (0, 1)),
                                          (ablations.WeakSigmaPart, (1, .2))])
def test_part_of_the_vector(cls, factors):
    layer, x, mask = learned(cls)
    whole, *_ = learned(FVELayer)
    fv, gx = encoded(layer, x, mask)
    expected, _ = encoded(whole, x, mask)
    numpy.testing.assert_allclose(fv, expected * numpy.repeat(factors, K * D), rtol=1e-12)
    assert numpy.isfinite(gx).all() and gx.any()


def test_last_batch_em_is_that_of_the_last_batch():
    """By scikit-learn's formulas: an own EM whose averages are read by nobody."""
    with chainer.using_config('dtype', numpy.dtype('d')):
        layer = ablations.LastBatchEM(D, K, seed=0, ema_decay=.7)
    last, sums = None, [0, 0, 0]
    for t, (x, mask) in enumerate(batches(6), 1):
        if last is None:
            layer._select(x, mask)
            last = arrays(layer)
        layer(x, mask)
        features = x[mask]
        resp = gmm.responsibilities(features, *last)
        n = resp.sum(axis=0)
        mean = resp.T @ features / n[:, None]
        var = numpy.maximum(resp.T @ features ** 2 / n[:, None] - mean ** 2, layer.var_floor)
        last = mean, var, n / n.sum()
        sums = [.7 * a + .3 * b for a, b in zip(sums, last)]
        for a, b in zip(layer.mixture, sums):
            numpy.testing.assert_allclose(a, b / (1 - .7 ** t), rtol=1e-6, atol=1e-9)


def test_last_batch_em_goes_on_where_it_was(tmp_path):
    layer, x, mask = learned(ablations.LastBatchEM)
    chainer.serializers.save_npz(tmp_path / 'layer.npz', layer)
    other = ablations.LastBatchEM(D, K, seed=1)
    chainer.serializers.load_npz(tmp_path / 'layer.npz', other)
    for one in layer, other:
        one(x, mask)
    for a, b in zip(layer.mixture, other.mixture):
        numpy.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_batch_that_teaches_nothing_does_not_change_last_batch_em():
    layer, x, mask = learned(ablations.LastBatchEM)
    before = arrays(layer)
    layer(x, numpy.zeros_like(mask))
    with numpy.errstate(invalid='ignore'):
        layer(numpy.full_like(x, numpy.inf), mask)
    assert all((a == b).all() for a, b in zip(layer.mixture, before)) and layer.n_updates == 5


def test_hard_assignment():
    layer, x, mask = learned(ablations.HardAssignment)
    mean, var, weight = layer.mixture
    own = gmm.responsibilities(x, mean, var, weight).argmax(axis=2)
    fv, _ = encoded(layer, x, mask)
    expected = numpy.zeros((len(x), 2, K, D))
    for i in range(len(x)):
        for k in range(K):
            u = (x[i][mask[i] & (own[i] == k)] - mean[k]) / var[k] ** .5
            expected[i, :, k] = u.sum(axis=0), ((u * u - 1) / 2 ** .5).sum(axis=0)
            expected[i, :, k] /= (mask[i].sum() * weight[k]) ** .5
    numpy.testing.assert_allclose(fv, expected.reshape(len(x), -1), atol=1e-8)
    layer(x, mask)
    sizes = numpy.bincount(own[mask], minlength=K) / mask.sum()
    rate = gmm.ema_rate(6, .9)
    numpy.testing.assert_allclose(layer.weight, weight + rate * (sizes - weight), rtol=1e-6)


def test_hidden_features_that_are_not_numbers_do_not_stop_the_learning_of_hard_assignments():
    (x, mask), = batches(1)
    clean, broken = x.copy(), x.copy()
    clean[~mask], broken[~mask] = 0, numpy.nan
    with chainer.using_config('dtype', numpy.dtype('d')):
        layers = [ablations.HardAssignment(D, K, seed=0) for _ in range(2)]
    for layer, features in zip(layers, (clean, broken)):
        layer(features, mask)
    assert layers[1].n_updates == 1
    for expected, got in zip(*map(arrays, layers)):
        numpy.testing.assert_allclose(got, expected)
