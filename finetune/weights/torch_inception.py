"""InceptionV3 of torchvision, of timm and of all that is trained with either."""
from collections.abc import Collection
from pathlib import Path

import numpy

from finetune.weights import inception_names, mapping

UNUSED = r'^(AuxLogits|fc)\.|\.num_batches_tracked$'


def fits(names: Collection[str]) -> bool:
    """Whether arrays have torchvision's names."""
    return 'Conv2d_1a_3x3.conv.weight' in names and any(
        name.startswith('Mixed_5b.branch') for name in names)


def convert(arrays: dict[str, numpy.ndarray], path: str | Path
            ) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Converts to the arrays of our TorchInceptionV3; see :func:`mapping.convert`."""
    names = {}
    for link, layer in inception_names.torch().items():
        names.update(mapping.of_torch(link, f'{layer}.conv', f'{layer}.bn'))
    return mapping.convert(arrays, names, "torch's InceptionV3", path, UNUSED)
