"""oneDNN's functions beside Chainer's, in the networks and alone."""
import chainer
import chainer.functions as F
import numpy
import pytest

from finetune.compute import onednn
from finetune.compute.convolution import Convolution2D
from finetune.compute.layers import average_pool, ConvBN, max_pool
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


@pytest.mark.parametrize('x, arguments', [
    ((4, 3, 31, 33), (3, 24, 5, 2, 2)), ((2, 24, 9, 9), (24, 40, (1, 7), 1, (0, 3))),
    ((2, 24, 9, 8), (24, 5, (7, 1), 1, (3, 0))), ((3, 16, 6, 6), (16, 32, 1)),
    ((1, 1, 1, 1), (1, 1, 1)), ((1, 5, 4, 4), (5, 7, 4))])
def test_convolution(x, arguments):
    check(seeded(lambda: Convolution2D(*arguments, nobias=True)), images(*x))


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('options', [{}, {'use_gamma': False, 'eps': 1e-3}, {'use_beta': False}])
@pytest.mark.parametrize('shape', [(5, 3, 9, 9), (1, 3, 3, 3), (16, 3, 8, 8)])
def test_convolution_batch_norm_relu(shape, options, train):
    check(seeded(lambda: ConvBN(3, 24, 3, 1, 1, **options)), images(*shape), train)


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
    (SmallCNN, (12, 3, 32, 32)), (InceptionV3, (3, 3, 139, 139))])
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


def test_equal_runs_are_equal():
    results = [outcome(model, images(9, 3, 32, 32), model)
               for model in (seeded(SmallCNN)(), seeded(SmallCNN)())]
    for name, value in results[0].items():
        assert numpy.array_equal(value, results[1][name]), name


def test_recomputing_is_equal():
    """The statistics are updated once, and the gradients are the same."""
    results = [outcome(model, images(9, 3, 32, 32), model)
               for model in (seeded(SmallCNN)(), seeded(lambda: SmallCNN(recompute=True))())]
    for name, value in results[0].items():
        assert numpy.array_equal(value, results[1][name]), name


def test_threads_of_others_stay():
    """OpenMP of scikit-learn keeps the one thread that it is given."""
    before = onednn.library().omp_get_max_threads()
    onednn.library().omp_set_num_threads(1)
    try:
        SmallCNN()(images(1, 3, 32, 32))
        assert onednn.library().omp_get_max_threads() == 1
    finally:
        onednn.library().omp_set_num_threads(before)


def test_errors_name_the_function():
    with pytest.raises(RuntimeError, match='oneDNN: dnnl_pooling_forward_primitive_desc_create'):
        onednn.Primitive('pooling_forward', onednn.engine(), 0, 0, None, None, None, None, None,
                         None, None)


@pytest.mark.parametrize('error', [OSError, ValueError])
def test_broken_package(error, monkeypatch):
    """A library that cannot be loaded is as none, and Chainer's functions compute."""
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
