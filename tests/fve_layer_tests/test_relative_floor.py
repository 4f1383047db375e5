"""The smallest variance in the features' own units."""
import io

import chainer
from chainer import serializers
import numpy
import oracles
import pytest

from fve_layer import FVELayer, gmm, seeding
from fve_layer.ablations import LastBatchEM

N_COMPONENTS, D, DECAY = 4, 6, .8
TINY = 1e-12        # as var_floor, does not count


def batches(n):
    random = numpy.random.RandomState(0)
    centres = 3 * random.randn(N_COMPONENTS, D)
    for _ in range(n):
        yield centres[random.randint(N_COMPONENTS, size=(5, 12))] + .3 * random.randn(5, 12, D)


def layer_of(kind=FVELayer, **options):
    with chainer.using_config('dtype', numpy.float64):
        return kind(D, N_COMPONENTS, ema_decay=DECAY, seed=0,
                    **{'var_floor': TINY, 'relative_var_floor': .1, **options})


@pytest.mark.parametrize('kind', [FVELayer, LastBatchEM])
def test_floor_is_the_moving_average_of_that_of_the_batches(kind):
    layer, floor = layer_of(kind), 0
    for t, x in enumerate(batches(5), 1):
        layer(x)
        floor = DECAY * floor + (1 - DECAY) * .1 * x.reshape(-1, D).var(axis=0).mean()
        assert layer.smallest_var == pytest.approx(floor / (1 - DECAY ** t), rel=1e-9)
        assert (layer.var >= layer.smallest_var).all()
    # clusters have a variance of .09, all features one of about 9
    assert layer.observation['var_at_floor'] == (layer.var == layer.smallest_var).mean() > .8


def test_mixture_against_the_equations():
    layer = layer_of(relative_var_floor=.012)
    first, second = batches(2)
    features = first.reshape(-1, D)
    mixture = seeding.kmeans_mixture(features, N_COMPONENTS, .012 * features.var(axis=0).mean(), 0)
    layer(first)
    new = oracles.m_step(features, oracles.responsibilities(features, *mixture))
    floor = .012 * features.var(axis=0).mean()
    mixture = new[0], numpy.maximum(new[1], floor), new[2]
    numpy.testing.assert_allclose(layer.var, mixture[1], rtol=1e-8)
    assert 0 < numpy.isclose(layer.var, floor).mean() < 1
    layer(second)
    features = second.reshape(-1, D)
    new = oracles.m_step(features, oracles.responsibilities(features, *mixture))
    rate = (1 - DECAY) / (1 - DECAY ** 2)
    floor += rate * (.012 * features.var(axis=0).mean() - floor)
    var = numpy.maximum(mixture[1] + rate * (new[1] - mixture[1]), floor)
    numpy.testing.assert_allclose(layer.var, var, rtol=1e-8)


@pytest.mark.parametrize('factor', [10, .1])
def test_scaled_features_have_the_same_fisher_vectors(factor):
    layer, scaled = layer_of(norm_filter=True), layer_of(norm_filter=True)
    for x in batches(4):
        variables = [chainer.Variable(a) for a in (x, factor * x)]
        fvs = [each(variable) for each, variable in zip((layer, scaled), variables)]
        for fv in fvs:
            fv.grad = numpy.cos(numpy.arange(fv.size)).reshape(fv.shape)
            fv.backward()
        numpy.testing.assert_allclose(fvs[1].array, fvs[0].array, rtol=1e-7, atol=1e-9)
        numpy.testing.assert_allclose(factor * variables[1].grad, variables[0].grad, rtol=1e-7,
                                      atol=1e-9)
    numpy.testing.assert_allclose(scaled.var, factor ** 2 * layer.var, rtol=1e-9)


def test_variance_of_features_from_sums_about_any_centres():
    """Those of a CPU have one centre for all components, those of a GPU one for each."""
    random = numpy.random.RandomState(0)
    x, resp = 5 + random.randn(50, D), random.dirichlet(numpy.ones(N_COMPONENTS), 50)
    for centre in numpy.zeros(D), random.randn(D), random.randn(N_COMPONENTS, D):
        z = x[:, None] - centre         # (50, K or 1, D)
        sums = ((resp[..., None] * z ** power).sum(axis=0) for power in (1, 2))
        variance = gmm.feature_variance(gmm.Statistics(centre, resp.sum(axis=0), *sums, 0.))
        assert variance == pytest.approx(x.var(axis=0).mean(), rel=1e-12)


def test_larger_floor_counts():
    layer = layer_of(var_floor=50.)
    for x in batches(2):
        layer(x)
    assert (layer.var == 50).all() and layer.smallest_var == 50


def test_batch_that_does_not_count_leaves_the_floor():
    layer = layer_of()
    for x in batches(2):
        layer(x)
    floor = layer.smallest_var.copy()
    layer(x, numpy.zeros(x.shape[:2], bool))
    layer(numpy.full_like(x, numpy.nan))
    assert layer.smallest_var == floor


def test_floor_is_saved():
    x, *rest = batches(3)
    layer, loaded, file = layer_of(), layer_of(), io.BytesIO()
    layer(x)
    serializers.save_npz(file, layer)
    file.seek(0)
    serializers.load_npz(file, loaded)
    for x in rest:
        numpy.testing.assert_array_equal(loaded(x).array, layer(x).array)
    assert loaded.smallest_var == layer.smallest_var
