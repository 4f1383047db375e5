"""Files of arrays (.npz), read without executing anything that is in them."""
import numpy

from finetune.errors import InputError, shortened
from finetune.files import atomic, require_file

NUMBERS, TEXT = 'fiub', 'U'      # kinds of arrays


def read(path, what='.npz file', to_do='copy it again', kinds=NUMBERS):
    """All arrays of a file, by name.

    Args:
        path (str or pathlib.Path): The file.
        what (str): What it is, for the message.
        to_do (str): What to do if it is broken, for the message.
        kinds (str): Kinds of arrays that may be in it, as in :attr:`numpy.dtype.kind`; never
            objects, which would have to be unpickled.

    Raises:
        finetune.errors.InputError: If the file is not complete, or has anything else in it.
        FileNotFoundError: If there is none.

    """
    require_file(path)
    try:
        with open(path, 'rb') as file, numpy.load(file, allow_pickle=False) as archive:
            if len(set(archive.files)) < len(archive.files):
                raise ValueError('an array is in it twice')
            arrays = {name: _array(archive, name, kinds) for name in archive.files}
    except FileNotFoundError:
        raise
    except Exception as error:      # zipfile, zlib, tokenize and NumPy each raise their own
        reason = shortened(str(error)) or type(error).__name__
        raise InputError(f'{path}: is not a complete {what} ({reason}); {to_do}.')
    return arrays


def _array(archive, name, kinds):
    array = archive[name]
    if not isinstance(array, numpy.ndarray):
        raise ValueError(f'{name} is not an array')
    if array.dtype.kind not in kinds:
        raise ValueError(f'{name} is an array of {array.dtype}')
    return array


def write(path, arrays):
    """Writes arrays by name; equal arrays in any order give equal bytes."""
    with atomic(path) as unfinished:
        numpy.savez(unfinished, **dict(sorted(arrays.items())))
