"""A Gaussian mixture with diagonal covariances: densities, E-step, M-step. Pure array maths.

All functions take NumPy or CuPy arrays. A mixture is three arrays: ``mean`` (K, D), ``var`` (K, D)
and ``weight`` (K,).

With z = x - centre, the log density of a component is linear in z and z * z, so densities and
sufficient statistics are matrix products and there is no (N, T, K, D) array. Two measures keep
float32 accurate: ``centre`` is the mean of the mixture, and the part that all components have in
common, which cancels in the softmax, is subtracted from their coefficients in float64.
"""
from collections.abc import Iterator
from typing import NamedTuple

import numpy
from numpy.typing import DTypeLike

from fve_layer.arrays import Array, get_array_module

# Responsibilities below exp(-36) become exact zeros: they are below float64's resolution of their
# sum, and denormal numbers slow matrix products down by an order of magnitude.
NEGLIGIBLE = float(numpy.exp(-36))

# Values in a block of features. The block, its square and the operands of its products fit into a
# CPU's level 2 cache, which halves the time of the products. Blocks are larger only if there are so
# many components that accumulating the sums would take longer than the products.
BLOCK_SIZE = 2 ** 16

# A component with fewer features than this in a batch keeps its mean and variance.
MIN_FEATURES = 1e-3

# Lower bound of the weights: a component that lost all its features can recover.
MIN_WEIGHT = 1e-6

# Logits are computed in float64 if their error in float32 would exceed this. The error is estimated
# as 2^-24 times the largest squared Mahalanobis distance of a component from the centre; the
# relative error of the responsibilities is about twice as large.
MAX_LOGIT_ERROR = 5e-4


class LogDensity(NamedTuple):
    """log(weight_k p_k(x)) as ``const + linear z + square z^2 + common(z)`` with z = x - centre."""

    centre: Array       # (D,)
    offset: Array       # (K, D): mean - centre
    linear: Array       # (K, D): offset / var, minus its mean over the components
    square: Array       # (K, D): -1 / (2 var), minus its mean over the components
    const: Array        # (K,)
    common: tuple[Array, Array, Array]      # the means subtracted: (D,), (D,), scalar


class Statistics(NamedTuple):
    """Sufficient statistics of a batch about ``centre``, in float64: z = x - centre.

    ``centre`` depends on the mixture alone, so that the sums of several batches may be added.
    """

    centre: Array       # (D,), or (K, D): one for each component
    s0: Array           # (K,): sum of responsibilities, N_k in Eqs. 3-5
    s1: Array           # (K, D): sum of responsibility * z
    s2: Array           # (K, D): sum of responsibility * z^2
    log_likelihood: Array   # scalar: mean over the features


def log_density(mean: Array, var: Array, weight: Array, dtype: DTypeLike) -> LogDensity:
    """Coefficients of the log densities of the components (Eq. 2).

    They are in ``dtype``, or in float64 if the components are so far apart, relative to their
    standard deviations, that float32 cannot resolve the logits. On a GPU they are always in
    float64, because this check would need a synchronization.
    """
    xp = get_array_module(mean)
    mean, var, weight = (a.astype(numpy.float64) for a in (mean, var, weight))
    centre = weight @ mean / weight.sum()
    distance = ((mean - centre) ** 2 / var).sum(axis=1).max()
    if xp is not numpy or distance * 2. ** -24 > MAX_LOGIT_ERROR:
        dtype = numpy.float64
    centre = centre.astype(dtype)
    offset = mean - centre
    linear = offset / var
    square = -.5 / var
    const = -.5 * (xp.log(2 * numpy.pi * var) + offset * linear).sum(axis=1)
    common = linear.mean(axis=0), square.mean(axis=0), const.mean()
    with numpy.errstate(divide='ignore'):   # a component of zero weight has no responsibility
        log_weight = xp.log(weight)
    offset, linear, square, const = (a.astype(dtype) for a in (
        offset, linear - common[0], square - common[1], const - common[2] + log_weight))
    return LogDensity(centre, offset, linear, square, const, common)


