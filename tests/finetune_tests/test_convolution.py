"""NumPy's convolution against Chainer's, which shares nothing with it but the link."""
from concurrent.futures import ThreadPoolExecutor

import chainer
from chainer import gradient_check
import chainer.functions as F
import numpy
import pytest
from threadpoolctl import threadpool_info

from finetune.compute import numpy_convolution, threads
from finetune.compute.convolution import Convolution, Convolution2D, convolution_2d
from finetune.compute.geometry import Geometry

# channels in and out, kernel, stride, padding, groups; images' height and width
CASES = [
    ((3, 4, 1, 1, 0, 1), (5, 6)), ((3, 4, 3, 1, 1, 1), (5, 6)), ((2, 5, 3, 2, 0, 1), (8, 9)),
    ((3, 2, 5, 2, 2, 1), (9, 7)), ((2, 3, (1, 7), 1, (0, 3), 1), (6, 5)),
    ((2, 3, (7, 1), (2, 1), (3, 0), 1), (5, 6)), ((4, 3, 1, 2, 0, 1), (6, 6)),
    ((2, 2, 3, 3, 1, 1), (2, 2)), ((3, 4, 3, 2, 'SAME', 1), (8, 7)),
    ((4, 4, 3, 1, 'SAME', 4), (5, 6)), ((4, 4, 5, 2, 'SAME', 4), (8, 7)),
    ((3, 3, (1, 3), (2, 1), (0, 2), 3), (5, 6)), ((2, 2, 3, 3, 1, 2), (2, 2)),
    ((3, 3, 3, (1, 2), 0, 3), (6, 9))]
DEPTHWISE = CASES[9:]


@pytest.fixture(autouse=True)
def without_onednn():
    with chainer.using_config('use_onednn', False):
        yield


