"""Keras's HDF5 files, by the package h5py."""
from pathlib import Path

import numpy

from finetune.errors import InputError
from finetune.files import NUMBERS
from finetune.weights.formats.numbers import max_size


def read(path: str | Path) -> dict[str, numpy.ndarray]:
    """Reads the arrays by their paths in the file, such as ``conv2d_1/conv2d_1/kernel:0``.

    Links to other files are not followed.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f'{path}: is an HDF5 file; pip install h5py to read it.')
    largest, arrays = max_size(Path(path).stat().st_size), {}

    def add(name, found):
        if not isinstance(name, str):
            raise ValueError('a name is not UTF-8')
        if isinstance(found, h5py.Dataset) and found.dtype.kind in NUMBERS:
            if found.external or found.is_virtual:
                raise ValueError(f'{name} is in another file')
            if found.nbytes + sum(array.nbytes for array in arrays.values()) > largest:
                raise ValueError(f'{name} is larger than any known weights')
            arrays[name] = found[()]

    with h5py.File(path, 'r') as file:
        file.visititems(add)
    return arrays
