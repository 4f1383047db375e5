"""The Fisher vector of a set of local features and its vector-Jacobian product. Pure array maths.

Both are matrix products over sufficient statistics (see :mod:`fve_layer.gmm`): with
z = x - centre, m = mean - centre and responsibilities w,

    S0 = sum_n w_n,    S1 = sum_n w_n z_n,    S2 = sum_n w_n z_n^2.
"""
from chainer import backend
import numpy

from fve_layer import gmm

# A component of less weight than this encodes nothing: its normaliser would overflow.
VANISHING_WEIGHT = 1e-12


def encode(x, mean, var, weight, mask=None, normalization='sqrt'):
    """Fisher vectors of N images (Eqs. 13, 14).

    Args:
        x (array): Local features, shape (N, T, D).
        mean, var (array): Means and variances of the mixture, shape (K, D).
        weight (array): Mixture weights, shape (K,).
        mask (array or None): Features that count, shape (N, T), bool.
        normalization (str): ``'sqrt'`` or ``'mean'``, see :func:`fve_layer.fisher_vector`.

    Returns:
        tuple: Fisher vectors (N, 2KD), and the responsibilities :func:`encode_vjp` needs.

    """
    xp = backend.get_array_module(x)
    density = gmm.log_density(mean, var, weight, numpy.promote_types(x.dtype, numpy.float32))
    dtype = density.centre.dtype
    var, weight = var.astype(dtype), weight.astype(dtype)
    fv = xp.empty((len(x), 2) + mean.shape, dtype=x.dtype)
    resps = []
    for index, features, block_mask in gmm.blocks(x, mask):
        z, z2 = gmm.shift(features, density.centre, block_mask)
        resp, _ = gmm.posterior(density, z, z2, block_mask)
        scale = _scale(xp, weight, _n_counting(features, block_mask), normalization)
        fv[index] = _scores(xp, density.offset, var, resp, z, z2) * scale
        resps.append(resp)
    return fv.reshape(len(x), -1), resps


def encode_vjp(gfv, x, resps, mean, var, weight, mask=None, normalization='sqrt'):
    """Gradient with respect to the features, the mixture and the mask held constant (Eqs. 15-17).

    Args:
        gfv (array): Gradient with respect to the Fisher vectors, shape (N, 2KD).
        resps: What :func:`encode` returned beside the Fisher vectors.
        x, mean, var, weight, mask, normalization: What :func:`encode` was given.

    Returns:
        array: Gradient, shape (N, T, D); exactly zero for features that do not count.

    """
    xp = backend.get_array_module(x)
    density = gmm.log_density(mean, var, weight, numpy.promote_types(x.dtype, numpy.float32))
    dtype = density.centre.dtype
    var, weight = var.astype(dtype), weight.astype(dtype)
    gfv = gfv.reshape((len(x), 2) + mean.shape)
    gx = xp.zeros_like(x)
    for (index, features, block_mask), resp in zip(gmm.blocks(x, mask), resps):
        z, z2 = gmm.shift(features, density.centre, block_mask)
        scale = _scale(xp, weight, _n_counting(features, block_mask), normalization)
        gz = _scores_vjp(xp, gfv[index] * scale, density, var, resp, z, z2)
        if mask is None or block_mask is not None:
            gx[index] = gz
        else:
            gx[index][mask[index]] = gz
    return gx


def _n_counting(features, mask):
    """Number of features that count, N_I: an int, or (N, 1, 1, 1) for a batched block."""
    if mask is None:
        return features.shape[-2]
    return mask.sum(axis=-1)[:, None, None, None]


def _scale(xp, weight, n, normalization):
    """Normalisers of the mean and the sigma part, shape (..., 2, K, 1); zero where undefined."""
    n = xp.maximum(xp.asarray(n, dtype=weight.dtype), 1)
    lives = weight > VANISHING_WEIGHT
    scale = xp.where(lives, 1 / xp.sqrt(xp.where(lives, weight, 1)), 0)
    scale = xp.stack((scale, scale / numpy.sqrt(2).astype(weight.dtype)))[..., None]
    return scale / (n if normalization == 'mean' else xp.sqrt(n))


def _scores(xp, offset, var, resp, z, z2):
    """Sums over the features in Eqs. 13 and 14, shape (..., 2, K, D)."""
    s0 = resp.sum(axis=-1)[..., None]
    sigma = xp.sqrt(var)
    centred = offset / sigma
    mean_part = (resp @ z) / sigma - centred * s0
    # (S2 - 2 m S1 + m^2 S0) / var - S0, in an order that does not cancel
    sigma_part = (resp @ z2) / var - centred * (2 * mean_part + centred * s0) - s0
    return xp.stack((mean_part, sigma_part), axis=-3)


def _scores_vjp(xp, gscores, density, var, resp, z, z2):
    """Vector-Jacobian product of :func:`_scores` with respect to z, shape (..., T, D)."""
    gmean = gscores[..., 0, :, :] / xp.sqrt(var)
    gsigma = gscores[..., 1, :, :] / var
    direct = gmean - 2 * density.offset * gsigma
    if len(density.const) == 1:     # the only responsibility is one, whatever the features
        coefficients, linear, square = resp, direct, gsigma
    else:
        gresp = direct @ z.swapaxes(-1, -2) + gsigma @ z2.swapaxes(-1, -2)
        gresp += (density.offset * (density.offset * gsigma - gmean)
                  - gscores[..., 1, :, :]).sum(axis=-1)[..., None]
        glogits = resp * (gresp - (resp * gresp).sum(axis=-2, keepdims=True))
        coefficients = xp.concatenate((resp, glogits), axis=-2)
        linear = _stack_rows(xp, direct, density.linear)
        square = _stack_rows(xp, gsigma, density.square)
    coefficients = coefficients.swapaxes(-1, -2)
    gz = coefficients @ square
    gz *= 2 * z
    gz += coefficients @ linear
    return gz


def _stack_rows(xp, a, b):
    """Rows of a (..., K, D) above the rows of b (K, D): (..., 2K, D)."""
    return xp.concatenate((a, xp.broadcast_to(b, a.shape)), axis=-2)


def power_normalize(fv, exponent=.5):
    """Power normalisation sign(v) |v|^exponent of the "improved" Fisher vector.

    Args:
        fv (array): Fisher vectors, any shape.
        exponent (float): 0.5 is the signed square root.

    Returns:
        array: Array of the same shape.

    See: Perronnin, Sanchez and Mensink, Improving the Fisher kernel, ECCV 2010.

    """
    xp = backend.get_array_module(fv)
    return xp.sign(fv) * abs(fv) ** exponent


def l2_normalize(fv):
    """Scales every Fisher vector to unit length; a zero vector stays zero.

    Args:
        fv (array): Fisher vectors, shape (N, 2KD).

    Returns:
        array: Array of the same shape.

    """
    xp = backend.get_array_module(fv)
    norm = xp.sqrt((fv * fv).sum(axis=-1, keepdims=True))
    return fv / xp.where(norm > 0, norm, 1)
