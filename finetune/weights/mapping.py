"""Converts arrays by a table of names."""
from pathlib import Path
import re

import numpy

from finetune.errors import InputError
from finetune.files import NUMBERS

MAX_NAMES = 10      # in a message


def convert(arrays: dict[str, numpy.ndarray], names: dict[str, str], network: str,
            path: str | Path, unused: str = '', is_tensorflow: bool = False
            ) -> tuple[dict[str, numpy.ndarray], list[str]]:
    """Converts a network's arrays to ours, in which the counters of batches start at 0.

    Args:
        arrays (dict): Arrays by their names.
        names (dict): Their names by our keys.
        network (str): What the names belong to, for messages.
        path (str or pathlib.Path): The source of the arrays, for messages.
        unused (str): Regular expression of the names that may be left out; empty: any.
        is_tensorflow (bool): Whether kernels are (height, width, in, out) in place of (out, in,
            height, width).

    Returns:
        tuple: The arrays by our keys, and the names of those that were left out.

    """
    missing = [name for name in names.values()
               if name not in arrays or arrays[name].dtype.kind not in NUMBERS]
    left_out = sorted(set(arrays) - set(names.values()))
    foreign = [name for name in left_out if not re.search(unused, name)]
    for problem, found in (('missing', missing), ('unknown', foreign)):
        if found:
            some = ', '.join(found[:MAX_NAMES]) + ', ...' * (len(found) > MAX_NAMES)
            raise InputError(f'{path}: the variables do not fit {network} ({len(found)} {problem}: '
                             f'{some}); use weights of that network.')
    converted = {key: _converted(arrays[name], is_tensorflow) for key, name in names.items()}
    converted.update({f'{key[:-len("avg_var")]}N': numpy.zeros((), numpy.int64)
                      for key in names if key.endswith('/avg_var')})
    return converted, left_out


def _converted(array, is_tensorflow):
    if is_tensorflow and array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    with numpy.errstate(over='ignore'):     # what is not finite is reported later
        return numpy.array(array, numpy.float32, order='C')


def of_torch(link: str, convolution: str, batch_norm: str) -> dict[str, str]:
    """torch's names of a convolution and its batch normalisation, by keys of our link."""
    return {f'{link}/conv/W': f'{convolution}.weight', f'{link}/bn/gamma': f'{batch_norm}.weight',
            f'{link}/bn/beta': f'{batch_norm}.bias',
            f'{link}/bn/avg_mean': f'{batch_norm}.running_mean',
            f'{link}/bn/avg_var': f'{batch_norm}.running_var'}
