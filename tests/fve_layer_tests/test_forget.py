"""Layers inside ``F.forget``, which repeats their calls in the backward pass."""
import chainer
import chainer.functions as F
import numpy
import pytest

from fve_layer import ablations, FVELayer, GMMLayer, GradientFVELayer

D, K = 4, 3
LAYERS = [FVELayer, GMMLayer, GradientFVELayer, ablations.Frozen, ablations.UnitVariances,
          ablations.SigmaPart, ablations.WeakSigmaPart, ablations.LastBatchEM,
          ablations.HardAssignment]


def batches(n=3):
    random = numpy.random.RandomState(0)
    return [(random.randn(5, 30, D).astype('f') + random.randn(D).astype('f'),
             random.uniform(size=(5, 30)) < .7) for _ in range(n)]


def learned(layer, call, train=True, is_masked=True):
    """Bytes of all gradients and of the layer's state after each of some batches."""
    results = []
    for x, mask in batches():
        x = chainer.Variable(x)
        with chainer.using_config('train', train):
            y = call(lambda x: layer(x, mask if is_masked else None), x)
            layer.cleargrads()
            F.sum(y * numpy.random.RandomState(1).randn(*y.shape).astype('f')).backward()
        arrays = {name: param.grad for name, param in layer.namedparams()}
        saved = chainer.serializers.DictionarySerializer()
        layer.serialize(saved)
        arrays |= saved.target | {'y': y.array, 'x': x.grad}
        results.append({name: numpy.asarray(array).tobytes() for name, array in arrays.items()})
    return results


@pytest.mark.parametrize('is_masked', [False, True])
@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('layer', LAYERS)
def test_forgotten_results_change_nothing(layer, train, is_masked):
    """The first batch seeds; the other ones find a mixture."""
    layers = [layer(D, K, seed=0, norm_filter=True) for _ in range(2)]
    if not train:
        for each in layers:
            each(*batches()[0])
    assert (learned(layers[0], lambda call, x: call(F.identity(x)), train, is_masked)
            == learned(layers[1], F.forget, train, is_masked))
