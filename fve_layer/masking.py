"""Selection of the local features that count."""
import functools

import numpy

from fve_layer.arrays import Array, get_array_module

OF_CONV_MAPS = ('; of ConvMaps h with the shape (N, C, H, W), give '
                'h.reshape(*h.shape[:2], -1).transpose(0, 2, 1), '
                'or in PyTorch h.flatten(2).transpose(1, 2)')


def check_shapes(x: Array, mask: Array | None, in_size: int) -> None:
    """Raises a ValueError unless x is (N, T, in_size), of floats, and the mask (N, T)."""
    if x.dtype.kind != 'f':
        raise ValueError(f'x must be an array of floats, not of {x.dtype}')
    if x.ndim != 3 or x.shape[2] != in_size:
        raise ValueError(f'x must have the shape (N, T, {in_size}), not {x.shape}'
                         f'{OF_CONV_MAPS if x.ndim == 4 else ""}')
    if mask is not None and mask.shape != x.shape[:2]:
        raise ValueError(f'mask must have the shape (N, T) = {x.shape[:2]}, not {mask.shape}')


def counting_features(x: Array, visible: Array | None = None,
                      norm_filter: bool = False) -> Array | None:
    """Selects the local features that enter the mixture and the encoding (Sect. 3.4).

    With ``norm_filter`` a feature counts if its L2 norm is strictly greater than the mean norm of
    the visible features of its image. If no feature passes (all norms are equal), all visible
    features of the image count. The values of hidden features are ignored, even if they are NaN.

    Differs from the authors' code, which also keeps features whose norm equals the mean, and
    raises an error for an image without visible features.

    Args:
        x (array): Local features, shape (N, T, D).
        visible (array or None): Visible features, shape (N, T), bool. ``None``: all are visible.
        norm_filter (bool): Whether features with a small norm are left out.

    Returns:
        array or None: Features that count, shape (N, T), bool; ``None`` if all of them do.

    """
    if visible is not None:
        visible = visible.astype(bool, copy=False)
    if not norm_filter:
        return visible
    xp = get_array_module(x)
    if visible is None:
        visible = xp.ones(x.shape[:2], dtype=bool)
    norm = xp.where(visible, _norms(xp, x), 0)
    n_visible = xp.maximum(visible.sum(axis=1, keepdims=True), 1)
    counting = visible & (norm > norm.sum(axis=1, keepdims=True) / n_visible)
    return xp.where(counting.any(axis=1, keepdims=True), counting, visible)


def _norms(xp, x):
    """L2 norms (N, T); squares of float16 features would overflow in float16."""
    if x.dtype == xp.float16:
        x = x.astype(xp.float32)
    if xp is numpy:
        return numpy.sqrt(numpy.einsum('ntd,ntd->nt', x, x))
    # CuPy's einsum is a product of matrices, which no CUDA graph can capture.
    return _kernel_of_norms()(x, axis=2)


@functools.cache
def _kernel_of_norms():
    import cupy
    return cupy.ReductionKernel('T x', 'T norm', 'x * x', 'a + b', 'norm = sqrt(a)', '0', 'norms')
