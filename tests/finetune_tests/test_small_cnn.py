import chainer.functions as F
import numpy
import pytest

from finetune.config.catalogue import ARCHITECTURES
from finetune.models.small_cnn import SmallCNN


@pytest.mark.parametrize('size', [32, 64, 96])
def test_conv_map_is_an_eighth_of_the_input(size):
    x = numpy.random.RandomState(0).randn(2, 3, size, size).astype('f')
    n_features = ARCHITECTURES['small_cnn'].n_features
    assert SmallCNN()(x).shape == (2, n_features, size // 8, size // 8)


def test_every_array_gets_a_gradient():
    network = SmallCNN()
    network.cleargrads()
    F.sum(network(numpy.random.RandomState(0).randn(2, 3, 32, 32).astype('f')) ** 2).backward()
    for name, param in network.namedparams():
        assert numpy.abs(param.grad).max() > 0, name
