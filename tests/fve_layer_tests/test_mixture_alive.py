"""The mixture does not collapse although every image shows only a few of the clusters."""
import numpy
import pytest
from scipy.stats import entropy
from sklearn.mixture import GaussianMixture

from fve_layer import GMMLayer
from fve_layer import seeding

N_CLUSTERS, D = 30, 64
N_BATCHES, N_OFFLINE_BATCHES, N_ITERATIONS = 150, 40, 60


def draw_batch(random, centres, n_images=24, n_features=32):
    """Images (N, T, D) that draw all their features from 3 clusters each."""
    x = numpy.empty((n_images, n_features, D), 'f')
    for image in x:
        clusters = random.choice(N_CLUSTERS, 3, replace=False)
        image[...] = centres[random.choice(clusters, n_features)] + random.randn(n_features, D)
    return x


def as_sklearn(mean, var, weight, **settings):
    """A scikit-learn mixture with these parameters, or starting from them."""
    mean, var, weight = (a.astype(numpy.float64) for a in (mean, var, weight))
    mixture = GaussianMixture(
        len(weight), covariance_type='diag', means_init=mean, precisions_init=1 / var,
        weights_init=weight / weight.sum(), **settings)
    mixture.means_, mixture.covariances_ = mean, var
    mixture.weights_, mixture.precisions_cholesky_ = weight / weight.sum(), var ** -.5
    return mixture


@pytest.mark.parametrize('n_components', [5, 20])
@pytest.mark.parametrize('seed', range(10))
def test_as_good_as_offline_em_from_the_same_seeds(n_components, seed):
    random = numpy.random.RandomState(seed)
    centres = 3 * random.randn(N_CLUSTERS, D)
    layer = GMMLayer(D, n_components, seed=seed)
    first = draw_batch(random, centres)
    layer(first)
    for _ in range(N_BATCHES - 1):
        layer(draw_batch(random, centres))
    held_out = draw_batch(random, centres, n_images=200).reshape(-1, D)
    seen = numpy.concatenate([draw_batch(random, centres).reshape(-1, D)
                              for _ in range(N_OFFLINE_BATCHES)])

    seeds = seeding.kmeans_mixture(first.reshape(-1, D), n_components, layer.var_floor, seed)
    offline = as_sklearn(*seeds, max_iter=N_ITERATIONS, tol=1e-5).fit(seen)
    assert offline.converged_
    online = as_sklearn(layer.mean, layer.var, layer.weight)
    assert online.score(held_out) > offline.score(held_out) - 1.5
    assert entropy(layer.weight) > .9 * entropy(offline.weights_)
