"""A Gaussian mixture with diagonal covariances: densities, E-step, M-step. Pure array maths.

Everything here takes NumPy or CuPy arrays. A mixture is three arrays: ``mean`` (K, D),
``var`` (K, D) and ``weight`` (K,).

With z = x - centre, the log density of a component is linear in z and in z * z, so that densities
and sufficient statistics are matrix products and no (N, T, K, D) array ever exists. Two measures
keep float32 accurate: ``centre`` is the mean of the mixture, and what all components have in
common is taken out of their coefficients in float64 (a softmax does not change by it).
"""
from typing import Any, NamedTuple

from chainer import backend
import numpy

# Responsibilities below exp(-36) become exact zeros: they are below float64's resolution of their
# sum, and denormal numbers slow matrix products down by an order of magnitude.
NEGLIGIBLE = float(numpy.exp(-36))

# Values in a block of features: it, its square and the operands of its products stay in the second
# level of a CPU's cache, which halves the time of the products. Only where there are many
# components is a block larger, lest adding up their sums takes longer than the products.
BLOCK_SIZE = 2 ** 16

# A component that received less than this many features in a batch learns nothing from it.
MIN_FEATURES = 1e-3

# Weights are kept above this, so that a component that lost its features can win some back.
MIN_WEIGHT = 1e-6

# Relative error of a logit at which float32 is given up: 2^-24 times the largest squared
# Mahalanobis distance of a component from the centre. About twice this is the responsibilities'.
MAX_LOGIT_ERROR = 5e-4


class LogDensity(NamedTuple):
    """log(weight_k p_k(x)) as ``const + linear z + square z^2 + common(z)`` with z = x - centre."""

    centre: Any         # (D,)
    offset: Any         # (K, D): mean - centre
    linear: Any         # (K, D): offset / var, less its mean over the components
    square: Any         # (K, D): -1 / (2 var), less its mean over the components
    const: Any          # (K,)
    common: tuple       # the three means taken out: (D,), (D,), scalar


class Statistics(NamedTuple):
    """Sufficient statistics of a batch about ``centre``, in float64: z = x - centre."""

    centre: Any         # (D,), or (K, D): one for each component
    s0: Any             # (K,): sum of responsibilities, N_k in Eqs. 3-5
    s1: Any             # (K, D): sum of responsibility * z
    s2: Any             # (K, D): sum of responsibility * z^2
    log_likelihood: Any  # scalar: mean over the features


def log_density(mean, var, weight, dtype):
    """Coefficients of the components' log densities (Eq. 2), in ``dtype`` or, if need be, float64.

    A mixture whose components lie so far apart in units of their deviations that float32 cannot
    tell two logits apart is given float64 coefficients; arrays of a GPU always are, since to ask
    would be to wait for it.
    """
    xp = backend.get_array_module(mean)
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
    with numpy.errstate(divide='ignore'):   # a weight of zero is a component that is never chosen
        log_weight = xp.log(weight)
    coefficients = (offset, linear - common[0], square - common[1], const - common[2] + log_weight)
    return LogDensity(centre, *(a.astype(dtype) for a in coefficients), common)


