"""InceptionV3 of Keras, whose layers are numbered in the order in which the network is built."""
from collections.abc import Collection
from pathlib import Path
import re

import numpy

from finetune.weights import inception_names, mapping

# A layer's kind, its number (none is the first), and the variable's name, or in Keras 3 its place.
LAYER = re.compile(r'(?:^|/)(conv2d|batch_normalization)(?:_(\d+))?/(?:.*/)?'
                   r'(kernel|beta|moving_mean|moving_variance|\d)(?::0)?$')
VARIABLES = {'conv/W': ('conv2d', 'kernel', '0'),
             'bn/beta': ('batch_normalization', 'beta', '0'),
             'bn/avg_mean': ('batch_normalization', 'moving_mean', '1'),
             'bn/avg_var': ('batch_normalization', 'moving_variance', '2')}


def fits(names: Collection[str]) -> bool:
    """Whether arrays belong to numbered convolutions and batch normalisations."""
    return bool(_layers(names, 'conv2d') and _layers(names, 'batch_normalization'))


def convert(arrays: dict[str, numpy.ndarray], path: str | Path
            ) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Converts to the arrays of our InceptionV3; see :func:`mapping.convert`."""
    names = {}
    for array, (kind, *variable) in VARIABLES.items():
        layers = _layers(arrays, kind)
        numbers = sorted(layers)
        for i, link in enumerate(inception_names.links()):
            found = layers[numbers[i]] if i < len(numbers) else {}
            names[f'{link}/{array}'] = next(
                (found[name] for name in variable if name in found),
                f'{variable[0]} of {kind} number {i + 1}')
    return mapping.convert(arrays, names, "Keras's InceptionV3", path,
                           '^(?!.*(conv2d|batch_normalization))|optimizer', is_tensorflow=True)


def _layers(names, kind):
    """Names of the variables of each layer of a kind, by its number."""
    layers = {}
    for name in names:
        match = LAYER.search(name)
        if match and match[1] == kind and 'optimizer' not in name:
            layers.setdefault(int(match[2] or 0), {})[match[3]] = name
    return layers
