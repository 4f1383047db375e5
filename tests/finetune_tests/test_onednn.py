"""oneDNN's functions beside Chainer's, in the networks and alone."""
from concurrent.futures import ThreadPoolExecutor

import chainer
import chainer.functions as F
import numpy
import pytest

from finetune.compute import onednn, onednn_convolution
from finetune.compute.convolution import Convolution2D
from finetune.compute.geometry import Geometry
from finetune.compute.layers import average_pool, ConvBN, max_pool
from finetune.models.efficientnet_lite import EfficientNetLite0
from finetune.models.inception_v3 import InceptionV3
from finetune.models.small_cnn import SmallCNN

pytestmark = pytest.mark.skipif(onednn.library() is None, reason='needs oneDNN')


def without():
    return chainer.using_config('use_onednn', False)


def outcome(function, x, model=None, train=True):
    """Result, gradients by name, and the arrays of the model after the call."""
    x = chainer.Variable(x)
    gy = numpy.random.RandomState(1)
    if model is not None:
        model.cleargrads()
    with chainer.using_config('train', train):
        y = function(x)
        y.grad = gy.randn(*y.shape).astype(y.dtype)
        y.backward()
    result = {'y': y.array, 'gx': x.grad}
    if model is not None:
        result.update({'g' + name: p.grad for name, p in model.namedparams()})
        result.update((path, value.copy()) for path, value in arrays(model).items())
    return result


def check(make, x, train=True, tolerance=1e-5):
    """What oneDNN gives is what Chainer gives, relative to the largest value of an array."""
    results = []
    for context in (without(), chainer.using_config('use_onednn', True)):
        function = make()
        model = function if isinstance(function, chainer.Link) else None
        with context:
            results.append(outcome(function, x, model, train))
    expected, got = results
    assert set(expected) == set(got)
    for name, value in expected.items():
        assert numpy.isfinite(value).all()
        assert got[name].dtype == value.dtype and got[name].shape == value.shape
        numpy.testing.assert_allclose(got[name], value, rtol=0, err_msg=name,
                                      atol=tolerance * max(1e-30, abs(value).max()))


def images(*shape):
    return numpy.random.RandomState(0).randn(*shape).astype('f')


def seeded(make):
    """A function that makes the same network at every call, off its initial statistics."""
    def with_seed():
        numpy.random.seed(3)
        link = make()
        for child in link.links():
            if isinstance(child, chainer.links.BatchNormalization):
                child.avg_mean[...] = numpy.random.randn(len(child.avg_mean))
                child.avg_var[...] = numpy.random.uniform(.5, 2, len(child.avg_mean))
        return link
    return with_seed


def arrays(model):
    """All arrays of a model by path, not copied."""
    found = {path: p.array for path, p in model.namedparams()}
    found.update((f'{path}/{name}', getattr(link, name)) for path, link in model.namedlinks()
                 for name in ('avg_mean', 'avg_var') if hasattr(link, name))
    return found


@pytest.mark.parametrize('x, arguments, groups', [(*case, 1) for case in [
    ((4, 3, 31, 33), (3, 24, 5, 2, 2)), ((2, 24, 9, 9), (24, 40, (1, 7), 1, (0, 3))),
    ((2, 24, 9, 8), (24, 5, (7, 1), 1, (3, 0))), ((3, 16, 6, 6), (16, 32, 1)),
    ((1, 1, 1, 1), (1, 1, 1)), ((1, 5, 4, 4), (5, 7, 4)),
    ((2, 3, 8, 7), (3, 32, 3, 2, 'SAME'))]] + [
    ((2, 32, 8, 7), (32, 32, 3, 1, 'SAME'), 32), ((3, 48, 8, 11), (48, 48, 5, 2, 'SAME'), 48),
    ((2, 5, 8, 8), (5, 5, 3, 2, 'SAME'), 5), ((2, 8, 6, 6), (8, 16, 3, 1, 1), 4),
    ((2, 16, 9, 13), (16, 16, (3, 8), (1, 2), (1, 3)), 16), ((2, 32, 5, 5), (32, 32, 5, 1, 2), 32),
    ((2, 16, 7, 9), (16, 32, 5, 1, 2), 16)])
def test_convolution(x, arguments, groups):
    check(seeded(lambda: Convolution2D(*arguments, groups=groups)), images(*x))


OPTIONS = [{}, {'use_gamma': False, 'eps': 1e-3}, {'use_beta': False}, {'activation': 'relu6'},
           {'activation': None}]


