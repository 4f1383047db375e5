"""Converts the variables of InceptionV3 in TF-Slim's checkpoints."""
from collections.abc import Collection
from pathlib import Path

import numpy

from finetune.weights import mapping

SCOPE = 'InceptionV3/'
AVERAGE = '/ExponentialMovingAverage'   # suffix of a variable averaged over training

# TF-Slim's arrays of a convolution, by ours. TF-Slim's kernels are (height, width, in, out).
ARRAYS = {'conv/W': 'weights', 'bn/beta': 'BatchNorm/beta',
          'bn/avg_mean': 'BatchNorm/moving_mean', 'bn/avg_var': 'BatchNorm/moving_variance'}

# TF-Slim's branch and name of the convolutions of our blocks. TF-Slim's names do not always match
# the kernel (Mixed_6a) and differ between blocks of the same kind (Mixed_5c, Mixed_7c).
BLOCK_A = {
    'conv1x1': '0/Conv2d_0a_1x1', 'conv5x5_1': '1/Conv2d_0a_1x1', 'conv5x5_2': '1/Conv2d_0b_5x5',
    'conv3x3_1': '2/Conv2d_0a_1x1', 'conv3x3_2': '2/Conv2d_0b_3x3',
    'conv3x3_3': '2/Conv2d_0c_3x3', 'pool_conv': '3/Conv2d_0b_1x1'}
BLOCK_5C = {**BLOCK_A, 'conv5x5_1': '1/Conv2d_0b_1x1', 'conv5x5_2': '1/Conv_1_0c_5x5'}
BLOCK_6A = {'conv3x3': '0/Conv2d_1a_1x1', 'conv3x3_1': '1/Conv2d_0a_1x1',
            'conv3x3_2': '1/Conv2d_0b_3x3', 'conv3x3_3': '1/Conv2d_1a_1x1'}
BLOCK_B = {
    'conv1x1': '0/Conv2d_0a_1x1', 'conv7x7_1': '1/Conv2d_0a_1x1', 'conv7x7_2': '1/Conv2d_0b_1x7',
    'conv7x7_3': '1/Conv2d_0c_7x1', 'conv7x7x2_1': '2/Conv2d_0a_1x1',
    'conv7x7x2_2': '2/Conv2d_0b_7x1', 'conv7x7x2_3': '2/Conv2d_0c_1x7',
    'conv7x7x2_4': '2/Conv2d_0d_7x1', 'conv7x7x2_5': '2/Conv2d_0e_1x7',
    'pool_conv': '3/Conv2d_0b_1x1'}
BLOCK_7A = {'conv3x3_1': '0/Conv2d_0a_1x1', 'conv3x3_2': '0/Conv2d_1a_3x3',
            'conv7x7_1': '1/Conv2d_0a_1x1', 'conv7x7_2': '1/Conv2d_0b_1x7',
            'conv7x7_3': '1/Conv2d_0c_7x1', 'conv7x7_4': '1/Conv2d_1a_3x3'}
BLOCK_C = {
    'conv1x1': '0/Conv2d_0a_1x1', 'conv3x3_1': '1/Conv2d_0a_1x1', 'conv3x3_2': '1/Conv2d_0b_1x3',
    'conv3x3_3': '1/Conv2d_0b_3x1', 'conv3x3x2_1': '2/Conv2d_0a_1x1',
    'conv3x3x2_2': '2/Conv2d_0b_3x3', 'conv3x3x2_3': '2/Conv2d_0c_1x3',
    'conv3x3x2_4': '2/Conv2d_0d_3x1', 'pool_conv': '3/Conv2d_0b_1x1'}
BLOCK_7C = {**BLOCK_C, 'conv3x3_3': '1/Conv2d_0c_3x1'}

HEAD = {'conv1': 'Conv2d_1a_3x3', 'conv2': 'Conv2d_2a_3x3', 'conv3': 'Conv2d_2b_3x3',
        'conv5': 'Conv2d_3b_1x1', 'conv6': 'Conv2d_4a_3x3'}
MIXED = [('5b', BLOCK_A), ('5c', BLOCK_5C), ('5d', BLOCK_A), ('6a', BLOCK_6A), ('6b', BLOCK_B),
         ('6c', BLOCK_B), ('6d', BLOCK_B), ('6e', BLOCK_B), ('7a', BLOCK_7A), ('7b', BLOCK_C),
         ('7c', BLOCK_7C)]


def variables() -> dict[str, str]:
    """TF-Slim's names of variables, without their scope, by key of our InceptionV3's arrays."""
    convolutions = {f'head/{link}': layer for link, layer in HEAD.items()}
    for i, (block, layers) in enumerate(MIXED):
        for link, layer in layers.items():
            convolutions[f'mixed{i:02d}/{link}'] = f'Mixed_{block}/Branch_{layer}'
    return {f'{link}/{array}': f'{layer}/{variable}'
            for link, layer in convolutions.items() for array, variable in ARRAYS.items()}


def fits(names: Collection[str]) -> bool:
    """Whether arrays have TF-Slim's names, with or without their scope."""
    known = set(variables().values())
    return any(_bare(name) in known for name in names)


def convert(arrays: dict[str, numpy.ndarray], path: str | Path
            ) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Converts TF-Slim's variables to arrays of our InceptionV3 without its class layer.

    Averaged variables, with which the network was evaluated, are preferred. See
    :func:`finetune.weights.mapping.convert`.
    """
    by_name = {_bare(name): name for name in arrays}
    names = {}
    for key, variable in variables().items():
        average = variable + AVERAGE
        name = average if average in by_name else variable
        names[key] = by_name.get(name, name)
    return mapping.convert(arrays, names, "TF-Slim's InceptionV3", path, is_tensorflow=True)


def _bare(name):
    """A variable's name without the scope, in which TF Hub's network has another one."""
    return name.rpartition(SCOPE)[2]
