"""InceptionV3 of the npm package nsfwjs, read without TensorFlow.

It is Keras's InceptionV3 with weights from ImageNet, whose upper blocks were fine-tuned on five
classes of photographs (MIT licence). Its weights have 8 bits. It replaces weights pre-trained on
iNaturalist where only a package registry is reachable.
"""
import base64
from pathlib import Path
import re
import tarfile
import zlib

import numpy

from finetune.errors import InputError, shortened
from finetune.weights import tf_slim

GET = 'npm pack nsfwjs@4.3.0'
FOLDER = 'package/dist/models/inception_v3/'
# An array in the model's JavaScript file, which is parsed and not executed.
ARRAY = re.compile(r'\{name:"([\w/]+)",shape:\[([\d,]*)\],dtype:"float32",'
                   r'quantization:\{min:([-.\de]+),scale:([-.\de]+),dtype:"uint8"\}\}')
SHARD = re.compile(r'="([A-Za-z0-9+/=]{1000,})"')
# Keras's variables of a convolution, by TF-Slim's.
VARIABLES = {'weights': 'conv2d_{}/kernel', 'BatchNorm/beta': 'batch_normalization_{}/beta',
             'BatchNorm/moving_mean': 'batch_normalization_{}/moving_mean',
             'BatchNorm/moving_variance': 'batch_normalization_{}/moving_variance'}


def is_package(path: str | Path) -> bool:
    """Whether a path names a package."""
    return str(path).endswith('.tgz')


def read(path: str | Path) -> dict[str, numpy.ndarray]:
    """Reads the variables of the convolutions by TF-Slim's names from a package of ``npm pack``."""
    try:
        with tarfile.open(path) as package:
            listing = _text(package, 'model.min.js')
            n_shards = listing.count('"group1-shard')
            data = b''.join(_shard(package, i + 1, n_shards) for i in range(n_shards))
        arrays = _of_centred_images(_arrays(listing, data))
        # Keras numbers convolutions in the order in which the network is built.
        layers = [name[:-len('/weights')] for name in tf_slim.names().values()
                  if name.endswith('/weights')]
        return {f'{layer}/{variable}': arrays[name.format(i)]
                for i, layer in enumerate(layers, 1) for variable, name in VARIABLES.items()}
    except FileNotFoundError:
        raise InputError(f'{path}: there is no such file; run {GET} to download it.')
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zlib.error) as error:
        raise InputError(f'{path}: is not the complete package nsfwjs ({shortened(str(error))}); '
                         f'run {GET} to download it again.')


def _of_centred_images(arrays):
    """Converts the network from images in [0, 1] to images in [-1, 1].

    The first convolution has no padding and absorbs the change: w (x + 1) / 2 = w x / 2 + w / 2.
    """
    kernel, mean = (VARIABLES[name].format(1) for name in ('weights', 'BatchNorm/moving_mean'))
    half = arrays[kernel] / 2
    return {**arrays, kernel: half, mean: arrays[mean] - half.sum(axis=(0, 1, 2))}


def _text(package, name):
    return package.extractfile(FOLDER + name).read().decode('ascii')


def _shard(package, i, n):
    """Decodes one shard of the arrays' bytes."""
    found = SHARD.search(_text(package, f'group1-shard{i}of{n}.min.js'))
    if found is None:
        raise ValueError(f'shard {i} has no weights')
    return base64.b64decode(found[1], validate=True)


def _arrays(listing, data):
    """Splits the bytes into arrays by Keras's names."""
    arrays, start = {}, 0
    for name, shape, low, scale in ARRAY.findall(listing):
        shape = [int(size) for size in shape.split(',')]
        array = numpy.frombuffer(data, numpy.uint8, numpy.prod(shape), start).reshape(shape)
        arrays[name] = (array * float(scale) + float(low)).astype(numpy.float32)
        start += array.size
    if start != len(data):
        raise ValueError(f'{len(data)} bytes of weights instead of {start}')
    return arrays
