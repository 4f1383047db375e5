import chainer
import chainer.functions as F
import numpy
import pytest

from finetune.models.small_cnn import SmallCNN


@pytest.mark.parametrize('size', [32, 64, 96])
def test_conv_map_is_an_eighth_of_the_input(size):
    x = numpy.random.RandomState(0).randn(2, 3, size, size).astype('f')
    assert SmallCNN().conv_map(x).shape == (2, SmallCNN.n_features, size // 8, size // 8)


def test_scores_are_linear_in_the_averaged_conv_map():
    network = SmallCNN(n_classes=4)
    x = numpy.random.RandomState(0).randn(2, 3, 32, 32).astype('f')
    with chainer.using_config('train', False):
        average = network.conv_map(x).array.mean(axis=(2, 3))
        expected = average @ network.fc.W.array.T + network.fc.b.array
        numpy.testing.assert_allclose(network(x).array, expected, rtol=1e-4, atol=1e-5)


def test_without_classes_there_is_no_class_layer_and_every_array_gets_a_gradient():
    network = SmallCNN()
    assert not hasattr(network, 'fc')
    network.cleargrads()
    F.sum(network.conv_map(numpy.random.RandomState(0).randn(2, 3, 32, 32).astype('f')) ** 2
          ).backward()
    for name, param in network.namedparams():
        assert numpy.abs(param.grad).max() > 0, name