def blocks(features, n_components, mask=None):
    """Cuts the features (T, D) of an image into pieces that stay in a CPU's cache.

    Yields ``(rows, piece)``; features that do not count are left out and so cost nothing.
    """
    step = max(BLOCK_SIZE // features.shape[1], 2 * n_components)
    rows = None if mask is None else mask.nonzero()[0]
    for start in range(0, len(features) if mask is None else len(rows), step):
        index = slice(start, start + step) if mask is None else rows[start:start + step]
        yield index, features[index]


def shift(features, centre):
    """z = x - centre and z * z, each (..., T, D)."""
    z = features - centre
    return z, z * z


def posterior(density, z, z2):
    """Responsibilities (Eq. 1), components in rows: (..., K, T), and the log normaliser (..., T)."""
    xp = backend.get_array_module(z)
    if len(density.const) == 1:
        resp = xp.ones(z.shape[:-2] + (1,) + z.shape[-2:-1], dtype=z.dtype)
        return resp, resp[..., 0, :] * density.const
    logits = density.linear @ z.swapaxes(-1, -2)
    logits += density.square @ z2.swapaxes(-1, -2)
    logits += density.const[:, None]
    return _softmax(xp, logits)


def _softmax(xp, logits):
    """Softmax over the components (second to last axis), in place, and its log normaliser."""
    top = logits.max(axis=-2, keepdims=True)
    logits -= top
    resp = xp.exp(logits, out=logits)
    resp *= resp > NEGLIGIBLE
    total = resp.sum(axis=-2, keepdims=True)
    resp /= total
    return resp, (top + xp.log(total))[..., 0, :]


def responsibilities(x, mean, var, weight):
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


def log_likelihood(x, mean, var, weight):
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


def image_sums(density, features, mask=None):
    """Sums over the features (T, D) of an image that count: what Eqs. 3-5 and 13, 14 are made of.

    Returns:
        tuple: s0 (K,), s1 (K, D) and s2 (K, D) as in :class:`Statistics`, in the precision of
        ``density``; the sum of the log normalisers, float64; and the responsibilities of every
        block of :func:`blocks`, each (K, T').

    """
    xp = backend.get_array_module(features)
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


def e_step(x, mean, var, weight, mask=None):
    """Responsibilities of a batch, summed up to its sufficient statistics (Eq. 1).

    Args:
        x (array): Local features, shape (N, T, D).
        mean, var (array): Means and variances of the mixture, shape (K, D).
        weight (array): Mixture weights, shape (K,).
        mask (array or None): Features that count, shape (N, T), bool.

    Returns:
        Statistics: Sums over all counting features of the batch.

    """
    xp = backend.get_array_module(x)
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


def m_step(statistics, mean, var, var_floor):
    """New parameters of the mixture from a batch (Eqs. 3-5; Eq. 5 is a variance).

    A component that received almost nothing keeps the mean and variance given.

    Args:
        statistics (Statistics): What :func:`e_step` returned.
        mean, var (array): Current means and variances, shape (K, D).
        var_floor (float): Smallest variance.

    Returns:
        tuple of arrays: Means (K, D), variances (K, D) and weights (K,), float64.

    """
    centre, s0, s1, s2, _ = statistics
    xp = backend.get_array_module(s0)
    learns = (s0 > MIN_FEATURES)[:, None]
    n_k = xp.where(learns, s0[:, None], 1)
    step = s1 / n_k
    new_mean = xp.where(learns, centre + step, mean)
    new_var = xp.where(learns, xp.maximum(s2 / n_k - step * step, var_floor), var)
    return new_mean, new_var, s0 / xp.maximum(s0.sum(), MIN_FEATURES)


def ema_rate(n_updates, ema_decay):
    """Share of the newest batch in a bias-corrected exponential moving average (Eqs. 6-9).

    With a[t] = decay a[t-1] + (1 - decay) b and the correction a / (1 - decay^t), the corrected
    average itself moves towards b by the share (1 - decay) / (1 - decay^t): one at t = 1.

    Args:
        n_updates (int or array): t, the number of batches seen, this one included; at least 1.
        ema_decay (float): lambda, in [0, 1).

    Returns:
        float or array: The share, in (0, 1].

    """
    return (1 - ema_decay) / (1 - ema_decay ** n_updates)


def bounded_weight(weight):
    """Weights that stay positive and sum to one, shape (K,)."""
    weight = weight.clip(MIN_WEIGHT, None)
    return weight / weight.sum()


def normalized_entropy(weight):
    """Entropy of the weights in units of that of equal weights: 1 if all components share alike."""
    xp = backend.get_array_module(weight)
    if len(weight) == 1:
        return xp.ones((), dtype=weight.dtype)
    return -(weight * xp.log(xp.maximum(weight, 1e-30))).sum() / numpy.log(len(weight))
