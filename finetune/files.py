"""Files that are written atomically, files of arrays, and locks between processes."""
import contextlib
import errno
import fcntl
import os
from pathlib import Path
import sys

import numpy

from finetune.errors import InputError, shortened

NUMBERS, TEXT = 'fiub', 'U'      # kinds of dtypes
WITHOUT_LOCKS = errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS    # of some network file systems


@contextlib.contextmanager
def atomic(path):
    """Context that yields a temporary path with the same suffix, which is renamed at the end.

    After an error an earlier file still exists. An error of the disk names the file.
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
    """Context that adds the file's name to errors of the disk without one, such as a full disk."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_text(path, text):
    """Writes a text file atomically."""
    with atomic(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8')


def require_file(path):
    """Raises an error for a folder, and for a pipe, which would block; a file may be missing."""
    path = Path(path)
    if path.exists() and not path.is_file():
        kind = 'folder' if path.is_dir() else 'pipe or a device'
        raise InputError(f'{path}: is a {kind}, but must be a file; replace it by a file.')


def require_new(path, suffix):
    """Raises an error if a path exists or has another suffix."""
    path = Path(path)
    if path.suffix != suffix:
        raise InputError(f'{path}: the output is an {suffix} file; give a name ending in {suffix}.')
    if path.exists():
        raise InputError(f'{path}: exists already; remove it or give another name.')


def require_empty(folder, option):
    """Raises an error, which names ``option``, if a folder has files other than hidden ones."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f'{folder}: is a file, but {option} must be a folder.')
    if folder.exists() and any(not path.name.startswith('.') for path in folder.iterdir()):
        raise InputError(f'{folder}: has files, which are kept; give another {option}.')


def read_arrays(path, what='.npz file', to_do='copy it again', kinds=NUMBERS):
    """Reads all arrays of an ``.npz`` file by name, without unpickling objects.

    Args:
        path (str or pathlib.Path): The file.
        what (str): Kind of file, for the message.
        to_do (str): Remedy for a broken file, for the message.
        kinds (str): Allowed kinds of arrays, as in :attr:`numpy.dtype.kind`.

    Raises:
        FileNotFoundError: If the file does not exist.

    """
    require_file(path)
    try:
        with open(path, 'rb') as file, numpy.load(file, allow_pickle=False) as archive:
            if len(set(archive.files)) < len(archive.files):
                raise ValueError('it has an array twice')
            arrays = {name: _array(archive, name, kinds) for name in archive.files}
    except FileNotFoundError:
        raise
    except Exception as error:      # zipfile, zlib, tokenize and NumPy have different exceptions
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
    """Writes arrays by name as an ``.npz`` file; its bytes do not depend on their order."""
    with atomic(path) as unfinished:
        numpy.savez(unfinished, **dict(sorted(arrays.items())))


@contextlib.contextmanager
def locked(path, on_wait=lambda: None):
    """Context that one process at a time can enter, by a lock file that is made if missing.

    ``on_wait`` is called before waiting for another process. The operating system releases the lock
    when a process ends for any reason. On a file system without locks any process enters, and a
    sentence is printed.
    """
    with open(path, 'w') as lock:
        with named(path):
            _lock(lock, on_wait)
        yield


def _lock(lock, on_wait):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        print(f'{lock.name}: the file system cannot lock files ({error.strerror}); start no other '
              'process that writes into this folder.', file=sys.stderr, flush=True)


def is_locked(path):
    """Whether a process is in the context :func:`locked` with this file."""
    try:
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:         # no process has made the file
        pass
    return False