def blocks(features: Array, n_components: int, mask: Array | None = None
           ) -> Iterator[tuple[slice | Array, Array]]:
    """Splits the features (T, D) of an image into blocks that fit into a CPU's cache.

    Yields ``(rows, block)`` and leaves out features that do not count.
    """
    step = max(BLOCK_SIZE // features.shape[1], 2 * n_components)
    rows = None if mask is None else mask.nonzero()[0]
    for start in range(0, len(features if rows is None else rows), step):
        index = slice(start, start + step) if rows is None else rows[start:start + step]
        yield index, features[index]


def shift(features: Array, centre: Array) -> tuple[Array, Array]:
    """Returns z = x - centre and z * z, each (..., T, D)."""
    z = features - centre
    return z, z * z


def posterior(density: LogDensity, z: Array, z2: Array) -> tuple[Array, Array]:
    """Responsibilities (Eq. 1), components in rows: (..., K, T), and log normalisers (..., T)."""
    xp = get_array_module(z)
    if len(density.const) == 1:
        resp = xp.ones(z.shape[:-2] + (1,) + z.shape[-2:-1], dtype=z.dtype)
        return resp, resp[..., 0, :] * density.const
    logits = density.linear @ z.swapaxes(-1, -2)
    logits += density.square @ z2.swapaxes(-1, -2)
    logits += density.const[:, None]
    return _softmax(xp, logits)


def _softmax(xp, logits):
    """Softmax over the components (second to last axis), in place, and its log normaliser."""
    maximum = logits.max(axis=-2, keepdims=True)
    logits -= maximum
    resp = xp.exp(logits, out=logits)
    resp *= resp > NEGLIGIBLE
    total = resp.sum(axis=-2, keepdims=True)
    resp /= total
    return resp, (maximum + xp.log(total))[..., 0, :]


def responsibilities(x: Array, mean: Array, var: Array, weight: Array) -> Array:
    """Soft assignments w_nk of features to components (Eq. 1).

    Args:
        x (array): Features, shape (..., T, D).
        mean, var (array): Means and variances, shape (K, D).
        weight (array): Mixture weights, shape (K,).

    Returns:
        array: Responsibilities, shape (..., T, K); they sum to one over the components.

    """
    density = log_density(mean, var, weight, numpy.promote_types(x.dtype, numpy.float32))
    resp, _ = posterior(density, *shift(x, density.centre))
    return resp.swapaxes(-1, -2).astype(x.dtype, copy=False)


def log_likelihood(x: Array, mean: Array, var: Array, weight: Array) -> Array:
    """Log density of the mixture, log sum_k alpha_k p_k(x) (Sect. 3.1), in nats.

    Args:
        x (array): Features, shape (..., T, D).
        mean, var (array): Means and variances, shape (K, D).
        weight (array): Mixture weights, shape (K,).

    Returns:
        array: Log likelihoods, shape (..., T), float64.

    """
    density = log_density(mean, var, weight, numpy.float64)
    z, z2 = shift(x, density.centre)
    linear, square, const = density.common
    return posterior(density, z, z2)[1] + z @ linear + z2 @ square + const


def image_sums(density: LogDensity, features: Array, mask: Array | None = None
               ) -> tuple[Array, Array, Array, Array, list[Array]]:
    """Sufficient statistics of an image for Eqs. 3-5 and 13, 14.

    Args:
        density (LogDensity): Log densities of the components.
        features (array): Local features of the image, shape (T, D).
        mask (array or None): Features that count, shape (T,), bool.

    Returns:
        tuple: s0 (K,), s1 (K, D) and s2 (K, D) as in :class:`Statistics`, in the precision of
        ``density``; the sum of the log normalisers, float64; and the responsibilities of every
        block of :func:`blocks`, each (K, T').

    """
    xp = get_array_module(features)
    s0 = xp.zeros_like(density.const)
    s1, s2 = xp.zeros_like(density.offset), xp.zeros_like(density.offset)
    log_sum, resps = xp.zeros(()), []
    for _, block in blocks(features, len(s0), mask):
        z, z2 = shift(block, density.centre)
        resp, block_log_sum = posterior(density, z, z2)
        s0 += resp.sum(axis=1)
        s1 += resp @ z
        s2 += resp @ z2
        log_sum += block_log_sum.sum(dtype=numpy.float64)
        resps.append(resp)
    return s0, s1, s2, log_sum, resps


def e_step(x: Array, mean: Array, var: Array, weight: Array,
           mask: Array | None = None) -> Statistics:
    """Computes the responsibilities of a batch (Eq. 1) and its sufficient statistics.

    Args:
        x (array): Local features, shape (N, T, D).
        mean, var (array): Means and variances of the mixture, shape (K, D).
        weight (array): Mixture weights, shape (K,).
        mask (array or None): Features that count, shape (N, T), bool.

    Returns:
        Statistics: Sums over all counting features of the batch.

    """
    xp = get_array_module(x)
    density = log_density(mean, var, weight, numpy.promote_types(x.dtype, numpy.float32))
    totals = [xp.zeros(weight.shape), xp.zeros(mean.shape), xp.zeros(mean.shape), xp.zeros(())]
    for i, features in enumerate(x):
        sums = image_sums(density, features, None if mask is None else mask[i])
        for total, value in zip(totals, sums):
            total += value
    s0, s1, s2, log_sum = totals
    linear, square, const = density.common
    n = s0.sum()
    log_likelihood = log_sum + s1.sum(axis=0) @ linear + s2.sum(axis=0) @ square + n * const
    return Statistics(density.centre, s0, s1, s2, log_likelihood / xp.maximum(n, 1))


def feature_variance(statistics: Statistics) -> Array:
    """Variance of all counting features of a batch, its mean over the dimensions; a scalar.

    Args:
        statistics (Statistics): Sufficient statistics of the batch, see :func:`e_step`.

    Returns:
        array: The variance; it does not depend on the mixture, and is zero without features.

    """
    centre, s0, s1, s2, _ = statistics
    n, s0 = s0.sum().clip(MIN_FEATURES, None), s0[:, None]
    offset = (centre - centre.reshape(-1, centre.shape[-1]).mean(axis=0)).astype(numpy.float64)
    mean = (s1 + s0 * offset).sum(axis=0) / n       # about one centre for all components
    square = (s2 + 2 * offset * s1 + s0 * offset * offset).sum(axis=0) / n
    return (square - mean * mean).mean()


def m_step(statistics: Statistics, mean: Array, var: Array,
           var_floor: float) -> tuple[Array, Array, Array]:
    """Estimates the parameters of the mixture from a batch (Eqs. 3-5; Eq. 5 is a variance).

    A component with hardly any features in the batch keeps the mean and variance given.

    Args:
        statistics (Statistics): Sufficient statistics of the batch, see :func:`e_step`.
        mean, var (array): Current means and variances, shape (K, D).
        var_floor (float): Smallest variance.

    Returns:
        tuple of arrays: Means (K, D), variances (K, D) and weights (K,), float64.

    """
    centre, s0, s1, s2, _ = statistics
    xp = get_array_module(s0)
    active = (s0 > MIN_FEATURES)[:, None]
    n_k = xp.where(active, s0[:, None], 1)
    step = s1 / n_k
    new_mean = xp.where(active, centre + step, mean)
    new_var = xp.where(active, xp.maximum(s2 / n_k - step * step, var_floor), var)
    return new_mean, new_var, s0 / xp.maximum(s0.sum(), MIN_FEATURES)


def ema_rate(n_updates: int | Array, ema_decay: float) -> float | Array:
    """Weight of the latest batch in a bias-corrected exponential moving average (Eqs. 6-9).

    With a[t] = decay a[t-1] + (1 - decay) b and the correction a / (1 - decay^t), the corrected
    average itself moves towards b at the rate (1 - decay) / (1 - decay^t), which is 1 at t = 1.

    Args:
        n_updates (int or array): t, the number of batches seen, this one included; at least 1.
        ema_decay (float): lambda, in [0, 1).

    Returns:
        float or array: The rate, in (0, 1].

    """
    return (1 - ema_decay) / (1 - ema_decay ** n_updates)


def bounded_weight(weight: Array) -> Array:
    """Clips the weights (K,) from below and normalises them: positive, sum one."""
    weight = weight.clip(MIN_WEIGHT, None)
    return weight / weight.sum()


def normalized_entropy(weight: Array) -> Array:
    """Entropy of the weights (K,) relative to that of uniform weights, a scalar in [0, 1]."""
    xp = get_array_module(weight)
    if len(weight) == 1:
        return xp.ones((), dtype=weight.dtype)
    return -(weight * xp.log(xp.maximum(weight, 1e-30))).sum() / numpy.log(len(weight))
