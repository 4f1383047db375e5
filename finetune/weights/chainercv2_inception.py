"""InceptionV3 of the package chainercv2."""
from collections.abc import Collection
from pathlib import Path

import numpy

from finetune.weights import inception_names, mapping

ARRAYS = 'conv/W', 'bn/gamma', 'bn/beta', 'bn/avg_mean', 'bn/avg_var'
UNUSED = '^output/|/bn/N$'


def fits(names: Collection[str]) -> bool:
    """Whether arrays have chainercv2's names."""
    return 'features/init_block/conv5/conv/W' in names


def convert(arrays: dict[str, numpy.ndarray], path: str | Path
            ) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Converts to the arrays of our TorchInceptionV3; see :func:`mapping.convert`."""
    names = {f'{link}/{array}': f'{layer}/{array}'
             for link, layer in inception_names.chainercv2().items() for array in ARRAYS}
    return mapping.convert(arrays, names, "chainercv2's InceptionV3", path, UNUSED)
