"""Reads a file of weights in any known format."""
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
import zipfile

import numpy

from finetune import files
from finetune.config.catalogue import PACKAGED_WEIGHTS, WEIGHTS
from finetune.errors import InputError, shortened
from finetune.weights.formats import (
    keras_files, OtherContent, safetensors_files, tensorflow_files, torch_files, zipped_npz)
from finetune.weights.formats.numbers import MAX_SIZE, max_size
from finetune.weights.formats.opcodes import ForeignName

TAR_AT = 257        # bytes before the mark of a tar file
ZIP, HDF5 = b'PK', b'\x89HDF\r\n\x1a\n'
# What is often found in place of weights, by its start.
OTHERS = {
    b'<': 'is a web page, not weights; download the file itself',
    b'version https://git-lfs': 'is a pointer of Git LFS to weights; run git lfs pull in the '
                                'repository that it is from',
    b'\x1f\x8b': 'is compressed by gzip; unpack it and give the file of weights',
    b'\x93NUMPY': 'is a single array; weights are several, in an .npz file',
}


class Format(NamedTuple):
    title: str
    read: Callable      # takes a path and returns arrays by name


NPZ = Format('.npz file', files.read_arrays)
ZIPPED_NPZ = Format('zip file with an .npz', zipped_npz.read)
TORCH, TORCH_LEGACY = (Format('file of torch.save', function)
                       for function in (torch_files.read_zip, torch_files.read_legacy))
SAFETENSORS = Format('safetensors file', safetensors_files.read)
KERAS = Format('HDF5 file', keras_files.read)
TENSORFLOW = Format('checkpoint of TensorFlow', tensorflow_files.read)


def read_weights(path: str | Path) -> dict[str, numpy.ndarray]:
    """Reads all arrays of a file of weights by the names in the file.

    Args:
        path (str or pathlib.Path): An .npz file, also within a zip file; a .pth file of torch; a
            safetensors file; a Keras .h5 file; a checkpoint of TensorFlow, as its file, prefix or
            folder; or the folder of a SavedModel. The content decides which.

    """
    found = _format(Path(path))
    if found is NPZ:        # has messages of its own, and the authors' files have text, too
        return files.read_arrays(path, kinds=files.NUMBERS + files.TEXT)
    try:
        return found.read(path)
    except ForeignName as error:
        raise InputError(f'{path}: names {shortened(str(error))}, which weights do not need, so '
                         'nothing of it is executed or read; get the weights alone, as a '
                         'state_dict or in safetensors.')
    except OtherContent as error:
        raise InputError(f'{path}: {error}.')
    except InputError:
        raise
    except Exception as error:      # each library has exceptions of its own
        reason = shortened(str(error)) or type(error).__name__
        raise InputError(f'{path}: is not a complete {found.title} ({reason}); copy it again.')


def _format(path):
    """The format of a file, by its content."""
    if tensorflow_files.is_checkpoint(path):
        return TENSORFLOW
    if not path.exists():
        to_do = (f'get it from {WEIGHTS[path.name]}' if path.name in WEIGHTS else
                 f'name weights of a package ({", ".join(PACKAGED_WEIGHTS)}) or get others '
                 '(docs/data.md)')
        raise InputError(f'{path}: there is no such weights file; correct its path, or {to_do}.')
    files.require_file(path)
    size = path.stat().st_size
    if size > MAX_SIZE:
        raise InputError(f'{path}: has {size} bytes, more than any known weights; give the path '
                         'of a file of weights.')
    with path.open('rb') as file:
        start = file.read(TAR_AT + 5)
    if start.startswith(ZIP):
        return _zip_format(path)
    if start.startswith(HDF5):
        return KERAS
    if start[:1] == torch_files.LEGACY:
        return TORCH_LEGACY
    if start[8:9] == b'{':
        return SAFETENSORS
    if start[TAR_AT:] == b'ustar':
        raise InputError(f'{path}: is a tar file; unpack it and give the file of weights.')
    for sign, problem in OTHERS.items():
        if start.lstrip().startswith(sign):
            raise InputError(f'{path}: {problem}.')
    raise InputError(f'{path}: is in no known format of weights (.npz, .pth, safetensors, .h5, '
                     'checkpoints of TensorFlow); copy it again.')


def _zip_format(path):
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    except Exception as error:      # zipfile has several
        raise InputError(f'{path}: is not a complete .npz file or file of torch.save '
                         f'({shortened(str(error))}); copy it again.')
    if sum(sizes.values()) > max_size(path.stat().st_size):
        raise InputError(f'{path}: contains {sum(sizes.values())} bytes, more than weights in '
                         'a file of its size; copy it again.')
    if torch_files.listing_of(sizes):
        return TORCH
    if zipped_npz.member_of(sizes):
        return ZIPPED_NPZ
    if 'model.weights.h5' in sizes:
        raise InputError(f'{path}: is in a format of Keras that is not read; save the model by '
                         "model.save('model.h5').")
    if not any(name.endswith('.npy') for name in sizes):
        raise InputError(f'{path}: is a zip file without arrays; unpack it and give the file of '
                         'weights.')
    return NPZ
