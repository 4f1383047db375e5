import chainer
from chainer import gradient_check
from chainer import serializers
import numpy
import oracles
import pytest

from fve_layer import FVELayer, GradientFVELayer
from fve_layer import masking

K, D = 4, 3


def make(x=None, **settings):
    """A float64 layer with a mixture that is nowhere at its starting point."""
    with chainer.using_config('dtype', numpy.float64):
        layer = GradientFVELayer(D, K, seed=0, **settings)
    mean, var, weight = oracles.mixture(K, D)
    layer.mean.array[...] = mean
    layer.raw_var.array[...] = numpy.log(var - layer.var_floor)
    layer.raw_weight.array[...] = numpy.log(weight) + 3      # softmax takes the 3 away again
    layer.is_seeded = True
    return layer


def features(*shape, seed=1):
    return numpy.random.RandomState(seed).randn(*shape)


MASK = numpy.random.RandomState(2).rand(3, 6) < .7


@pytest.mark.parametrize('normalization', ['sqrt', 'mean'])
@pytest.mark.parametrize('mask', [None, MASK])
def test_equals_loops(normalization, mask):
    x = features(3, 6, D)
    fv = make(normalization=normalization)(x, mask).array
    expected = oracles.fisher_vector(x, *oracles.mixture(K, D), mask, normalization)
    numpy.testing.assert_allclose(fv, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('normalization', ['sqrt', 'mean'])
@pytest.mark.parametrize('mask', [None, MASK])
def test_numerical_gradient_of_features_and_mixture(normalization, mask):
    layer = make(normalization=normalization)
    x = features(3, 6, D)
    gradient_check.check_backward(
        lambda x: layer(x, mask), x, features(3, layer.out_size),
        params=(layer.mean, layer.raw_var, layer.raw_weight), dtype=numpy.float64,
        eps=1e-5, rtol=1e-6, atol=1e-6)


def test_first_batch_seeds_the_mixture_as_in_the_fve_layer():
    x = features(4, 50, D).astype('f')
    by_gradient, by_em = (layer(D, K, seed=3) for layer in (GradientFVELayer, FVELayer))
    with chainer.using_config('train', False):
        by_gradient(x)
    assert not by_gradient.is_seeded
    by_gradient(x)
    assert by_gradient.is_seeded
    # The same seeding: one EM step from it is what FVELayer has after the first batch.
    layer = FVELayer(D, K, seed=3, ema_decay=0)
    layer.mean[...] = by_gradient.mean.array
    layer.var[...] = by_gradient.var.array
    layer.weight[...] = by_gradient.weight.array
    layer.n_updates[...] = 1
    layer(x)
    by_em(x)
    numpy.testing.assert_allclose(layer.mean, by_em.mean, rtol=1e-4, atol=1e-5)
    numpy.testing.assert_allclose(layer.var, by_em.var, rtol=1e-3)
    numpy.testing.assert_allclose(layer.weight, by_em.weight, rtol=1e-4)


def test_a_step_lowers_the_loss_and_keeps_the_mixture_valid():
    layer = make()
    optimizer = chainer.optimizers.SGD(1e-2).setup(layer)
    x = features(3, 6, D)

    def loss():
        return chainer.functions.sum(layer(x) ** 2)
    before = loss()
    layer.cleargrads()
    before.backward()
    optimizer.update()
    assert loss().array < before.array
    assert (layer.var.array > layer.var_floor).all()
    assert layer.weight.array.sum() == pytest.approx(1)


def test_hidden_features_have_no_influence():
    x = chainer.Variable(features(3, 6, D))
    layer = make()
    fv = layer(x, MASK)
    fv.grad = numpy.ones_like(fv.array)
    fv.backward()
    assert (x.grad[~MASK] == 0).all()
    assert (x.grad[MASK] != 0).all()
    changed = numpy.where(MASK[..., None], x.array, 1e6)
    assert (layer(changed, MASK).array == fv.array).all()


def test_image_without_visible_features_is_zero():
    mask = MASK.copy()
    mask[1] = False
    x = chainer.Variable(features(3, 6, D))
    layer = make()
    layer.cleargrads()
    fv = layer(x, mask)
    fv.grad = numpy.ones_like(fv.array)
    fv.backward()
    assert (fv.array[1] == 0).all()
    assert all(numpy.isfinite(a).all() for a in (fv.array, x.grad, layer.mean.grad,
                                                 layer.raw_var.grad, layer.raw_weight.grad))


def test_no_visible_feature_at_all_does_not_seed():
    layer = GradientFVELayer(D, K, seed=0)
    fv = layer(features(3, 6, D).astype('f'), numpy.zeros((3, 6), dtype=bool))
    assert not layer.is_seeded
    assert (fv.array == 0).all()


def test_norm_filter():
    x = features(3, 20, D)
    counts = masking.counting_features(x, None, True)
    assert 0 < counts.sum() < counts.size
    fv = make(norm_filter=True)(x).array
    numpy.testing.assert_allclose(fv, make()(x, counts).array, rtol=1e-12)


def test_float16_features():
    x = features(3, 6, D)
    layer = GradientFVELayer(D, K, seed=0)
    layer.copyparams(make())
    layer.is_seeded = True
    fv = layer(x.astype(numpy.float16))
    assert fv.dtype == numpy.float16
    assert layer.mean.dtype == numpy.float32
    numpy.testing.assert_allclose(fv.array, make()(x).array, rtol=2e-2, atol=2e-2)


def test_saved_and_loaded_it_does_not_seed_again(tmp_path):
    x = features(4, 50, D).astype('f')
    layer = GradientFVELayer(D, K, seed=3)
    fv = layer(x).array
    serializers.save_npz(tmp_path / 'layer.npz', layer)
    other = GradientFVELayer(D, K, seed=4)
    serializers.load_npz(tmp_path / 'layer.npz', other)
    assert int(other.seed) == 3
    assert (other(x).array == fv).all()


def test_component_of_vanishing_weight_yields_zeros():
    layer = make()
    layer.raw_weight.array[1] = -200
    x = chainer.Variable(features(3, 6, D))
    layer.cleargrads()
    fv = layer(x)
    fv.grad = numpy.ones_like(fv.array)
    fv.backward()
    fv = fv.array.reshape(3, 2, K, D)
    assert (fv[:, :, 1] == 0).all() and (fv[:, :, 0] != 0).all()
    for array in (fv, x.grad, layer.mean.grad, layer.raw_var.grad, layer.raw_weight.grad):
        assert numpy.isfinite(array).all()


@pytest.mark.parametrize('settings, message', [
    (dict(normalization='none'), 'normalization'), (dict(var_floor=0), 'var_floor'),
    (dict(n_components=0), 'n_components')])
def test_wrong_options(settings, message):
    with pytest.raises(ValueError, match=message):
        GradientFVELayer(D, **{'n_components': K, **settings})


def test_mixture_is_plain_arrays_and_there_is_nothing_to_report():
    layer = make()
    layer(features(3, 6, D))
    assert layer.observation == {}
    assert isinstance(layer.mixture, tuple) and len(layer.mixture) == 3
    for array, expected in zip(layer.mixture, oracles.mixture(K, D)):
        assert type(array) is numpy.ndarray
        numpy.testing.assert_allclose(array, expected, rtol=1e-10)


def test_str_names_the_settings():
    text = str(make(norm_filter=True))
    for setting in ('in_size=3', 'n_components=4', 'norm_filter=True', 'var_floor=0.001',
                    'normalization=sqrt'):
        assert setting in text


def test_wrong_shapes():
    with pytest.raises(ValueError, match='x must have the shape'):
        make()(features(3, 6, D + 1))
    with pytest.raises(ValueError, match='mask must have the shape'):
        make()(features(3, 6, D), MASK[:, :4])
