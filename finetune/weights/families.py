"""Networks whose weights can be read, by the names in their files."""
from collections.abc import Collection
from pathlib import Path
import re
from types import ModuleType
from typing import NamedTuple

import numpy

from finetune.errors import InputError
from finetune.weights import (
    chainercv2_inception, efficientnet_lite, keras_inception, tf_slim, torch_inception,
    torch_resnet)

# Mean and standard deviation of the images in [0, 1] that most of torch's networks see.
MEAN, STD = numpy.array([.485, .456, .406]), numpy.array([.229, .224, .225])

# An array of each of torch's networks, and what its name starts with in a larger network.
TYPICAL = re.compile(r'(|.+\.)(?:Conv2d_1a_3x3\.conv|_?conv_stem|layer1\.0\.conv1)\.weight')


class Family(NamedTuple):
    title: str
    module: ModuleType                  # with the functions ``fits`` and ``convert``
    architectures: tuple[str, ...]      # candidates among those of the catalogue
    unpadded: str = ''                  # the first convolution, if it has no padding
    is_imagenet: bool = False           # whether it sees images normalised by MEAN and STD


FAMILIES = (
    Family("TF-Slim's InceptionV3", tf_slim, ('inception_v3',), 'head/conv1'),
    Family("torch's InceptionV3", torch_inception, ('inception_v3_torch',), 'head/conv1'),
    Family("chainercv2's InceptionV3", chainercv2_inception, ('inception_v3_torch',),
           'head/conv1', is_imagenet=True),
    Family("Keras's InceptionV3", keras_inception, ('inception_v3',), 'head/conv1'),
    Family('EfficientNet-Lite', efficientnet_lite,
           tuple(f'efficientnet_lite{i}' for i in range(3))),
    Family("torch's ResNet", torch_resnet,
           ('resnet50_torch', 'resnet101_torch', 'resnet152_torch')),
)


def unwrapped(arrays: dict[str, numpy.ndarray]) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Takes the one known network of torch out of a larger one, in which its names start otherwise.

    Examples are ``module.`` of several GPUs, ``_orig_mod.`` of torch.compile, ``model.`` of
    Lightning and ``backbone.`` of a detector.

    Args:
        arrays (dict): Arrays by their names.

    Returns:
        tuple: The network's arrays by its own names, or all if there are none or several, and the
        names of the others.

    """
    starts = {match[1] for match in map(TYPICAL.fullmatch, arrays) if match}
    start = starts.pop() if len(starts) == 1 else ''
    return ({name[len(start):]: array for name, array in arrays.items() if name.startswith(start)},
            [name for name in arrays if not name.startswith(start)])


def find(names: Collection[str]) -> Family | None:
    """The network whose names arrays have; ``None``: no other program's that is known."""
    return next((family for family in FAMILIES if family.module.fits(names)), None)


def convert(family: Family, arrays: dict[str, numpy.ndarray], path: str | Path,
            is_imagenet: bool = False) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Converts to arrays of our network for images in [-1, 1].

    Args:
        family (Family): The network.
        arrays (dict): Arrays by their names.
        path (str or pathlib.Path): Their source, for messages.
        is_imagenet (bool): Whether the network sees images normalised by MEAN and STD although
            its names do not tell.

    Returns:
        tuple: The arrays by our keys, and the names of those that were left out.

    """
    converted, left_out = family.module.convert(arrays, path)
    if is_imagenet or family.is_imagenet:
        if not family.unpadded:
            raise InputError(f'{path}: the first convolution of {family.title} has padding, so '
                             'that no other normalisation of images can become part of it; '
                             'convert it without the option.')
        converted.update(_centred(converted, family.unpadded))
    return converted, left_out


def _centred(arrays, link):
    """The first convolution for images x in [-1, 1] in place of ((x + 1) / 2 - MEAN) / STD.

    This is x / (2 STD) plus a constant, which moves the mean before batch normalisation.
    """
    kernel, mean = f'{link}/conv/W', f'{link}/bn/avg_mean'
    shape = arrays[kernel].shape
    if len(shape) != 4 or shape[1] != len(MEAN) or arrays[mean].shape != shape[:1]:
        return {}       # of another network, as is found when it is loaded
    weight = arrays[kernel].astype(float)
    shift = numpy.einsum('ocij,c->o', weight, (.5 - MEAN) / STD)
    return {kernel: (weight / (2 * STD)[:, None, None]).astype(numpy.float32),
            mean: (arrays[mean] - shift).astype(numpy.float32)}
