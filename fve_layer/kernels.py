"""The E-step, the Fisher vector and its vector-Jacobian product on a GPU.

The signatures are those of the reference implementation, :func:`fve_layer.gmm.e_step` and
:mod:`fve_layer.encoding`. The kernels, two for the forward and two for the backward pass, are in
``kernels.cu``. They compute the differences x - mean_k in registers: the only arrays that grow with
the number of features are the responsibilities and the gradient, and components far apart cause no
cancellation. There is no synchronization, and results are reproducible bit for bit.
"""
import functools
from pathlib import Path
from typing import NamedTuple

import numpy

from fve_layer import gmm
from fve_layer.arrays import Array, ceil_div, get_array_module
from fve_layer.encoding import count_normalizer, part_normalizers

LANES = 32              # threads per warp
THREADS = 256           # threads per block
COMPONENTS = ROWS = 8   # components or features whose sums a thread keeps in registers
SHARED_MEMORY = 48 * 1024


class _Mixture(NamedTuple):
    """A mixture in the precision of the sums."""

    mean: Array         # (K, D)
    inverse_var: Array  # (K, D)
    constant: Array     # (K,): log(weight_k) - 1/2 sum_d log(2 pi var_kd), float64


def e_step(x: Array, mean: Array, var: Array, weight: Array,
           mask: Array | None = None) -> gmm.Statistics:
    """As :func:`fve_layer.gmm.e_step`, with the mean of each component as its centre."""
    x = _features(x)
    mixture = _mixture(x.dtype, mean, var, weight)
    resp, log_likelihood = _posterior(x, mixture, mask)
    s1, s2 = (a.sum(axis=0, dtype=numpy.float64) for a in _sums(x, resp, mixture))
    s0 = resp.sum(axis=(0, 2), dtype=numpy.float64)
    n = get_array_module(x).maximum(s0.sum(), 1)
    return gmm.Statistics(mixture.mean.astype(numpy.float64), s0, s1, s2, log_likelihood.sum() / n)


def encode(x: Array, mean: Array, var: Array, weight: Array, mask: Array | None = None,
           normalization: str = 'sqrt') -> tuple[Array, tuple[Array, _Mixture]]:
    """As :func:`fve_layer.encoding.encode`."""
    xp = get_array_module(x)
    dtype, x = x.dtype, _features(x)
    mixture = _mixture(x.dtype, mean, var, weight)
    resp, _ = _posterior(x, mixture, mask)
    s1, s2 = _sums(x, resp, mixture)
    scale_mean, scale_sigma = _scales(x, weight, mask, normalization)
    fv = xp.empty((len(x), 2) + mean.shape, dtype=dtype)
    fv[:, 0] = s1 * xp.sqrt(mixture.inverse_var) * scale_mean
    fv[:, 1] = (s2 * mixture.inverse_var - resp.sum(axis=2)[..., None]) * scale_sigma
    return fv.reshape(len(x), 2 * mean.size), (resp, mixture)


def encode_vjp(gfv: Array, x: Array, resps: tuple[Array, _Mixture], mean: Array, var: Array,
               weight: Array, mask: Array | None = None, normalization: str = 'sqrt',
               resp_gradient: bool = True) -> Array:
    """As :func:`fve_layer.encoding.encode_vjp`."""
    xp = get_array_module(x)
    dtype, x = x.dtype, _features(x)
    resp, mixture = resps
    n, t, d = x.shape
    k = len(mean)
    scale_mean, scale_sigma = _scales(x, weight, mask, normalization)
    gfv = gfv.reshape((n, 2) + mean.shape).astype(x.dtype, copy=False)
    gsigma = gfv[:, 1] * scale_sigma
    gs0 = -gsigma.sum(axis=2)
    gs1 = gfv[:, 0] * scale_mean * xp.sqrt(mixture.inverse_var)
    gs2 = gsigma * mixture.inverse_var
    glogits, gx = xp.zeros_like(resp), xp.empty_like(x)
    if resp_gradient:
        _launch_by_feature('posterior_vjp', x, k, (
            x, resp, mixture.mean, gs0, gs1, gs2, n, t, d, k, glogits))
    _launch_by_dimension('features_vjp', x, ceil_div(t, ROWS), (
        x, resp, glogits, mixture.mean, mixture.inverse_var, gs1, gs2, t, d, k, gx))
    return gx.astype(dtype, copy=False)


