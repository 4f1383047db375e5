import doctest
import io
import warnings

import chainer
from chainer import serializers
from chainer.backends import cuda
import chainer.links as L
from chainer.testing import attr
import numpy
import oracles
import pytest

from fve_layer import FVELayer, GMMLayer, GradientFVELayer, fisher_vector, gmm, seeding

K, D = 4, 6
GARBAGE = [numpy.nan, numpy.inf, 1e30]
RELATIVE_FLOOR = {'relative_var_floor': .5, 'var_floor': 1e-9}


def batches(n, seed=0, dtype='f'):
    random = numpy.random.RandomState(seed)
    centres = 3 * random.randn(K, D)
    for _ in range(n):
        yield (centres[random.randint(K, size=(5, 12))] + random.randn(5, 12, D)).astype(dtype)


def state(layer):
    return {name: numpy.array(getattr(layer, name)) for name in sorted(layer._persistent)}


def assert_same_state(layer, other):
    for name, value in state(layer).items():
        numpy.testing.assert_array_equal(value, state(other)[name], err_msg=name)


def test_moving_average_against_the_recursion_of_the_paper():
    """Eqs. 6-9 as they stand, the E-step with the corrected parameters of the step before."""
    decay = .8
    with chainer.using_config('dtype', numpy.float64):
        layer = FVELayer(D, K, ema_decay=decay, seed=0)
    mean = var = weight = 0
    for t, x in enumerate(batches(6, dtype='d'), 1):
        features = x.reshape(-1, D)
        if t == 1:
            corrected = seeding.kmeans_mixture(features, K, layer.var_floor, 0)
        resp = oracles.responsibilities(features, *corrected)
        new = oracles.m_step(features, resp, layer.var_floor)
        mean, var, weight = (decay * old + (1 - decay) * value
                             for old, value in zip((mean, var, weight), new))
        corrected = [value / (1 - decay ** t) for value in (mean, var, weight)]
        fv = layer(x)
        for name, value in zip(('mean', 'var', 'weight'), corrected):
            numpy.testing.assert_allclose(getattr(layer, name), value, rtol=1e-8, err_msg=name)
        # the batch is encoded with the parameters just updated
        numpy.testing.assert_allclose(
            fv.array, oracles.fisher_vector(x, *corrected), rtol=1e-6, atol=1e-8)
    assert layer.n_updates == 6


@pytest.mark.parametrize('resp_gradient', [True, False])
def test_gradient_in_training_is_that_of_the_function_with_updated_parameters(resp_gradient):
    layer = FVELayer(D, K, seed=0, norm_filter=True, resp_gradient=resp_gradient)
    gfv = numpy.random.RandomState(1).randn(5, 2 * K * D).astype('f')
    for x in batches(3):
        variable = chainer.Variable(x)
        fv = layer(variable)
        fv.grad = gfv
        fv.backward()
    other = chainer.Variable(x)
    norm = numpy.linalg.norm(x, axis=2)
    expected = fisher_vector(other, layer.mean, layer.var, layer.weight,
                             norm > norm.mean(axis=1, keepdims=True), 'sqrt', resp_gradient)
    expected.grad = gfv
    expected.backward()
    numpy.testing.assert_array_equal(fv.array, expected.array)
    numpy.testing.assert_array_equal(variable.grad, other.grad)


def test_graph_of_an_earlier_call_keeps_its_parameters():
    first, second = batches(2)
    layer = FVELayer(D, K, seed=0)
    x = chainer.Variable(first)
    fv = layer(x)
    frozen = chainer.Variable(first)
    expected = fisher_vector(frozen, layer.mean.copy(), layer.var.copy(), layer.weight.copy())
    layer(second)
    for output in (fv, expected):
        output.grad = numpy.ones_like(output.array)
        output.backward()
    numpy.testing.assert_array_equal(x.grad, frozen.grad)


def test_one_component_is_batch_normalisation():
    layer = GMMLayer(D, 1, ema_decay=.9)
    bn = L.BatchNormalization(D, decay=.9)
    bn.avg_mean[...] = bn.avg_var[...] = 0
    for t, x in enumerate(batches(20), 1):
        layer(x)
        m = x.shape[0] * x.shape[1]
        bn(x.reshape(-1, D))
        correction = 1 - .9 ** t
        numpy.testing.assert_allclose(layer.mean[0], bn.avg_mean / correction, rtol=1e-6,
                                      atol=1e-6)
        # Chainer's running variance is the unbiased one
        numpy.testing.assert_allclose(
            layer.var[0], bn.avg_var / correction * (m - 1) / m, rtol=1e-6)
        assert layer.weight == 1


