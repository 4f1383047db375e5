"""Files that are written whole or not at all, and locks between processes."""
import contextlib
import fcntl
import os
from pathlib import Path


@contextlib.contextmanager
def atomic(path):
    """Context in which a file is written under a temporary name and renamed at the end.

    After an error an earlier file is still there.

    Args:
        path (str or pathlib.Path): The file.

    Yields:
        pathlib.Path: Where to write, with the same suffix.

    """
    path = Path(path)
    unfinished = path.with_name(f'.{path.name}')
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


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
