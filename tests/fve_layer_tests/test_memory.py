"""A step needs memory for the gradient, the Fisher vectors and little else."""
import tracemalloc

import chainer
import numpy
import pytest

from fve_layer import FVELayer


def peak(n, t, d, k, share=1):
    """Bytes of a step (forward, update, backward) on top of its input, and bytes of the input."""
    random = numpy.random.RandomState(0)
    x = random.rand(n, t, d).astype('f')
    mask = None if share == 1 else random.rand(n, t) < share
    layer = FVELayer(d, k, seed=0)
    layer.mean = random.rand(k, d).astype('f')
    x_variable = chainer.Variable(x)
    gfv = random.randn(n, layer.out_size).astype('f')
    layer(x_variable, mask)
    tracemalloc.start()
    try:
        fv = layer(x_variable, mask)
        fv.grad = gfv
        fv.backward()
        return tracemalloc.get_traced_memory()[1], x.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('share', [1, .5])
@pytest.mark.parametrize('k', [1, 10, 50])
def test_at_most_four_times_the_input(k, share):
    needed, size = peak(6, 256, 2048, k, share)
    assert size <= needed <= 4 * size      # the gradient alone has the size of the input


@pytest.mark.parametrize('k', [1, 50])
def test_more_features_need_memory_for_their_gradient_and_responsibilities(k):
    (few, size), (many, larger) = peak(2, 256, 512, k), peak(2, 1024, 512, k)
    responsibilities = (larger - size) * k / 512
    assert many - few < 1.2 * (larger - size + 3 * responsibilities)