def _features(x):
    """Features as an array in C order, float32 or float64."""
    xp = get_array_module(x)
    return xp.ascontiguousarray(x, dtype=numpy.promote_types(x.dtype, numpy.float32))


def _mixture(dtype, mean, var, weight):
    xp = get_array_module(mean)
    with numpy.errstate(divide='ignore'):   # a component of zero weight has no responsibility
        constant = xp.log(weight.astype(numpy.float64))
    constant -= .5 * xp.log(2 * numpy.pi * var.astype(numpy.float64)).sum(axis=1)
    return _Mixture(xp.ascontiguousarray(mean, dtype=dtype),
                    xp.ascontiguousarray(1 / var.astype(dtype)), constant)


def _posterior(x, mixture, mask):
    """Responsibilities (N, K, T), zero where a feature does not count, and log likelihoods."""
    xp = get_array_module(x)
    n, t, d = x.shape
    k = len(mixture.mean)
    mask = xp.ones((n, t), bool) if mask is None else xp.ascontiguousarray(mask)
    resp = xp.empty((n, k, t), dtype=x.dtype)
    log_likelihood = xp.empty((n, t))
    _launch_by_feature('posterior', x, k, (
        x, mask, *mixture, gmm.NEGLIGIBLE, n, t, d, k, resp, log_likelihood))
    return resp, log_likelihood


def _sums(x, resp, mixture):
    """Sums of resp (x - mean) and resp (x - mean)^2 over the features, each (N, K, D)."""
    xp = get_array_module(x)
    n, t, d = x.shape
    k = len(mixture.mean)
    s1, s2 = (xp.empty((n, k, d), dtype=x.dtype) for _ in range(2))
    _launch_by_dimension('sums', x, ceil_div(k, COMPONENTS), (
        x, resp, mixture.mean, t, d, k, s1, s2))
    return s1, s2


def _scales(x, weight, mask, normalization):
    """Normalisers of the mean and the sigma part, each (N, K, 1)."""
    xp = get_array_module(x)
    if mask is None:
        n = xp.full(len(x), x.shape[1], dtype=x.dtype)
    else:
        n = mask.sum(axis=1).astype(x.dtype)
    n = count_normalizer(xp.maximum(n, 1), normalization)
    return part_normalizers(weight.astype(x.dtype))[:, None] / n[:, None, None]


def _launch_by_feature(name, x, n_components, arguments):
    """One warp per feature, with shared memory for one double per component."""
    warps = max(1, min(THREADS // LANES, SHARED_MEMORY // (8 * n_components)))
    n_features = x.shape[0] * x.shape[1]
    _launch(name, x, (ceil_div(n_features, warps),), (LANES, warps), arguments,
            shared_mem=8 * n_components * warps)


def _launch_by_dimension(name, x, n_pieces, arguments):
    """One thread per dimension, in blocks by image and piece."""
    n, _, d = x.shape
    threads = min(THREADS // 2, ceil_div(d, LANES) * LANES)
    _launch(name, x, (ceil_div(d, threads), n_pieces, n), (threads,), arguments)


def _launch(name, x, grid, block, arguments, shared_mem=0):
    if 0 in grid:       # no images or no features
        return
    arguments = tuple(numpy.int32(a) if isinstance(a, int) else a for a in arguments)
    _function(name, x.dtype.char)(grid, block, arguments, shared_mem=shared_mem)


def _function(name, char):
    import cupy
    return _module(char, cupy.cuda.Device().id).get_function(name)


@functools.cache
def _module(char, device):
    import cupy
    source = Path(__file__).with_suffix('.cu').read_text(encoding='utf-8')
    return cupy.RawModule(code=source, options=definitions(char))


def definitions(char: str) -> tuple[str, ...]:
    """Compiler options for features of a dtype, ``'f'`` or ``'d'``."""
    real = {'f': 'float', 'd': 'double'}[char]
    return (f'-DReal={real}', f'-DLANES={LANES}', f'-DCOMPONENTS={COMPONENTS}', f'-DROWS={ROWS}')
