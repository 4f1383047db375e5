"""Converts the arrays of torchvision's and timm's ResNet50, 101 and 152 to those of our
:class:`finetune.models.chainercv_cnns.TorchResNet`."""
from collections.abc import Collection
from pathlib import Path
import re

import numpy

from finetune.errors import InputError

# Of ResNets with bottlenecks: their blocks have three convolutions.
TYPICAL = {'conv1.weight', 'bn1.running_mean', 'layer1.0.conv3.weight', 'layer4.2.bn3.weight'}
CLASS_LAYER = 'fc.'
NAME = re.compile(r'(?:layer([1-4])\.(\d+)\.)?(?:(conv|bn)([123])|downsample\.([01]))\.(\w+)')
ARRAYS = {'conv': {'weight': 'W'},
          'bn': {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'avg_mean',
                 'running_var': 'avg_var', 'num_batches_tracked': 'N'}}


def fits(names: Collection[str]) -> bool:
    """Whether arrays have the names of such a ResNet."""
    return TYPICAL <= set(names)


def convert(arrays: dict[str, numpy.ndarray], path: str | Path
            ) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Renames arrays; their shapes are ours already.

    Args:
        arrays (dict): Arrays by torchvision's and timm's names.
        path (str or pathlib.Path): The file that they are from, for messages.

    Returns:
        tuple: The arrays by our names, and the names of those of the class layer, which is left
        out.

    """
    left_out = sorted(name for name in arrays if name.startswith(CLASS_LAYER))
    converted = {_key(name, path): array for name, array in arrays.items()
                 if name not in left_out}
    for key in [key for key in converted if key.endswith('/gamma')]:
        # A count that older files lack and that fine-tuning does not read.
        converted.setdefault(key.replace('gamma', 'N'), numpy.array(0))
    return converted, left_out


def _key(name, path):
    match = NAME.fullmatch(name)
    try:
        layer, unit, kind, number, downsample, array = match.groups()   # type: ignore[union-attr]
        kind = kind or ('conv', 'bn')[int(downsample)]
        array = ARRAYS[kind][array]
    except (AttributeError, KeyError):
        raise InputError(f'{path}: has {name}, which torchvision\'s ResNet50, 101 and 152 do not '
                         'have; get weights of one of these.')
    block = f'res{int(layer) + 1}/{"a" if unit == "0" else f"b{unit}"}/' if layer else ''
    convolution = f'conv{number}' if number else 'residual_conv'
    return f'{block}{convolution}/{kind}/{array}'
