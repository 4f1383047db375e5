"""The Fisher vector of a set of local features and its vector-Jacobian product. Pure array maths.

Both are matrix products of sufficient statistics (see :mod:`fve_layer.gmm`): with z = x - centre
and responsibilities w, S0 = sum_n w_n, S1 = sum_n w_n z_n and S2 = sum_n w_n z_n^2.
"""
from collections.abc import Callable
import itertools
from typing import Any, NamedTuple

import numpy

from fve_layer import gmm
from fve_layer.arrays import Array, ArrayOrVariable, get_array_module

# A component with a smaller weight is not encoded, because its normaliser would overflow.
VANISHING_WEIGHT = 1e-12


class _Whitening(NamedTuple):
    """The terms of Eqs. 13 and 14 that depend on the mixture alone."""

    density: gmm.LogDensity
    inverse: Array      # (K, D): 1 / sigma
    centred: Array      # (K, D): (mean - centre) / sigma
    scale: Array        # (2, K, 1): see part_normalizers


def weight_normalizer(weight: ArrayOrVariable, sqrt: Callable | None = None) -> ArrayOrVariable:
    """Factor 1 / sqrt(weight) of Eqs. 13 and 14; zero for a vanishing weight.

    Takes an array, or a :class:`~chainer.Variable` together with a ``sqrt`` for Variables.
    """
    sqrt = sqrt or get_array_module(weight).sqrt
    alive = (getattr(weight, 'array', weight) > VANISHING_WEIGHT).astype(weight.dtype)
    return alive / sqrt(alive * weight + (1 - alive))


def count_normalizer(n_features: Any, normalization: str) -> Any:
    """Divisor sqrt(N_I) of Eqs. 13 and 14, or N_I if ``normalization`` is ``'mean'``."""
    return n_features if normalization == 'mean' else n_features ** .5


def part_normalizers(weight: Array) -> Array:
    """Factors of the mean and the sigma part in Eqs. 13 and 14 except N_I, shape (2, K, 1)."""
    scale = weight_normalizer(weight)
    scale_sigma = scale / numpy.sqrt(2).astype(weight.dtype)
    return get_array_module(weight).stack((scale, scale_sigma))[..., None]


def encode(x: Array, mean: Array, var: Array, weight: Array, mask: Array | None = None,
           normalization: str = 'sqrt') -> tuple[Array, list[Any]]:
    """Encodes N images as Fisher vectors (Eqs. 13, 14).

    Args:
        x (array): Local features, shape (N, T, D).
        mean, var (array): Means and variances of the mixture, shape (K, D).
        weight (array): Mixture weights, shape (K,).
        mask (array or None): Features that count, shape (N, T), bool.
        normalization (str): ``'sqrt'`` or ``'mean'``, see :func:`fve_layer.fisher_vector`.

    Returns:
        tuple: Fisher vectors, shape (N, 2KD), and the responsibilities for :func:`encode_vjp`.

    """
    xp = get_array_module(x)
    mixture = _whitening(x.dtype, mean, var, weight)
    fv = xp.empty((len(x), 2) + mean.shape, dtype=x.dtype)
    resps = []
    for i, (features, image_mask) in enumerate(_images(x, mask)):
        s0, s1, s2, _, image_resps = gmm.image_sums(mixture.density, features, image_mask)
        fv[i] = _scores(mixture, s0[:, None], s1, s2) * _scale(
            mixture, features, image_mask, normalization)
        resps.append(image_resps)
    return fv.reshape(len(x), 2 * mean.size), resps


def encode_vjp(gfv: Array, x: Array, resps: list[Any], mean: Array, var: Array, weight: Array,
               mask: Array | None = None, normalization: str = 'sqrt',
               resp_gradient: bool = True) -> Array:
    """Computes the gradient with respect to the features (Eqs. 15-17).

    The mixture and the mask are constants.

    Args:
        gfv (array): Gradient with respect to the Fisher vectors, shape (N, 2KD).
        x (array): Local features, shape (N, T, D).
        resps (list): Responsibilities, as returned by :func:`encode`.
        mean, var (array): Means and variances of the mixture, shape (K, D).
        weight (array): Mixture weights, shape (K,).
        mask (array or None): Features that count, shape (N, T), bool.
        normalization (str): ``'sqrt'`` or ``'mean'``, as for :func:`encode`.
        resp_gradient (bool): Whether gradients flow through the responsibilities; if not, they
            are constants as well.

    Returns:
        array: Gradient, shape (N, T, D); exactly zero for features that do not count.

    """
    xp = get_array_module(x)
    mixture = _whitening(x.dtype, mean, var, weight)
    gfv = gfv.reshape((len(x), 2) + mean.shape)
    gx = xp.empty_like(x) if mask is None else xp.zeros_like(x)
    for i, (features, image_mask) in enumerate(_images(x, mask)):
        gscores = gfv[i] * _scale(mixture, features, image_mask, normalization)
        gsums = _scores_vjp(mixture, gscores)
        for (rows, block), resp in zip(gmm.blocks(features, len(var), image_mask), resps[i]):
            gx[i][rows] = _sums_vjp(xp, gsums, mixture.density, resp, block, resp_gradient)
    return gx


