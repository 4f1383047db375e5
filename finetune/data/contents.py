"""A cheap identity of the contents of files."""
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
import functools
import hashlib
from pathlib import Path
import stat

BLOCK_BYTES, N_BLOCKS = 2 ** 14, 4
N_THREADS = 8       # which wait for the disk


def identify(paths: Iterable[Path]) -> list[str]:
    """Identifies the contents of files by 16 hexadecimal digits each.

    They are a hash of a file's size and of up to four blocks of 16 KiB, evenly spaced: cheap for
    large data sets, and different for almost any two pictures. A file that cannot be read gets an
    empty text.
    """
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(_identify, map(Path, paths)))


def _identify(path):
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):     # a pipe would block
            return ''
        return _hash(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return ''


@functools.lru_cache(maxsize=2 ** 20)
def _hash(path, size, changed):
    """The hash of a file with a size and a time of change, by which it is remembered."""
    digest = hashlib.blake2b(str(size).encode(), digest_size=8)
    last = max(size - BLOCK_BYTES, 0)
    with open(path, 'rb') as file:
        for i in range(N_BLOCKS):
            file.seek(last * i // (N_BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
            if not last:
                break
    return digest.hexdigest()