def test_order_of_features_does_not_matter():
    order = numpy.random.RandomState(0).permutation(12)
    layer, other = (FVELayer(D, K, seed=0, init='random') for _ in range(2))
    for x in batches(4):
        numpy.testing.assert_allclose(layer(x).array, other(x[:, order]).array, atol=2e-4)
    for name in ('mean', 'var', 'weight'):
        numpy.testing.assert_allclose(getattr(layer, name), getattr(other, name), atol=1e-4)


@pytest.mark.parametrize('norm_filter', [False, True])
@pytest.mark.parametrize('garbage', GARBAGE)
@pytest.mark.filterwarnings('ignore:overflow')
def test_hidden_features_have_no_influence(garbage, norm_filter):
    layer, other = (FVELayer(D, K, seed=0, norm_filter=norm_filter) for _ in range(2))
    for t, x in enumerate(batches(3)):
        mask = numpy.random.RandomState(t).rand(*x.shape[:2]) < .6
        mask[0] = False
        spoilt = x.copy()
        spoilt[~mask] = garbage
        outputs = []
        for model, values in ((layer, x), (other, spoilt)):
            variable = chainer.Variable(values)
            fv = model(variable, mask)
            fv.grad = numpy.ones_like(fv.array)
            fv.backward()
            outputs.append((fv.array, variable.grad))
        numpy.testing.assert_array_equal(*(fv for fv, _ in outputs))
        numpy.testing.assert_array_equal(*(gx for _, gx in outputs))
        assert not outputs[1][1][~mask].any() and not outputs[1][0][0].any()
        assert_same_state(layer, other)


HARD = {
    'no visible feature': (numpy.ones((2, 5, D), 'f'), numpy.zeros((2, 5), dtype=bool)),
    'one feature': (numpy.ones((1, 1, D), 'f'), None),
    'no feature': (numpy.ones((2, 0, D), 'f'), None),
    'identical features': (numpy.ones((3, 5, D), 'f'), None),
    'fewer features than components': (numpy.random.RandomState(0).randn(1, 3, D).astype('f'),
                                       None),
    'norm of a million': (1e6 * numpy.random.RandomState(0).randn(3, 8, D).astype('f'), None),
    'all zeros': (numpy.zeros((3, 5, D), 'f'), None),
}


@pytest.mark.parametrize('norm_filter', [False, True])
@pytest.mark.parametrize('n_components', [1, K, 20])
@pytest.mark.parametrize('case', HARD)
def test_no_nan(case, n_components, norm_filter):
    x, mask = HARD[case]
    layer = FVELayer(D, n_components, seed=0, norm_filter=norm_filter)
    for values, visible in [(x, mask), (x, mask), (next(batches(1)), None), (x, mask)]:
        variable = chainer.Variable(values)
        fv = layer(variable, visible)
        fv.grad = numpy.ones_like(fv.array)
        fv.backward()
        assert numpy.isfinite(fv.array).all() and numpy.isfinite(variable.grad).all()
        for name, value in state(layer).items():
            assert numpy.isfinite(value).all(), name
        assert (layer.weight > 0).all() and layer.weight.sum() == pytest.approx(1, abs=1e-6)
        assert (layer.var >= numpy.float32(layer.var_floor)).all()


@pytest.mark.parametrize('norm_filter', [False, True])
@pytest.mark.parametrize('n_components', [1, K])
@pytest.mark.parametrize('kind', [GMMLayer, FVELayer])
@pytest.mark.parametrize('garbage', [numpy.nan, numpy.inf, -numpy.inf, 1e25])
@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_batch_that_is_not_finite_does_not_change_the_mixture(garbage, kind, n_components,
                                                              norm_filter):
    """One feature of one image suffices; later batches count as if it had not been."""
    layer, other = (kind(D, n_components, seed=0, norm_filter=norm_filter) for _ in range(2))
    first, second = batches(2)
    for model in (layer, other):
        model(first)
    spoilt = second.copy()
    spoilt[1, 2, 3] = garbage
    layer(spoilt)
    assert_same_state(layer, other)
    assert abs(garbage) < numpy.inf or not numpy.isfinite(layer.log_likelihood)
    layer(second)
    other(second)
    assert_same_state(layer, other)
    assert layer.n_updates == 2 and numpy.isfinite(layer.log_likelihood)