def _whitening(dtype, mean, var, weight):
    xp = get_array_module(mean)
    density = gmm.log_density(mean, var, weight, numpy.promote_types(dtype, numpy.float32))
    dtype = density.centre.dtype
    inverse = 1 / xp.sqrt(var.astype(dtype))
    scale = part_normalizers(weight.astype(dtype))
    return _Whitening(density, inverse, density.offset * inverse, scale)


def _images(x, mask):
    """Features (T, D) and mask (T,) of each image."""
    return zip(x, itertools.repeat(None) if mask is None else mask)


def _scale(mixture, features, mask, normalization):
    """Normalisers of the two parts of an image's Fisher vector, shape (2, K, 1)."""
    n = len(features) if mask is None else mask.sum()
    return mixture.scale / count_normalizer(mixture.scale.dtype.type(max(n, 1)), normalization)


def _scores(mixture, s0, s1, s2):
    """Sums over the features in Eqs. 13 and 14, shape (2, K, D)."""
    xp = get_array_module(s1)
    _, inverse, centred, _ = mixture
    shift = centred * s0
    mean_part = s1 * inverse - shift
    # (S2 - 2 m S1 + m^2 S0) / var - S0 with m = mean - centre, without cancellation
    sigma_part = s2 * inverse * inverse - centred * (2 * mean_part + shift) - s0
    return xp.stack((mean_part, sigma_part))


def _scores_vjp(mixture, gscores):
    """Gradients of :func:`_scores` with respect to s0 (K, 1), s1 and s2 (K, D)."""
    density, inverse, centred, _ = mixture
    gmean, gsigma = gscores
    gs1 = (gmean - 2 * centred * gsigma) * inverse
    gs0 = (centred * (centred * gsigma - gmean) - gsigma).sum(axis=1, keepdims=True)
    return gs0, gs1, gsigma * inverse * inverse


def _sums_vjp(xp, gsums, density, resp, features, resp_gradient):
    """Vector-Jacobian product of :func:`fve_layer.gmm.image_sums` for a block (T, D)."""
    gs0, linear, square = gsums
    z, z2 = gmm.shift(features, density.centre)
    if len(resp) == 1:      # the responsibility is constant
        z *= 2 * square
        z += linear
        return z
    if resp_gradient:
        gresp = linear @ z.T
        gresp += square @ z2.T
        gresp += gs0
        glogits = resp * (gresp - (resp * gresp).sum(axis=0))
        resp = xp.concatenate((resp, glogits))
        square = xp.concatenate((square, density.square))
        linear = xp.concatenate((linear, density.linear))
    z *= 2
    z *= xp.matmul(resp.T, square, out=z2)
    z += xp.matmul(resp.T, linear, out=z2)
    return z


def power_normalize(fv: Array, exponent: float = .5) -> Array:
    """Applies the power normalisation of the "improved" Fisher vector.

    Args:
        fv (array): Fisher vectors, any shape.
        exponent (float): 0.5 gives the signed square root.

    Returns:
        array: Array of the same shape.

    See: Perronnin, Sanchez and Mensink, Improving the Fisher kernel, ECCV 2010.

    """
    xp = get_array_module(fv)
    return xp.sign(fv) * abs(fv) ** exponent


def component_normalize(fv: Array, n_blocks: int) -> Array:
    """Scales the mean part and the sigma part of each component to unit length.

    A part of zeros stays zero. Also called intra-normalisation: no component dominates the vector
    because its features are frequent or alike in an image.

    Args:
        fv (array): Fisher vectors, shape (N, 2KD), or their mean parts, shape (N, KD).
        n_blocks (int): Number of parts, 2K or K.

    Returns:
        array: Array of the same shape.

    See: Arandjelovic and Zisserman, All about VLAD, CVPR 2013.

    """
    return l2_normalize(fv.reshape(len(fv), n_blocks, -1)).reshape(fv.shape)


def l2_normalize(fv: Array) -> Array:
    """Scales every Fisher vector to unit length; a zero vector stays zero.

    Args:
        fv (array): Fisher vectors along the last axis, any shape.

    Returns:
        array: Array of the same shape.

    """
    xp = get_array_module(fv)
    norm = xp.sqrt((fv * fv).sum(axis=-1, keepdims=True))
    return fv / xp.where(norm > 0, norm, 1)
