"""The CPU's convolution against Chainer's, which shares nothing with it but the link."""
from concurrent.futures import ThreadPoolExecutor

import chainer
from chainer import gradient_check
import chainer.functions as F
import numpy
import pytest
from threadpoolctl import threadpool_info

from finetune.compute import convolution
from finetune.compute import threads

# channels in and out, kernel, stride, padding; images' height and width
CASES = [
    ((3, 4, 1, 1, 0), (5, 6)), ((3, 4, 3, 1, 1), (5, 6)), ((2, 5, 3, 2, 0), (8, 9)),
    ((3, 2, 5, 2, 2), (9, 7)), ((2, 3, (1, 7), 1, (0, 3)), (6, 5)),
    ((2, 3, (7, 1), (2, 1), (3, 0)), (5, 6)), ((4, 3, 1, 2, 0), (6, 6)), ((2, 2, 3, 3, 1), (2, 2))]


def link_and_arrays(layer, size):
    random = numpy.random.RandomState(0)
    with chainer.using_config('dtype', numpy.float64):
        link = convolution.Convolution2D(*layer, nobias=True)
    link.cleargrads()
    x = random.randn(5, layer[0], *size)
    y = F.convolution_2d(x, link.W, None, layer[3], layer[4])
    return link, x, random.randn(*y.shape)


@pytest.mark.parametrize('block_size', [1, 200, 2 ** 18])
@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('layer, size', CASES)
def test_equals_chainers(layer, size, channels_last, block_size, monkeypatch):
    monkeypatch.setattr(convolution, 'BLOCK_SIZE', block_size)
    link, x, gy = link_and_arrays(layer, size)
    expected_x = chainer.Variable(x)
    expected = F.convolution_2d(expected_x, link.W, None, layer[3], layer[4])
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
    monkeypatch.setattr(convolution, 'BLOCK_SIZE', 1)
    link, images, gy = link_and_arrays(layer, size)
    outcomes = []
    for n_threads in 1, 4:
        with ThreadPoolExecutor(n_threads) as executor:
            monkeypatch.setattr(convolution, '_threads', lambda executor=executor: executor)
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
    for dtype, convolve in (('e', link), ('d', lambda x: F.convolution_2d(
            x, link.W, None, link.stride, link.pad))):
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
    y = convolution.Convolution((2, 2), (0, 0)).apply((x, weight))[0]
    y.grad = numpy.full(y.shape, 4, 'e')
    y.backward()
    assert (y.array == 4000).all() and (weight.grad == 3 * 16 * 16 * 4).all()


@pytest.mark.parametrize('layer, size', CASES[:4])
def test_numerical_gradients(layer, size):
    link, x, gy = link_and_arrays(layer, size)

    def convolve(x, weight):
        link.W.array[...] = weight.array
        return convolution.Convolution((layer[3],) * 2, (layer[4],) * 2).apply((x, weight))[0]

    gradient_check.check_backward(convolve, (x, link.W.array.copy()), gy, rtol=1e-6, atol=1e-6)


def test_images_need_no_gradient(monkeypatch):
    monkeypatch.setattr(convolution, '_add_patches', None)      # would be called for one
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
