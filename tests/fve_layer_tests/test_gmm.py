import numpy
import oracles
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from fve_layer import gmm, seeding


def sklearn_mixture(mean, var, weight):
    model = GaussianMixture(len(mean), covariance_type='diag')
    model.means_, model.covariances_, model.weights_ = mean, var, weight
    model.precisions_cholesky_ = 1 / numpy.sqrt(var)
    return model


@pytest.fixture(params=[1, 5, 20])
def mixture(request):
    return oracles.mixture(request.param, 7)


@pytest.fixture
def x():
    return numpy.random.RandomState(1).randn(4, 25, 7)


def test_responsibilities(mixture, x):
    resp = gmm.responsibilities(x, *mixture)
    assert resp.shape == (4, 25, len(mixture[0]))
    flat = resp.reshape(100, -1)
    numpy.testing.assert_allclose(
        flat, sklearn_mixture(*mixture).predict_proba(x.reshape(100, 7)), atol=1e-12)
    numpy.testing.assert_allclose(
        flat, oracles.responsibilities(x.reshape(100, 7), *mixture), atol=1e-12)


def test_log_likelihood_against_scipy(mixture, x):
    mean, var, weight = mixture
    log_p = [stats.multivariate_normal(m, numpy.diag(v)).logpdf(x) for m, v in zip(mean, var)]
    expected = logsumexp(numpy.stack(log_p, axis=-1) + numpy.log(weight), axis=-1)
    numpy.testing.assert_allclose(gmm.log_likelihood(x, *mixture), expected, rtol=1e-12)


def test_e_and_m_step_against_scikit_learn_and_loops(mixture, x):
    mask = numpy.random.RandomState(2).rand(4, 25) < .7
    features = x[mask]
    statistics = gmm.e_step(x, *mixture, mask)
    mean, var, weight = gmm.m_step(statistics, mixture[0], mixture[1], var_floor=1e-9)
    model = sklearn_mixture(*mixture)
    model.reg_covar = 0
    numpy.testing.assert_allclose(statistics.log_likelihood, model.score(features), rtol=1e-10)
    _, log_resp = model._e_step(features)
    model._m_step(features, log_resp)
    for actual, expected in ((mean, model.means_), (var, model.covariances_),
                             (weight, model.weights_)):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)
    for actual, expected in zip((mean, var, weight),
                                oracles.m_step(features, numpy.exp(log_resp))):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def test_em_never_lowers_the_likelihood():
    random = numpy.random.RandomState(0)
    x = (3 * random.randn(6, 5))[random.randint(6, size=(8, 50))] + random.randn(8, 50, 5)
    mean, var, weight = oracles.mixture(4, 5)
    likelihoods = []
    for _ in range(20):
        statistics = gmm.e_step(x, mean, var, weight)
        likelihoods.append(float(statistics.log_likelihood))
        mean, var, weight = gmm.m_step(statistics, mean, var, 1e-9)
    assert (numpy.diff(likelihoods) > -1e-9).all()
    assert likelihoods[-1] > likelihoods[0] + .1


def test_component_that_receives_nothing_keeps_its_parameters():
    mean = numpy.array([[0., 0.], [1e3, 1e3]])
    var, weight = numpy.full((2, 2), 2.), numpy.array([.5, .5])
    x = numpy.random.RandomState(0).randn(1, 50, 2)
    new_mean, new_var, new_weight = gmm.m_step(gmm.e_step(x, mean, var, weight), mean, var, 1e-3)
    numpy.testing.assert_array_equal(new_mean[1], mean[1])
    numpy.testing.assert_array_equal(new_var[1], var[1])
    numpy.testing.assert_allclose(new_mean[0], x[0].mean(axis=0))
    numpy.testing.assert_allclose(new_weight, [1, 0], atol=1e-12)
    bounded = gmm.bounded_weight(new_weight)
    assert (bounded > 0).all() and bounded.sum() == pytest.approx(1, abs=1e-15)


def test_variance_has_its_floor():
    x = numpy.zeros((1, 10, 3))
    mean, var, weight = oracles.mixture(1, 3)
    assert (gmm.m_step(gmm.e_step(x, mean, var, weight), mean, var, .25)[1] == .25).all()


def test_ema_rate_is_the_bias_corrected_recursion():
    decay, average, corrected = .9, 0., None
    for t, value in enumerate([3., -1., 4., 1., -5., 9.], 1):
        average = decay * average + (1 - decay) * value
        previous = 0 if corrected is None else corrected
        corrected = previous + gmm.ema_rate(t, decay) * (value - previous)
        assert corrected == pytest.approx(average / (1 - decay ** t), rel=1e-12)


def test_normalized_entropy():
    assert gmm.normalized_entropy(numpy.full(8, 1 / 8)) == pytest.approx(1)
    assert gmm.normalized_entropy(numpy.array([1., 0., 0.])) == pytest.approx(0)
    weight = numpy.array([.2, .3, .5])
    assert gmm.normalized_entropy(weight) == pytest.approx(stats.entropy(weight) / numpy.log(3))


def test_k_means_finds_ten_clusters_on_the_circle():
    """The supplement's data (Sect. S3): the starts find all ten centres in every run."""
    angle = numpy.arange(10) * numpy.pi / 5
    centres = numpy.stack((numpy.cos(angle), numpy.sin(angle)), axis=1)
    for seed in range(20):
        random = numpy.random.RandomState(seed)
        x = centres[random.randint(10, size=512)] + .1 * random.randn(512, 2)
        mean, var, weight = seeding.kmeans_mixture(x, 10, 1e-6, seed)
        distance = numpy.linalg.norm(mean[:, None] - centres, axis=2)
        assert sorted(distance.argmin(axis=1)) == list(range(10))
        assert distance.min(axis=1).max() < .1
        assert weight.sum() == pytest.approx(1)
        assert abs(var - .01).max() < .01


@pytest.mark.parametrize('n_features', [1, 2, 5])
def test_k_means_with_fewer_features_than_components(n_features):
    x = numpy.random.RandomState(0).randn(n_features, 3)
    mean, var, weight = seeding.kmeans_mixture(x, 8, 1e-3, 0)
    assert mean.shape == var.shape == (8, 3) and weight.shape == (8,)
    for array in (mean, var, weight):
        assert numpy.isfinite(array).all()
    assert (var >= 1e-3).all() and (weight > 0).all()


@pytest.mark.parametrize('value', [numpy.nan, numpy.inf])
def test_k_means_refuses_features_that_are_not_finite(value):
    x = numpy.ones((5, 2))
    x[3, 1] = value
    with pytest.raises(ValueError, match='not finite'):
        seeding.kmeans_mixture(x, 2, 1e-3, 0)


def test_responsibilities_of_float16_features_are_computed_in_float32(mixture, x):
    half = x.astype(numpy.float16)
    resp = gmm.responsibilities(half, *mixture)
    assert resp.dtype == numpy.float16
    expected = gmm.responsibilities(half.astype(numpy.float64), *mixture)
    numpy.testing.assert_allclose(resp, expected, atol=1e-3)
