"""Numbers that NumPy lacks, and how many a file may have."""
import numpy

MAX_SIZE = 2 ** 32      # bytes of a file; the largest known weights have an eighth
MAX_FREE, MAX_RATIO = 2 ** 26, 10       # compression hardly makes weights smaller


def max_size(file_size: int) -> int:
    """How many bytes the arrays in a compressed file may have, so that no small file fills the
    memory."""
    return max(MAX_FREE, MAX_RATIO * file_size)


def from_bfloat16(bits: numpy.ndarray) -> numpy.ndarray:
    """Numbers as float32, of which bfloat16 is the upper half, from their bits as ``<u2``."""
    return (bits.astype('<u4') << 16).view('<f4')