def test_batch_without_counting_features_changes_nothing_and_does_not_seed():
    layer = FVELayer(D, K, seed=0)
    before = state(layer)
    x = next(batches(1))
    hidden = numpy.zeros(x.shape[:2], dtype=bool)
    assert not layer(x, hidden).array.any()
    for name, value in before.items():
        numpy.testing.assert_array_equal(state(layer)[name], value)
    other = FVELayer(D, K, seed=0)
    layer(x)
    other(x)
    assert_same_state(layer, other)
    after = state(layer)
    layer(x, hidden)
    for name, value in after.items():
        numpy.testing.assert_array_equal(state(layer)[name], value)


@pytest.mark.parametrize('n_before', [0, 1, 3])
def test_save_load_step_is_step(n_before):
    data = list(batches(n_before + 2))
    layer = FVELayer(D, K, seed=3, norm_filter=True)
    for x in data[:n_before]:
        layer(x)
    file = io.BytesIO()
    serializers.save_npz(file, layer)
    file.seek(0)
    loaded = FVELayer(D, K, norm_filter=True)
    loaded(data[0])         # whatever it was before
    serializers.load_npz(file, loaded)
    for x in data[n_before:]:
        numpy.testing.assert_array_equal(layer(x).array, loaded(x).array)
        assert_same_state(layer, loaded)


def test_seed_decides():
    layers = [FVELayer(D, 3 * K, seed=seed) for seed in (0, 0, 1)]
    for x in batches(2):
        for layer in layers:
            layer(x)
    assert_same_state(*layers[:2])
    assert abs(layers[0].mean - layers[2].mean).max() > 1e-2


def test_without_a_seed_numpys_global_state_decides():
    seeds = []
    for _ in range(2):
        numpy.random.seed(5)
        seeds.append(int(FVELayer(D, K).seed))
    assert seeds[0] == seeds[1] != int(FVELayer(D, K).seed)


def test_test_mode_changes_nothing():
    layer = FVELayer(D, K, seed=0)
    data = list(batches(3))
    layer(data[0])
    before = state(layer)
    with chainer.using_config('train', False):
        fv = layer(data[1])
    for name, value in before.items():
        numpy.testing.assert_array_equal(state(layer)[name], value)
    expected = fisher_vector(data[1], layer.mean, layer.var, layer.weight)
    numpy.testing.assert_array_equal(fv.array, expected.array)


@pytest.mark.parametrize('x_dtype, config_dtype, state_dtype', [
    ('e', chainer.mixed16, 'f'), ('e', numpy.float16, 'f'), ('f', numpy.float32, 'f'),
    ('d', numpy.float64, 'd'), ('f', numpy.float64, 'd')])
