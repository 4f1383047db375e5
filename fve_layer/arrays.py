"""Types for annotations, and integer arithmetic for array sizes."""
import chainer
import numpy

Array = numpy.ndarray       # or cupy.ndarray
ArrayOrVariable = numpy.ndarray | chainer.Variable


def ceil_div(a: int, b: int) -> int:
    """Quotient a / b of two integers, rounded up."""
    return -(-a // b)
