"""Types for annotations, the module of an array, and integer arithmetic for array sizes.

The mathematics of this package imports this module in the place of Chainer, which users of PyTorch
need not have.
"""
import sys
from types import ModuleType
from typing import Any, TYPE_CHECKING, TypeAlias

import numpy

if TYPE_CHECKING:
    import chainer

Array = numpy.ndarray       # or cupy.ndarray
ArrayOrVariable: TypeAlias = 'numpy.ndarray | chainer.Variable'


def get_array_module(*arrays: Any) -> ModuleType:
    """NumPy, or CuPy if one of the arrays is CuPy's; CuPy is not imported for this."""
    cupy = sys.modules.get('cupy')
    return cupy.get_array_module(*arrays) if cupy else numpy


def to_cpu(array: Array) -> numpy.ndarray:
    """The array in NumPy; one of CuPy is copied."""
    return array.get() if hasattr(array, 'get') else numpy.asarray(array)


def ceil_div(a: int, b: int) -> int:
    """Quotient a / b of two integers, rounded up."""
    return -(-a // b)