def layer(**options):
    """With results on both sides of ReLU6's limits."""
    link = ConvBN(3, 24, 3, 1, 1, **options)
    if link.bn.gamma is not None:
        link.bn.gamma.array[...] *= 4
    if link.bn.beta is not None:
        link.bn.beta.array[...] = numpy.random.randn(24)
    return link


@pytest.mark.filterwarnings('ignore:A batch with no more than one sample')
@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('shape', [(5, 3, 9, 9), (1, 3, 3, 3), (16, 3, 8, 8), (1, 3, 1, 1)])
def test_convolution_batch_norm_activation(shape, options, train):
    check(seeded(lambda: layer(**options)), images(*shape), train)


@pytest.mark.parametrize('options', [*OPTIONS, {'activation': 'relu6', 'groups': 3}])
def test_test_mode_computes_all_at_once(options):
    """The batch normalisation is in the filters; there is no graph."""
    model, x = seeded(lambda: layer(**options))(), images(4, 3, 9, 8)
    results = []
    with chainer.using_config('train', False):
        for use_onednn in False, True:
            with chainer.using_config('use_onednn', use_onednn), chainer.no_backprop_mode():
                results.append(model(x))
        kept = model(x)
    assert results[1].creator is None and kept.creator is not None
    for result in (*results[1:], kept):
        numpy.testing.assert_allclose(result.array, results[0].array, rtol=0, atol=2e-5)
    assert results[0].array.max() > 5


@pytest.mark.parametrize('without', ['x', 'gamma', 'beta', 'W'])
def test_gradients_that_are_not_needed(without):
    """In test mode with a graph: frozen parameters, and images that need no gradient."""
    results = []
    for frozen in False, True:
        model, x = seeded(lambda: layer(activation='relu6'))(), chainer.Variable(images(2, 3, 9, 8))
        parameters = {'x': x, 'gamma': model.bn.gamma, 'beta': model.bn.beta, 'W': model.conv.W}
        if frozen:
            parameters[without] = None
        with chainer.using_config('train', False):
            y = model(x)
            gradients = chainer.grad([y], [p for p in parameters.values() if p is not None],
                                     [chainer.Variable(images(*y.shape))])
        results.append(dict(zip((name for name, p in parameters.items() if p is not None),
                                gradients)))
    assert results[1].keys() == results[0].keys() - {without}
    for name, gradient in results[1].items():
        assert numpy.array_equal(gradient.array, results[0][name].array), name


@pytest.mark.parametrize('pool', [
    max_pool, average_pool, lambda x: average_pool(x, 0)], ids=['max', 'mean', 'with padding'])
@pytest.mark.parametrize('shape', [(2, 16, 9, 9), (1, 3, 3, 3), (3, 20, 12, 7)])
def test_pooling(pool, shape):
    check(lambda: pool, images(*shape))


def test_layouts():
    """Views, slices and arrays of any order give the same as arrays that are copies of them."""
    x, layer = images(2, 8, 6, 9).transpose(0, 3, 2, 1)[:, ::2, 1:], seeded(
        lambda: ConvBN(5, 8, 3))
    assert not x.flags.c_contiguous
    check(layer, x)
    for make in (lambda: max_pool, lambda: average_pool):
        check(make, x)


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('network, shape', [
    (EfficientNetLite0, (6, 3, 96, 71)), (InceptionV3, (3, 3, 139, 139))])
def test_networks(network, shape, train):
    """Rounding grows through many layers; it does so no faster than with Chainer's functions.

    Both are compared with the same network in float64. The last ConvMaps have 3 x 3 positions:
    of fewer, the variance of a batch is nearly singular.
    """
    x, results = images(*shape), []
    for dtype, use_onednn in ('float64', False), ('float32', False), ('float32', True):
        with chainer.using_config('dtype', dtype):
            model = seeded(network)()
        # The arrays of float32: those of float64 have not been rounded.
        for path, value in arrays(seeded(network)()).items():
            arrays(model)[path][...] = value
        with chainer.using_config('use_onednn', use_onednn):
            results.append(outcome(model, x.astype(dtype), model, train))
    exact, chainers, got = results
    for name, value in exact.items():
        assert numpy.isfinite(value).all()
        error, usual = (numpy.linalg.norm(result[name] - value) for result in (got, chainers))
        # A ReLU whose input is nearly zero passes all of a gradient or none of it.
        share = .05 if name.startswith('g') else 1e-6
        assert error <= 3 * usual + share * numpy.linalg.norm(value), name


