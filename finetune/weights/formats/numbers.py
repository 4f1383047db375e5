"""Numbers that NumPy lacks, and how many a file may have."""
import numpy

MAX_SIZE = 2 ** 32      # bytes of all arrays; the largest known weights have an eighth


def from_bfloat16(bits: numpy.ndarray) -> numpy.ndarray:
    """Numbers as float32, of which bfloat16 is the upper half, from their bits as ``<u2``."""
    return (bits.astype('<u4') << 16).view('<f4')