def chainers(x, layer, weight):
    """Chainer's function, with TensorFlow's padding by the way in which TensorFlow states it."""
    *_, kernel, stride, pad, groups = layer
    if pad == 'SAME':
        missing = [max(kernel - (stride if size % stride == 0 else size % stride), 0)
                   for size in x.shape[2:]]
        x = F.pad(x, [(0, 0), (0, 0), *((m // 2, m - m // 2) for m in missing)], 'constant')
        pad = 0
    return F.convolution_2d(x, weight, None, stride, pad, groups=groups)


def make_link(layer):
    *arguments, groups = layer
    return Convolution2D(*arguments, groups=groups)


def link_and_arrays(layer, size):
    random = numpy.random.RandomState(0)
    with chainer.using_config('dtype', numpy.float64):
        link = make_link(layer)
    link.cleargrads()
    x = random.randn(5, layer[0], *size)
    return link, x, random.randn(*chainers(x, layer, link.W).shape)


def set_block_size(monkeypatch, size):
    for name in 'BLOCK_SIZE', 'DEPTHWISE_BLOCK_SIZE':
        monkeypatch.setattr(numpy_convolution, name, size)


@pytest.mark.parametrize('block_size', [1, 200, 2 ** 18])
@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('layer, size', CASES)
def test_equals_chainers(layer, size, channels_last, block_size, monkeypatch):
    set_block_size(monkeypatch, block_size)
    link, x, gy = link_and_arrays(layer, size)
    expected_x = chainer.Variable(x)
    expected = chainers(expected_x, layer, link.W)
    expected.grad = gy
    expected.backward()
    expected_gradient = link.W.grad
    link.cleargrads()
    if channels_last:
        x = numpy.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    x = chainer.Variable(x)
    y = link(x)
    y.grad = gy
    y.backward()
    for ours, theirs in ((y.array, expected.array), (x.grad, expected_x.grad),
                         (link.W.grad, expected_gradient)):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_matrix_products_have_one_thread_where_bits_matter():
    def n_threads():
        return {pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'}

    before = n_threads()
    with threads.one_thread():
        assert n_threads() == {1}
    assert n_threads() == before and max(before) <= threads.N_THREADS


@pytest.mark.parametrize('layer, size', CASES)
def test_any_number_of_threads_gives_the_same_bits(layer, size, monkeypatch):
    set_block_size(monkeypatch, 1)
    link, images, gy = link_and_arrays(layer, size)
    outcomes = []
    for n_threads in 1, 4:
        with ThreadPoolExecutor(n_threads) as executor:
            monkeypatch.setattr(numpy_convolution, '_threads', lambda executor=executor: executor)
            link.cleargrads()
            x = chainer.Variable(images)
            y = link(x)
            y.grad = gy
            y.backward()
        outcomes.append([a.tobytes() for a in (y.array, x.grad, link.W.grad)])
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize('layer, size', CASES)
def test_float16_is_rounded_once(layer, size):
    """Against float64 of the same numbers: sums are not rounded on the way."""
    link, x, gy = link_and_arrays(layer, size)
    rounded = [array.astype('e') for array in (x, link.W.array, gy)]
    outcomes = []
    for dtype, convolve in ('e', link), ('d', lambda x: chainers(x, layer, link.W)):
        x, link.W.array[...], gy = rounded
        link.cleargrads()
        x = chainer.Variable(x.astype(dtype))
        y = convolve(x)
        y.grad = gy.astype(dtype)
        y.backward()
        assert y.dtype == x.grad.dtype == dtype and link.W.grad.dtype == 'd'
        outcomes.append((y.array, x.grad, link.W.grad))
    for ours, expected in zip(*outcomes):
        numpy.testing.assert_allclose(ours, expected, rtol=2 ** -11, atol=2 ** -11)


def test_sums_of_float16_go_on_beyond_2048():
    x = chainer.Variable(numpy.ones((3, 1000, 32, 32), 'e'))
    weight = chainer.Variable(numpy.ones((1, 1000, 2, 2), 'e'))
    y = convolution_2d(x, weight, Geometry((2, 2)))
    y.grad = numpy.full(y.shape, 4, 'e')
    y.backward()
    assert (y.array == 4000).all() and (weight.grad == 3 * 16 * 16 * 4).all()


def test_sums_of_depthwise_float16_go_on_beyond_2048():
    x, weight = (chainer.Variable(numpy.ones((3, 2, size, size), 'e')[:n])
                 for size, n in ((60, 3), (49, 2)))
    weight.array = weight.array[:, :1]
    y = convolution_2d(x, weight, Geometry(groups=2))
    assert isinstance(y.creator.operation, numpy_convolution.Depthwise)
    y.grad = numpy.full(y.shape, 8, 'e')
    y.backward()
    assert (y.array == 2401 // 2 * 2).all()
    assert (weight.grad == 3 * 12 * 12 * 8).all() and x.grad.max() == 144 * 8


@pytest.mark.parametrize('layer, size', CASES[:4] + DEPTHWISE[:2])
def test_numerical_gradients(layer, size):
    link, x, gy = link_and_arrays(layer, size)

    def convolve(x, weight):
        return convolution_2d(x, weight, link.geometry(size))

    gradient_check.check_backward(convolve, (x, link.W.array.copy()), gy, rtol=1e-6, atol=1e-6)


def test_images_need_no_gradient(monkeypatch):
    monkeypatch.setattr(numpy_convolution.Dense, 'data_gradient', None)
    link, x, gy = link_and_arrays(*CASES[1])
    y = link(x)
    y.grad = gy
    y.backward()
    assert link.W.grad.any()


def test_no_second_derivative():
    link, x, _ = link_and_arrays(*CASES[1])
    x = chainer.Variable(x)
    gx, = chainer.grad([F.sum(link(x))], [x], enable_double_backprop=True)
    with pytest.raises(NotImplementedError):
        chainer.grad([F.sum(gx)], [x])


def test_frozen_filters_need_no_gradient(monkeypatch):
    monkeypatch.setattr(numpy_convolution.Dense, 'filter_gradient', None)
    link, x, gy = link_and_arrays(*CASES[1])
    x = chainer.Variable(x)
    y = convolution_2d(x, link.W.array, link.geometry(x.shape[2:]))
    y.grad = gy
    y.backward()
    assert x.grad.any()


@pytest.mark.parametrize('layer, size', [
    ((4, 6, 3, 1, 1, 2), (6, 5)), ((4, 8, 3, 2, 'SAME', 4), (6, 5)), ((3, 3, 2, 1, 2, 3), (4, 4))])
def test_other_groups_are_left_to_chainer(layer, size):
    link, x, _ = link_and_arrays(layer, size)
    y = link(x)
    assert not isinstance(y.creator, Convolution)
    numpy.testing.assert_allclose(y.array, chainers(x, layer, link.W).array, rtol=1e-12)


@pytest.mark.parametrize('layer, size', [CASES[1], DEPTHWISE[0]])
def test_gradients_are_computed_by_what_computed_the_result(layer, size):
    """Whatever the configuration is by then."""
    link, x, gy = link_and_arrays(layer, size)
    y = link(x.astype('f'))
    y.grad = gy.astype('f')
    with chainer.using_config('use_onednn', True):
        y.backward()
    expected = link.W.grad.copy()
    link.cleargrads()
    y = link(x.astype('f'))
    y.grad = gy.astype('f')
    y.backward()
    assert numpy.array_equal(link.W.grad, expected)