def test_precision(x_dtype, config_dtype, state_dtype):
    with chainer.using_config('dtype', config_dtype):
        layer = FVELayer(D, K, seed=0)
    reference = FVELayer(D, K, seed=0)
    for x in batches(3):
        x = x.astype('e')
        variable = chainer.Variable(x.astype(x_dtype))
        fv = layer(variable)
        expected = reference(x.astype('f'))
        fv.grad = numpy.ones_like(fv.array)
        fv.backward()
        assert fv.dtype == variable.grad.dtype == numpy.dtype(x_dtype)
        for name in ('mean', 'var', 'weight'):
            assert getattr(layer, name).dtype == numpy.dtype(state_dtype)
        numpy.testing.assert_allclose(layer.mean, reference.mean, rtol=1e-4, atol=1e-4)
        numpy.testing.assert_allclose(fv.array, expected.array, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize('dtype', ['f', 'd'])
def test_assigned_parameters_are_used_and_not_seeded_over(dtype):
    layer = FVELayer(D, K, ema_decay=.5)
    mixture = [a.astype(dtype) for a in oracles.mixture(K, D)]
    layer.mean, layer.var, layer.weight = mixture
    x = next(batches(1, dtype='d'))
    with chainer.using_config('train', False):
        numpy.testing.assert_allclose(
            layer(x).array, oracles.fisher_vector(x, *(a.astype('d') for a in mixture)),
            rtol=1e-6, atol=1e-6)
    layer(x)
    features = x.reshape(-1, D)
    resp = oracles.responsibilities(features, *(a.astype('d') for a in mixture))
    expected, _, _ = oracles.m_step(features, resp)
    numpy.testing.assert_allclose(layer.mean, expected, rtol=1e-4, atol=1e-4)
    assert layer.mean.dtype == numpy.dtype(dtype)


def test_number_of_features_may_vary():
    layer = FVELayer(D, K, seed=0)
    for t in (12, 1, 300, 7):
        assert layer(numpy.random.randn(3, t, D).astype('f')).shape == (3, 2 * K * D)


def test_identity_layer_learns_the_same_and_returns_its_input():
    layer, other = GMMLayer(D, K, seed=0), FVELayer(D, K, seed=0)
    for x in batches(3):
        variable = chainer.Variable(x)
        assert layer(variable) is variable
        other(x)
    assert_same_state(layer, other)


def test_log_likelihood_is_that_of_the_batch_before_the_update():
    layer = FVELayer(D, K, seed=0)
    for x in batches(3):
        before = layer.mean, layer.var, layer.weight
        was_seeded = layer.n_updates > 0
        layer(x)
        if was_seeded:
            expected = gmm.log_likelihood(x, *before).mean()
            assert float(layer.log_likelihood) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('layer_class', [GMMLayer, FVELayer])
def test_observation(layer_class):
    layer = layer_class(D, K, seed=0)
    assert list(layer.observation) == ['weight_entropy', 'var_typical', 'var_at_floor']
    assert layer.observation['weight_entropy'] == pytest.approx(1)
    for x in batches(2):
        layer(x)
    observation = layer.observation
    assert list(observation)[3:] == ['log_likelihood']
    geometric_mean = numpy.prod(layer.var.astype(float)) ** (1 / layer.var.size)
    assert observation['var_typical'] == pytest.approx(geometric_mean, rel=1e-5)
    assert observation['var_at_floor'] == 0
    layer.var[0] = layer.var_floor
    assert layer.observation['var_at_floor'] == pytest.approx(1 / K)
    assert observation['weight_entropy'] == gmm.normalized_entropy(layer.weight) < 1
    assert observation['log_likelihood'] == layer.log_likelihood < 0


def test_mixture_is_that_of_the_attributes():
    layer = FVELayer(D, K, seed=0)
    for x in batches(2):
        layer(x)
        assert isinstance(layer.mixture, tuple) and len(layer.mixture) == 3
        for array, name in zip(layer.mixture, ('mean', 'var', 'weight')):
            assert array is getattr(layer, name)


def test_output_sizes():
    x = next(batches(1))
    for layer in (FVELayer(D, K), GMMLayer(D, K)):
        assert layer(x).shape[-1] == layer.out_size


def test_seeded_once_there_is_a_mixture():
    x = next(batches(1))
    layer = GMMLayer(D, K, seed=0)
    assert not layer.is_seeded
    layer(x, numpy.zeros(x.shape[:2], dtype=bool))
    assert not layer.is_seeded
    layer(x)
    assert layer.is_seeded and GMMLayer(D, K, init='random').is_seeded
    file = io.BytesIO()
    serializers.save_npz(file, GMMLayer(D, K))
    file.seek(0)
    serializers.load_npz(file, layer)       # a mixture that has not been seeded
    assert not layer.is_seeded


@pytest.mark.parametrize('options, message', [
    ({'init': 'zeros'}, 'init must be one of'), ({'ema_decay': 1}, 'ema_decay'),
    ({'ema_decay': -.1}, 'ema_decay'), ({'var_floor': 0}, 'var_floor'),
    ({'relative_var_floor': -1}, 'relative_var_floor'),
    ({'relative_var_floor': numpy.inf}, 'relative_var_floor'),
    ({'normalization': 'l2'}, 'normalization must be one of'), ({'n_components': 0}, 'at least 1')])
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        FVELayer(**{'in_size': D, 'n_components': K, **options})


@pytest.mark.parametrize('x_shape, mask_shape, message', [
    ((5, D), None, 'x must have the shape'), ((2, 5, D + 1), None, 'x must have the shape'),
    ((2, 5, D), (2, 4), 'mask must have the shape')])
def test_wrong_shapes(x_shape, mask_shape, message):
    mask = None if mask_shape is None else numpy.ones(mask_shape, dtype=bool)
    with pytest.raises(ValueError, match=message):
        FVELayer(D, K)(numpy.zeros(x_shape, 'f'), mask)


def test_conv_maps_are_refused_with_the_way_to_local_features():
    h = numpy.random.RandomState(0).randn(2, D, 3, 4).astype('f')
    layer = FVELayer(D, K, seed=0)
    with pytest.raises(ValueError, match=r'not \(2, \d+, 3, 4\); of ConvMaps h') as raised:
        layer(h)
    way = str(raised.value).partition(' give ')[2].partition(', or ')[0]
    x = eval(way, {'h': chainer.Variable(h)})
    numpy.testing.assert_array_equal(x.array, [image.reshape(D, -1).T for image in h])
    assert layer(x).shape == (2, 2 * K * D)
    with pytest.raises(ValueError, match=r'not \(3, 4\)$'):
        layer(h[0, 0])


@pytest.mark.parametrize('kind', [FVELayer, GMMLayer])
def test_examples_of_the_docstrings(kind):
    names = {'numpy': numpy, 'F': chainer.functions, kind.__name__: kind}
    test, = (test for test in doctest.DocTestFinder(recurse=False).find(kind, 'layer', globs=names))
    assert test.examples
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_representation_names_the_settings():
    text = repr(FVELayer(D, K, norm_filter=True))
    for setting in ('in_size=6', 'n_components=4', 'ema_decay=0.9', 'norm_filter=True',
                    'init=kmeans', 'var_floor=0.001', 'normalization=sqrt'):
        assert setting in text
    assert 'normalization' not in repr(GMMLayer(D, K))


@attr.gpu
@pytest.mark.parametrize('settings', [{}, RELATIVE_FLOOR], ids=str)
def test_gpu_equals_cpu(settings):
    layer, other = (FVELayer(D, K, seed=0, norm_filter=True, **settings) for _ in range(2))
    other.to_device('@cupy:0')
    for t, x in enumerate(batches(5)):
        mask = numpy.random.RandomState(t).rand(*x.shape[:2]) < .7
        expected = layer(x, mask).array
        actual = cuda.to_cpu(other(cuda.to_gpu(x), cuda.to_gpu(mask)).array)
        assert abs(actual - expected).max() < 1e-4 * abs(expected).max()
    for name in ('mean', 'var', 'weight'):
        numpy.testing.assert_allclose(
            cuda.to_cpu(getattr(other, name)), getattr(layer, name), rtol=1e-5, atol=1e-5)


def step_on_gpu(layer, x, mask):
    """A step of training; the Fisher vectors, the gradient, and the mean afterwards."""
    variable = chainer.Variable(x)
    fv = layer(variable, mask)
    fv.grad = fv.array
    fv.backward()
    return fv.array, variable.grad, layer.mean


def layer_on_gpu(**settings):
    layer = FVELayer(64, 5, seed=0, norm_filter=True, **settings)
    layer.to_device('@cupy:0')
    random = numpy.random.RandomState(0)
    x = cuda.to_gpu(random.rand(4, 50, 64).astype('f'))
    return layer, x, cuda.to_gpu(random.rand(4, 50) < .7)


@attr.gpu
def test_gpu_runs_are_equal_bit_for_bit():
    runs = []
    for _ in range(2):
        layer, x, mask = layer_on_gpu()
        runs.append([step_on_gpu(layer, x * t, mask) for t in (1, 2, 3)][-1])
    for first, second in zip(*runs):
        assert (first == second).all()


@attr.gpu
@pytest.mark.parametrize('settings', [{}, RELATIVE_FLOOR], ids=str)
def test_gpu_step_neither_copies_to_the_host_nor_waits(settings):
    """Only work that stays on the device can be captured as a graph."""
    layer, x, mask = layer_on_gpu(**settings)
    stream = cuda.cupy.cuda.Stream(non_blocking=True)
    with stream:
        for _ in range(2):      # the first batch seeds, on the CPU; then memory is at hand
            step_on_gpu(layer, x, mask)
        stream.synchronize()
        stream.begin_capture()
        step_on_gpu(layer, x, mask)
        stream.end_capture()


LAYERS = [FVELayer, GMMLayer, GradientFVELayer]


@pytest.mark.parametrize('kind', LAYERS)
@pytest.mark.parametrize('saved', [(1, D), (K, 1), (1, 1)])
def test_mixture_of_another_shape_is_not_loaded(saved, kind, tmp_path):
    n_components, size = saved
    other = kind(size, n_components, seed=0)
    other(numpy.random.RandomState(0).randn(4, 9, size).astype('f'))
    chainer.serializers.save_npz(tmp_path / 'other.npz', other)
    layer = kind(D, K, seed=0)
    layer(next(batches(1)))
    before = state(layer)
    with pytest.raises(ValueError, match='has the shape .* but must have'):
        chainer.serializers.load_npz(tmp_path / 'other.npz', layer)
    for name, value in state(layer).items():
        numpy.testing.assert_array_equal(value, before[name])


def warnings_of(layer, x):
    """Warnings of two calls in test mode."""
    with warnings.catch_warnings(record=True) as caught, chainer.using_config('train', False):
        warnings.simplefilter('always')
        layer(x)
        layer(x)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize('kind', LAYERS)
def test_mixture_that_has_seen_nothing_warns_once_in_test_mode(kind, tmp_path):
    layer, x = kind(D, K, seed=0), next(batches(1))
    assert warnings_of(layer, x) == [
        f'{kind.__name__} is in test mode, but its mixture has seen no features; call the layer in '
        'training mode first, or load a trained state']
    trained = kind(D, K, seed=0)
    trained(x)
    serializers.save_npz(tmp_path / 'trained.npz', trained)
    loaded = kind(D, K, seed=1)
    serializers.load_npz(tmp_path / 'trained.npz', loaded)
    assigned = kind(D, K, seed=0)
    assigned._assign(*trained.mixture)
    for other in trained, loaded, assigned:
        assert warnings_of(other, x) == []


@pytest.mark.parametrize('kind', LAYERS)
def test_training_and_its_repetition_in_the_backward_pass_warn_of_nothing(kind):
    layer, x = kind(D, K, seed=0), chainer.Variable(next(batches(1)))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        y = chainer.functions.sum(chainer.functions.forget(layer, x))
        y.backward()


@pytest.mark.parametrize('kind', LAYERS)
def test_copies_by_init_are_new_layers(kind):
    layer = kind(D, K, seed=0)
    x = next(batches(1))
    expected = layer(x).array
    copy = layer.copy('init')
    assert not copy.is_seeded and layer.is_seeded
    numpy.testing.assert_array_equal(copy(x).array, expected)
    repeated = layer.repeat(2)
    assert len(repeated) == 2 and repeated[0].mean is not layer.mean
    assert layer.copy('copy').is_seeded


@pytest.mark.parametrize('kind', LAYERS)
@pytest.mark.parametrize('options, problem', [
    ({'seed': -1}, 'seed must be'), ({'seed': 2 ** 40}, 'seed must be'),
    ({'seed': 1.5}, 'seed must be'), ({'var_floor': numpy.inf}, 'var_floor must be'),
    ({'var_floor': numpy.nan}, 'var_floor must be'), ({'var_floor': 0}, 'var_floor must be')])
def test_options_that_make_no_sense(options, problem, kind):
    with pytest.raises(ValueError, match=problem):
        kind(D, K, **options)


@pytest.mark.parametrize('kind', LAYERS)
@pytest.mark.parametrize('dtype', [int, bool, object, complex])
def test_features_are_floats(dtype, kind):
    layer = kind(D, K, seed=0)
    layer(next(batches(1)))
    with pytest.raises(ValueError, match='x must be an array of floats'):
        layer(next(batches(1)).astype(dtype))


@pytest.mark.parametrize('kind', LAYERS)
def test_no_variance_is_below_the_floor_before_the_first_batch(kind):
    layer = kind(D, K, var_floor=2.5)
    assert (chainer.as_array(layer.var) >= 2.5).all()


@pytest.mark.parametrize('kind', [FVELayer, GMMLayer])
@pytest.mark.parametrize('name, change', [
    ('var', lambda array: -array), ('weight', lambda array: 2 * array),
    ('weight', lambda array: array - .9), ('var', lambda array: array * numpy.nan),
    ('var', lambda array: array + numpy.inf), ('mean', lambda array: array * numpy.nan)])
def test_arrays_that_are_no_mixture_are_not_loaded(name, change, kind, tmp_path):
    layer = kind(D, K, seed=0)
    layer(next(batches(1)))
    setattr(layer, name, change(getattr(layer, name)))
    chainer.serializers.save_npz(tmp_path / 'wrong.npz', layer)
    with pytest.raises(ValueError, match='var must be positive, and weight|must be finite'):
        chainer.serializers.load_npz(tmp_path / 'wrong.npz', kind(D, K))
