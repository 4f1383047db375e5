"""torchvision's own ResNet50 with random arrays: some of its ConvMaps.

    python tests/finetune_tests/torch_resnet_reference.py

writes torch_resnet_conv_maps.npz beside this file; it needs torch and torchvision. The arrays are
functions of their names, which are listed here; torchvision checks that they are its own.
"""
from pathlib import Path
import zlib

import numpy

FIXTURE = Path(__file__).with_name('torch_resnet_conv_maps.npz')
UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
N_CLASSES = 1000
# ImageNet's mean and standard deviation, as torchvision's documentation has them.
MEAN, STD = ([[[.485]], [[.456]], [[.406]]], [[[.229]], [[.224]], [[.225]]])


def shapes(depth):
    """Shapes of all arrays by name."""
    found = {'conv1.weight': (64, 3, 7, 7), **_batch_norm('bn1', 64),
             'fc.weight': (N_CLASSES, 2048), 'fc.bias': (N_CLASSES,)}
    c_in = 64
    for layer, n_units in enumerate(UNITS[depth], 1):
        c = 32 * 2 ** layer
        for unit in range(n_units):
            name = f'layer{layer}.{unit}'
            kernels = (c, c_in, 1, 1), (c, c, 3, 3), (4 * c, c, 1, 1)
            for i, shape in enumerate(kernels, 1):
                found |= {f'{name}.conv{i}.weight': shape,
                          **_batch_norm(f'{name}.bn{i}', shape[0])}
            if unit == 0:
                found |= {f'{name}.downsample.0.weight': (4 * c, c_in, 1, 1),
                          **_batch_norm(f'{name}.downsample.1', 4 * c)}
            c_in = 4 * c
    return found


def _batch_norm(name, n):
    return {**{f'{name}.{array}': (n,)
               for array in ('weight', 'bias', 'running_mean', 'running_var')},
            f'{name}.num_batches_tracked': ()}


def arrays(depth=50):
    """Random arrays by torchvision's names."""
    return {name: _values(name, shape) for name, shape in shapes(depth).items()}


def _values(name, shape):
    random, kind = numpy.random.RandomState(zlib.crc32(name.encode())), name.rpartition('.')[2]
    if kind == 'num_batches_tracked':
        return numpy.asarray(7, numpy.int64)
    if len(shape) > 1:
        return ((2 / numpy.prod(shape[1:])) ** .5 * random.standard_normal(shape)).astype('f')
    low, high = {'weight': (.3, .6), 'running_var': (.5, 2)}.get(kind, (-.2, .2))
    return random.uniform(low, high, shape).astype('f')


def image():
    """One image (1, 3, 97, 131) in [0, 1]."""
    return numpy.random.RandomState(0).rand(1, 3, 97, 131).astype('f')


def sample(conv_maps):
    """Every 16th channel of ConvMaps (1, 2048, h, w)."""
    return conv_maps[0, ::16]


def main():
    import torch
    import torchvision
    network = torchvision.models.resnet50().eval()
    network.load_state_dict({name: torch.from_numpy(array) if array.ndim else torch.tensor(7)
                             for name, array in arrays().items()})
    layers = torch.nn.Sequential(*list(network.children())[:-2])
    with torch.no_grad():
        result = layers(torch.from_numpy(((image() - MEAN) / STD).astype('f'))).numpy()
    numpy.savez_compressed(FIXTURE, conv_maps=sample(result))


if __name__ == '__main__':
    main()
