"""Initial mixture from the first batch: k-means++ with restarts, computed on the CPU."""
from typing import Any

import numpy

from fve_layer.arrays import Array, get_array_module, to_cpu

MAX_FEATURES_PER_COMPONENT = 256
MIN_STARTS, MAX_STARTS = 10, 30
CHEAP = 2 ** 21         # multiplications per iteration, in all starts together
N_ITERATIONS = 20


def of_all_ranks(x: Array, mask: Array | None, comm: Any, *settings: Any
                 ) -> list[Array] | None:
    """Seeds a mixture from the features of all ranks, in their order, on the first rank.

    Args:
        x (array): Local features of this rank, shape (N, T, D).
        mask (array or None): Features that count, shape (N, T), bool.
        comm: Communicator of ``chainermn.create_communicator``, or ``None`` for a single rank.
        settings: Further arguments of :func:`kmeans_mixture`.

    Returns:
        list of arrays: Means (K, D), variances (K, D) and weights (K,), arrays like ``x``; ``None``
        if no feature counts.

    Raises:
        ValueError: If a feature is not finite; on all ranks, or the others would wait for ever.

    """
    features = to_cpu(x.reshape(-1, x.shape[2]) if mask is None else x[mask])
    pieces = [features] if comm is None else comm.gather_obj(features)
    mixture: Any = None
    if comm is None or comm.rank == 0:
        features = numpy.concatenate(pieces)
        try:
            mixture = kmeans_mixture(features, *settings) if len(features) else None
        except ValueError as error:
            mixture = error
    if comm is not None:
        mixture = comm.bcast_obj(mixture)
    if isinstance(mixture, ValueError):
        raise mixture
    return mixture and [get_array_module(x).asarray(a) for a in mixture]


def kmeans_mixture(x: numpy.ndarray, n_components: int, var_floor: float, seed: int,
                   relative_var_floor: float = 0.
                   ) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Estimates means, variances and weights from the best of several k-means clusterings.

    On the supplement's data (Sect. S3) a single start finds all ten clusters in about half of the
    runs, ten starts in 98 to 99 of 100 runs, and thirty starts in practically all. So there are ten
    starts, and up to thirty if the data are small. A random sample of at most 256 features per
    component is clustered.

    Args:
        x (numpy.ndarray): Features, shape (M, D), M at least 1.
        n_components (int): Number of components K. If there are fewer features than that, noisy
            copies of them are added.
        var_floor (float): Smallest variance.
        seed (int): Seed of the random number generator.
        relative_var_floor (float): Smallest variance relative to that of all features, which is
            averaged over the dimensions; the larger floor counts.

    Returns:
        tuple of arrays: Means (K, D), variances (K, D) and weights (K,), float64.

    Raises:
        ValueError: If a feature is not finite.

    See: Arthur and Vassilvitskii, k-means++: The advantages of careful seeding, SODA 2007.

    """
    if not numpy.isfinite(x).all():
        raise ValueError('the first batch has features that are not finite: no mixture can be '
                         'seeded from it')
    random = numpy.random.RandomState(seed)
    x = x.astype(numpy.float64)
    var_floor = max(var_floor, relative_var_floor * x.var(axis=0).mean())
    x = _sample(x, n_components, var_floor, random)
    best, best_distance = None, numpy.inf
    for _ in range(_n_starts(n_components, x.size)):
        labels, distance = _kmeans(x, n_components, random)
        if distance < best_distance:
            best, best_distance = labels, distance
    return _mixture_of(x, best, n_components, var_floor)


def _n_starts(n_components, size):
    if n_components == 1:
        return 1
    return min(max(CHEAP // (n_components * size), MIN_STARTS), MAX_STARTS)


def _sample(x, n_components, var_floor, random):
    """A random sample if there are many features; noisy copies are added if there are too few."""
    n = MAX_FEATURES_PER_COMPONENT * n_components
    if len(x) > n:
        return x[random.choice(len(x), n, replace=False)]
    missing = n_components - len(x)
    if missing <= 0:
        return x
    noise = numpy.sqrt(numpy.maximum(.01 * x.var(axis=0), var_floor))
    copies = x[random.randint(len(x), size=missing)]
    return numpy.concatenate((x, copies + noise * random.standard_normal(copies.shape)))


def _kmeans(x, n_components, random):
    """One run of k-means: labels (M,) and the sum of squared distances."""
    z = x - x.mean(axis=0)      # less cancellation in distances from matrix products
    square = (z * z).sum(axis=1)
    centres = _plus_plus(z, square, n_components, random)
    labels = None
    for _ in range(N_ITERATIONS):
        distances = square[:, None] - 2 * z @ centres.T + (centres * centres).sum(axis=1)
        new_labels = distances.argmin(axis=1)
        if labels is not None and (new_labels == labels).all():
            break
        labels = new_labels
        members = _one_hot(labels, n_components)
        size = members.sum(axis=0)[:, None]
        centres = numpy.where(size > 0, members.T @ z / numpy.maximum(size, 1), centres)
    return labels, distances.min(axis=1).sum()


def _plus_plus(z, square, n_components, random):
    """Centres (K, D): features drawn with probabilities proportional to squared distances."""
    chosen = [random.randint(len(z))]
    nearest = numpy.full(len(z), numpy.inf)
    while len(chosen) < n_components:
        last = z[chosen[-1]]
        nearest = numpy.minimum(nearest, square - 2 * z @ last + last @ last).clip(0, None)
        cumulated = nearest.cumsum()
        draw = random.random_sample() * cumulated[-1]
        chosen.append(min(cumulated.searchsorted(draw, side='right'), len(z) - 1))
    return z[chosen]


def _mixture_of(x, labels, n_components, var_floor):
    """Mixture of the clusters; a cluster of fewer than two features gets the overall variance."""
    members = _one_hot(labels, n_components)
    size = members.sum(axis=0)[:, None]
    centre, overall = x.mean(axis=0), x.var(axis=0)
    z = x - centre
    offset = members.T @ z / numpy.maximum(size, 1)
    var = members.T @ (z * z) / numpy.maximum(size, 1) - offset * offset
    var = numpy.where(size > 1, var, overall)
    weight = (size[:, 0] + 1) / (size.sum() + len(size))
    return centre + offset, numpy.maximum(var, var_floor), weight


def _one_hot(labels, n_components):
    return (labels[:, None] == numpy.arange(n_components)).astype(numpy.float64)
