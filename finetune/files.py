"""Files that are written whole or not at all, files of arrays, and locks between processes."""
import contextlib
import fcntl
import os
from pathlib import Path

import numpy

from finetune.errors import InputError, shortened

NUMBERS, TEXT = 'fiub', 'U'      # kinds of arrays


@contextlib.contextmanager
def atomic(path):
    """Context in which a file is written under a temporary name and renamed at the end.

    After an error an earlier file is still there. An error of the disk names the file.

    Args:
        path (str or pathlib.Path): The file.

    Yields:
        pathlib.Path: Where to write, with the same suffix.

    """
    path = Path(path)
    unfinished = path.with_name(f'.{path.name}')
    try:
        with named(path):
            yield unfinished
            os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def named(path):
    """Context in which an error of the disk that names no file, as when it is full, gets a name."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_text(path, text):
    """Writes a file of text whole or not at all."""
    with atomic(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8')


def require_file(path):
    """Raises an error for what is neither a file nor missing; a pipe would be waited for."""
    path = Path(path)
    if path.exists() and not path.is_file():
        kind = 'folder' if path.is_dir() else 'pipe or a device'
        raise InputError(f'{path}: is a {kind}, but has to be a file; put one there.')


def require_new(path, suffix):
    """Raises an error unless a path has the suffix and nothing is there yet."""
    path = Path(path)
    if path.suffix != suffix:
        raise InputError(f'{path}: the output is an {suffix} file; give a name ending in {suffix}.')
    if path.exists():
        raise InputError(f'{path}: exists already; remove it or give another name.')


def require_empty(folder, option):
    """Raises an error if a folder has files other than hidden ones; ``option`` names it."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f'{folder}: is a file, but {option} has to be a folder.')
    if folder.exists() and any(not path.name.startswith('.') for path in folder.iterdir()):
        raise InputError(f'{folder}: has files in it, which are kept; give another {option}.')

def read_arrays(path, what='.npz file', to_do='copy it again', kinds=NUMBERS):
    """Reads all arrays of an ``.npz`` file by name; nothing that is in it is executed.

    Args:
        path (str or pathlib.Path): The file.
        what (str): What it is, for the message.
        to_do (str): What to do if it is broken, for the message.
        kinds (str): Kinds of arrays that may be in it, as in :attr:`numpy.dtype.kind`; never
            objects, which would have to be unpickled.

    Raises:
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


def write_arrays(path, arrays):
    """Writes arrays by name as an ``.npz`` file; equal arrays in any order give equal bytes."""
    with atomic(path) as unfinished:
        numpy.savez(unfinished, **dict(sorted(arrays.items())))


@contextlib.contextmanager
def locked(path, on_wait=lambda: None):
    """Context that one process at a time can enter; others wait.

    The operating system releases the lock when the process ends, however it ends.

    Args:
        path (str or pathlib.Path): File of the lock, made if it is missing.
        on_wait (callable): Called before waiting for another process.

    """
    with open(path, 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_locked(path):
    """Whether a process is in the context of :func:`locked` with this file."""
    try:
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:         # no process has been there
        pass
    return False
