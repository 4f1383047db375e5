"""ResNets of torchvision and timm: equal to torchvision's own, whose ConvMaps are stored."""
from pkgutil import resolve_name

import chainer
import numpy
from numpy.testing import assert_allclose
import pytest

import torch_resnet_reference as reference
from finetune.config.catalogue import ARCHITECTURES
from finetune.errors import InputError
from finetune.weights import pretrained, torch_resnet

pytest.importorskip('chainercv')


def build(depth=50):
    return resolve_name(ARCHITECTURES[f'resnet{depth}_torch'].cnn)()


def test_conv_maps_are_torchvisions():
    arrays = reference.arrays()
    assert torch_resnet.fits(arrays)
    converted, left_out = torch_resnet.convert(arrays, 'resnet50.pth')
    assert left_out == ['fc.bias', 'fc.weight']
    cnn = build()
    pretrained.check(cnn, converted, 'resnet50.pth')
    chainer.serializers.NpzDeserializer(converted).load(cnn)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        result = cnn(2 * reference.image() - 1).array
    with numpy.load(reference.FIXTURE) as file:
        expected = file['conv_maps']
    assert_allclose(reference.sample(result), expected, atol=1e-5 * expected.max(), rtol=0)


@pytest.mark.parametrize('without', ['fc.weight fc.bias', 'num_batches_tracked', ''])
def test_arrays_of_another_depth_and_without_optional_ones(without):
    arrays = {name: numpy.zeros(shape, 'i' if shape == () else 'f')
              for name, shape in reference.shapes(101).items()
              if not any(name.endswith(end) for end in without.split())}
    converted, _ = torch_resnet.convert(arrays, 'resnet101.pth')
    pretrained.check(build(101), converted, 'resnet101.pth')
    with pytest.raises(InputError, match='resnet101.pth: the weights do not fit'):
        pretrained.check(build(50), converted, 'resnet101.pth')


@pytest.mark.parametrize('changes', [
    {'layer1.0.conv3.weight': None},                                # ResNet18
    {'conv1.weight': None, 'conv1.0.weight': 0},                    # ResNet50-D
    {'layer4.2.bn3.weight': None}])                                 # ResNet26
def test_other_networks_do_not_fit(changes):
    names = reference.shapes(50).keys() - {name for name, value in changes.items()
                                           if value is None}
    assert not torch_resnet.fits(names)


@pytest.mark.parametrize('name', [
    'layer1.0.se.fc1.weight', 'layer1.0.conv1.bias', 'layer5.0.conv1.weight', 'xlayer1.0.bn1.bias',
    'layer1.0.downsample.2.weight', 'bn1.weight_orig', 'layer1.0.conv1.weight.x'])
def test_array_of_another_network_is_named(name):
    arrays = dict.fromkeys([*reference.shapes(50), name], numpy.zeros(1, 'f'))
    with pytest.raises(InputError, match=f'resnet50.pth: has {name}, which torchvision'):
        torch_resnet.convert(arrays, 'resnet50.pth')
