from pathlib import Path

import chainer
import chainer.functions as F
from chainer import serializers
import numpy
import pytest
import yaml

from finetune.config.settings import Model
from finetune.models.inception_v3 import average_pool, BATCH_NORM, ConvBN, InceptionV3, max_pool
from finetune.models.inception_v3 import OriginalInceptionV3
from finetune.models.part_classifier import PartClassifier

FILTERS = yaml.safe_load((Path(__file__).parent / 'inception_v3_filters.yml').read_text())


@pytest.fixture(scope='module')
def network():
    numpy.random.seed(0)
    return InceptionV3()


def expected_arrays():
    """Names and shapes of the arrays of the released file but for its class layer."""
    arrays = {}
    for block, convolutions in FILTERS.items():
        for convolution, shape in convolutions.items():
            prefix = f'{block}/{convolution}/'
            arrays[prefix + 'conv/W'] = tuple(shape)
            arrays[prefix + 'bn/N'] = ()
            for name in ('beta', 'avg_mean', 'avg_var'):
                arrays[f'{prefix}bn/{name}'] = (shape[0],)
    return arrays


def test_arrays_have_the_released_names_and_shapes(network):
    serializer = serializers.DictionarySerializer()
    serializer.save(network)
    arrays = {name: array.shape for name, array in serializer.target.items()}
    assert len(arrays) == 472 - 2       # without fc/W and fc/b
    assert arrays == expected_arrays()


@pytest.mark.parametrize('size, expected', [(299, 8), (224, 5), (107, 2), (75, 1)])
def test_conv_map_size(network, size, expected):
    image = numpy.random.RandomState(0).uniform(-1, 1, (1, 3, size, size)).astype('f')
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        assert network(image).shape == (1, 2048, expected, expected)


def test_gradient_reaches_every_array(network):
    image = numpy.random.RandomState(0).uniform(-1, 1, (2, 3, 107, 107)).astype('f')
    network.cleargrads()
    F.sum(network(image) ** 2).backward()
    for name, param in network.namedparams():
        assert param.grad is not None and numpy.abs(param.grad).max() > 0, name


def test_convolution_in_test_mode_against_numpy():
    """TF-Slim: no bias, no scale, epsilon 1e-3."""
    random = numpy.random.RandomState(0)
    layer = ConvBN(3, 4, (1, 3), **BATCH_NORM)
    layer.bn.beta.array[...] = random.randn(4)
    layer.bn.avg_mean[...] = random.randn(4)
    layer.bn.avg_var[...] = random.uniform(1e-4, 1e-2, 4)
    x = random.randn(2, 3, 5, 6).astype('f')
    with chainer.using_config('train', False):
        y = layer(x).array
    windows = numpy.lib.stride_tricks.sliding_window_view(x, 3, axis=3)     # (2, 3, 5, 4, 3)
    convolved = numpy.einsum('nchwk,ock->nohw', windows, layer.conv.W.array[:, :, 0])
    column = (slice(None), None, None)
    normalized = ((convolved - layer.bn.avg_mean[column])
                  / numpy.sqrt(layer.bn.avg_var[column] + 1e-3) + layer.bn.beta.array[column])
    numpy.testing.assert_allclose(y, numpy.maximum(normalized, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('h, w', [(4, 5), (1, 1), (2, 7)])
def test_average_pooling_leaves_padding_out(h, w):
    x = numpy.random.RandomState(0).randn(2, 3, h, w)
    expected = numpy.empty_like(x)
    for i in range(h):
        for j in range(w):
            window = x[:, :, max(i - 1, 0):i + 2, max(j - 1, 0):j + 2]
            expected[:, :, i, j] = window.mean(axis=(2, 3))
    numpy.testing.assert_allclose(average_pool(chainer.Variable(x)).array, expected)


def test_network_of_the_authors_counts_padding_and_has_another_epsilon():
    network = OriginalInceptionV3()
    epsilons = [link.eps for link in network.links() if hasattr(link, 'eps')]
    assert epsilons == [2e-5] * 94
    for block, channels in ((network.mixed00, 192), (network.mixed04, 768),
                            (network.mixed09, 1280)):
        x = numpy.random.RandomState(0).rand(1, channels, 3, 3).astype('f')
        padded = numpy.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        pooled = numpy.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3)).mean((4, 5))
        with chainer.using_config('train', False):
            expected = block.pool_conv(pooled).array
            y = block(x).array
        numpy.testing.assert_allclose(y[:, -expected.shape[1]:], expected, rtol=1e-4, atol=1e-5)


def test_max_pooling_covers_whole_windows_only():
    x = numpy.arange(2 * 6 * 7, dtype='f').reshape(1, 2, 6, 7)
    y = max_pool(chainer.Variable(x)).array
    expected = [[[x[0, c, i:i + 3, j:j + 3].max() for j in (0, 2, 4)] for i in (0, 2)]
                for c in (0, 1)]
    assert (y[0] == expected).all()


def test_training_step_of_the_full_model_on_the_cpu():
    """Global image and 4 parts at 299 pixels, two images: ConvMaps 8 x 8, weights move."""
    numpy.random.seed(0)
    model = PartClassifier(Model(n_components=1), n_classes=5, n_parts=4,
                           missing='mask', seed=0)
    optimizer = chainer.optimizers.RMSprop(1e-4).setup(model)
    random = numpy.random.RandomState(0)
    visible = numpy.array([[True, True, True, False], [True, True, True, True]])
    img = random.uniform(-1, 1, (2, 3, 299, 299)).astype('f')
    parts = random.uniform(-1, 1, (7, 3, 299, 299)).astype('f')
    before = {name: param.array.copy() for name, param in model.namedparams()}
    optimizer.update(model, img, parts, visible, numpy.array([1, 4], 'i'))
    for name, param in model.namedparams():
        assert numpy.isfinite(param.array).all() and (param.array != before[name]).any(), name
    assert model.encoder.n_updates == 1
    assert numpy.isfinite(model.encoder.mean).all()
