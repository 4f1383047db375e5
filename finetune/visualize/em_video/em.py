"""The layer's iterative EM algorithm on points in the plane (Sect. S3)."""
from dataclasses import dataclass
from typing import Any, NamedTuple

import chainer
import numpy
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.mixture import GaussianMixture

from finetune.errors import InputError
from fve_layer import gmm, GMMLayer

# The supplement's data; name: (deviation, batch size)
DATA = {'simple': (.1, 128), 'difficult': (.2, 512)}
N_STARTS = 10       # initialisations of the reference


@dataclass
class Settings:
    """Settings of an experiment; the defaults are those of the supplement (Sect. S3)."""

    name: str = 'simple'
    n_classes: int = 10
    n_samples: int = 400            # points per class
    deviation: float = .1           # standard deviation of a class
    batch_size: int = 128           # points per iteration
    n_iterations: int = 50
    ema_decay: float = .9           # lambda
    init: str = 'kmeans'            # or random
    seed: int = 0                   # of points, batches and initialisation

    def __post_init__(self):
        n_points = self.n_classes * self.n_samples
        if self.batch_size > n_points:
            raise InputError(f'--batch-size is {self.batch_size}, but there are only {n_points} '
                             'points; lower it or raise --samples.')


def make_settings(name, deviation=None, batch_size=None, **options):
    """Settings of the simple or difficult data; ``None``: the value of the supplement."""
    default_deviation, default_batch_size = DATA[name]
    return Settings(
        name, deviation=default_deviation if deviation is None else deviation,
        batch_size=default_batch_size if batch_size is None else batch_size, **options)


class Iteration(NamedTuple):
    """The batch of an iteration, and the mixture after it."""

    batch: Any              # (B, 2)
    mean: Any               # (K, 2)
    var: Any                # (K, 2)
    weight: Any             # (K,)
    distances: Any          # (K,): between matched means and centres
    log_likelihood: float   # mean over all points, in nats


def draw(settings):
    """Draws points of classes whose centres are on the unit circle.

    .. math::

        x \\sim N(\\mu_k, s^2 I), \\quad
        \\mu_k = (\\cos(2 \\pi k / K), \\sin(2 \\pi k / K)), \\quad k = 1 \\ldots K

    with the deviation s. Returns points (n, 2), float32, class by class, and centres (K, 2).
    """
    n_classes, random = settings.n_classes, numpy.random.RandomState(settings.seed)
    angles = 2 * numpy.pi * numpy.arange(1, n_classes + 1) / n_classes
    centres = numpy.stack((numpy.cos(angles), numpy.sin(angles)), axis=1)
    noise = settings.deviation * random.standard_normal((n_classes, settings.n_samples, 2))
    points = centres[:, None] + noise
    return points.reshape(-1, 2).astype(numpy.float32), centres


def learn(points, centres, settings):
    """Trains a :class:`~fve_layer.GMMLayer` with one EM step per batch; yields an Iteration each.

    Args:
        points (numpy.ndarray): All points, shape (n, 2), float32.
        centres (numpy.ndarray): Centres of the classes, shape (K, 2).
        settings (Settings): Settings of the experiment.

    """
    layer = GMMLayer(2, settings.n_classes, ema_decay=settings.ema_decay, init=settings.init,
                     seed=settings.seed)
    random = numpy.random.RandomState([settings.seed, 1])
    batches = chainer.iterators.SerialIterator(
        points, settings.batch_size,
        order_sampler=lambda order, position: random.permutation(len(points)))
    for _ in range(settings.n_iterations):
        batch = numpy.stack(batches.next())
        layer(batch[None])
        mixture = layer.mean, layer.var, layer.weight
        yield Iteration(batch, *mixture, matched_distances(layer.mean, centres),
                        float(gmm.log_likelihood(points, *mixture).mean()))


def matched_distances(mean, centres):
    """Distances (K,) between means and centres, matched one to one to minimise their sum."""
    distances = cdist(mean, centres)
    return distances[linear_sum_assignment(distances)]


def fit_reference(points, settings, n_starts=N_STARTS):
    """scikit-learn's converged mixture of all points, the best of ``n_starts``."""
    return GaussianMixture(
        settings.n_classes, covariance_type='diag', n_init=n_starts, max_iter=1000,
        random_state=settings.seed).fit(points)


def n_recovered(iteration, settings):
    """Number of centres with a mean within one deviation."""
    return int((iteration.distances < settings.deviation).sum())


def iterations_to_convergence(history, settings):
    """The first iteration from which all centres stay recovered, or ``None``."""
    states = [n_recovered(iteration, settings) == settings.n_classes for iteration in history]
    if not states[-1]:
        return None
    return len(states) - states[::-1].index(False) + 1 if False in states else 1