@pytest.mark.parametrize('dtype', ['float16', 'float64'])
def test_other_types_are_left_to_chainer(dtype):
    model = ConvBN(3, 4, 3)
    with chainer.using_config('use_onednn', True), chainer.using_config('dtype', dtype):
        assert ConvBN(3, 4, 3)(images(2, 3, 5, 5).astype(dtype)).dtype == dtype
    assert not onednn.usable(model.conv.W.array.astype(dtype))


@pytest.mark.parametrize('train', [True, False])
def test_equal_runs_are_equal(train):
    results = [outcome(model, images(9, 3, 32, 32), model, train)
               for model in (seeded(EfficientNetLite0)(), seeded(EfficientNetLite0)())]
    for name, value in results[0].items():
        assert numpy.array_equal(value, results[1][name]), name


@pytest.mark.parametrize('train', [True, False])
def test_recomputing_is_equal(train):
    """The statistics are updated once, or stay, and the gradients are the same."""
    results = [outcome(model, images(9, 3, 32, 32), model, train) for model in (
        seeded(EfficientNetLite0)(), seeded(lambda: EfficientNetLite0(recompute=True))())]
    for name, value in results[0].items():
        assert numpy.array_equal(value, results[1][name]), name


def test_recomputing_network_computes_layers_at_once_without_gradients():
    x, results = images(2, 3, 32, 32), []
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        for recompute in False, True:
            model = seeded(lambda: EfficientNetLite0(recompute=recompute))()
            results.append(model(x).array)
    assert numpy.array_equal(*results)


@pytest.mark.parametrize('recompute', [False, True])
@pytest.mark.parametrize('train', [True, False])
def test_small_cnn_keeps_its_bits(train, recompute):
    """Those of NumPy, whether oneDNN is there or not."""
    results = []
    for use_onednn in False, True:
        model = seeded(lambda: SmallCNN(recompute=recompute))()
        with chainer.using_config('use_onednn', use_onednn):
            results.append(outcome(model, images(9, 3, 32, 32), model, train))
            with chainer.using_config('train', False), chainer.no_backprop_mode():
                results[-1]['test'] = model(images(2, 3, 32, 32)).array
    for name, value in results[0].items():
        assert numpy.array_equal(value, results[1][name]), name


def test_threads_of_others_stay():
    """OpenMP of scikit-learn keeps the one thread that it is given."""
    before = onednn.library().omp_get_max_threads()
    onednn.library().omp_set_num_threads(1)
    try:
        ConvBN(3, 4, 3)(images(1, 3, 32, 32))
        assert onednn.library().omp_get_max_threads() == 1
    finally:
        onednn.library().omp_set_num_threads(before)


def test_errors_name_the_function():
    with pytest.raises(RuntimeError, match='oneDNN: dnnl_pooling_forward_primitive_desc_create'):
        onednn.Primitive('pooling_forward', onednn.engine(), 0, 0, None, None, None, None, None,
                         None, None)


@pytest.mark.parametrize('error', [OSError, ValueError])
def test_broken_package(error, monkeypatch):
    """Without a library that can be loaded, Chainer's functions compute."""
    def load(*_):
        raise error
    monkeypatch.setattr(onednn.ctypes, 'CDLL', load)
    monkeypatch.setattr(onednn, 'library', onednn.library.__wrapped__)
    assert onednn.library() is None
    assert ConvBN(3, 4, 3)(images(2, 3, 5, 5)).shape == (2, 4, 3, 3)


def test_second_derivatives_are_refused():
    x = chainer.Variable(images(2, 3, 5, 5))
    y = F.sum(ConvBN(3, 4, 3)(x) ** 2)
    gx, = chainer.grad([y], [x], enable_double_backprop=True)
    with pytest.raises(NotImplementedError, match='no second derivative'):
        chainer.grad([F.sum(gx * gx)], [x])


def test_threads_of_python_take_turns():
    """Threads share operations, which share memory for intermediate results."""
    x, weight = images(8, 64, 28, 28), images(64, 64, 3, 3)
    operation = onednn_convolution.convolution(x.shape, weight.shape, Geometry(pad=((1, 1),) * 2))
    gradients = [operation.data_gradient(weight, factor * x) for factor in range(4)]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(8):
            results = threads.map(
                lambda factor: operation.data_gradient(weight, factor * x), range(4))
            for got, expected in zip(results, gradients):
                assert numpy.array_equal(got, expected)
