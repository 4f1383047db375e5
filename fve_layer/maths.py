"""The functions with one implementation for CPUs and another for GPUs."""
from collections.abc import Callable
from typing import NamedTuple

import numpy

from fve_layer import encoding, gmm, kernels
from fve_layer.arrays import Array


class Maths(NamedTuple):
    """The E-step, the Fisher vector and its vector-Jacobian product."""

    e_step: Callable
    encode: Callable
    encode_vjp: Callable


def maths_for(x: Array) -> Maths:
    """Selects the implementation for NumPy or CuPy arrays."""
    if isinstance(x, numpy.ndarray):
        return Maths(gmm.e_step, encoding.encode, encoding.encode_vjp)
    return Maths(kernels.e_step, kernels.encode, kernels.encode_vjp)
