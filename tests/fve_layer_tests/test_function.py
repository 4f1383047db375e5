import chainer
from chainer import testing
from chainer.backends import cuda
from chainer.testing import attr
from chainer.utils import type_check
import numpy
import oracles
import pytest

import fve_layer


@testing.parameterize(*testing.product({
    'n_components': [1, 5, 20], 'normalization': ['sqrt', 'mean'], 'masked': [False, True],
    'dtype': [numpy.float64, numpy.float32, numpy.float16]}))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestFisherVector(testing.FunctionTestCase):

    """Forward against loops, backward against numerical gradients, on every backend."""

    skip_double_backward_test = True

    def setUp(self):
        self.mixture = oracles.mixture(self.n_components, 3)
        self.mask = numpy.random.RandomState(3).rand(3, 6) < .7 if self.masked else None
        tolerance = {numpy.float64: 1e-6, numpy.float32: 1e-3, numpy.float16: 1e-2}[self.dtype]
        self.check_forward_options = {'rtol': tolerance, 'atol': tolerance}
        self.check_backward_options = {'rtol': tolerance, 'atol': tolerance}
        if self.dtype == numpy.float64:
            self.check_forward_options = {'rtol': 1e-10, 'atol': 1e-10}
            self.check_backward_options.update(eps=1e-4, rtol=1e-6, atol=1e-6)

    def generate_inputs(self):
        return numpy.random.randn(3, 6, 3).astype(self.dtype),

    def forward(self, inputs, device):
        x, = inputs
        constants = [device.send(a) for a in self.mixture]
        mask = None if self.mask is None else device.send(self.mask)
        return fve_layer.fisher_vector(x, *constants, mask, self.normalization),

    def forward_expected(self, inputs):
        x, = inputs
        fv = oracles.fisher_vector(
            x.astype(numpy.float64), *self.mixture, self.mask, self.normalization)
        return fv.astype(self.dtype),


X = numpy.zeros((2, 5, 3), 'f')


@pytest.mark.parametrize('x, mask, normalization, error', [
    (X, None, 'none', ValueError),
    (X[0], None, 'sqrt', type_check.InvalidType),
    (X[:, :, :2], None, 'sqrt', type_check.InvalidType),
    (X.astype('i'), None, 'sqrt', type_check.InvalidType),
    (X, numpy.ones((2, 4), dtype=bool), 'sqrt', type_check.InvalidType),
    (X, numpy.ones(2, dtype=bool), 'sqrt', type_check.InvalidType),
    (X, numpy.ones((2, 5, 1), dtype=bool), 'sqrt', type_check.InvalidType),
])
def test_wrong_arguments(x, mask, normalization, error):
    with pytest.raises(error):
        fve_layer.fisher_vector(x, *oracles.mixture(4, 3), mask, normalization)


def test_mixture_whose_shapes_do_not_fit():
    mean, var, weight = oracles.mixture(4, 3)
    with pytest.raises(ValueError, match='shapes'):
        fve_layer.fisher_vector(X, mean, var[:2], weight)


def test_no_second_derivative():
    x = chainer.Variable(numpy.random.randn(2, 5, 3))
    fv = fve_layer.fisher_vector(x, *oracles.mixture(4, 3))
    gx, = chainer.grad([fv], [x], [chainer.Variable(numpy.ones_like(fv.array))],
                       enable_double_backprop=True)
    with pytest.raises(NotImplementedError):
        chainer.grad([gx], [x], [chainer.Variable(numpy.ones_like(gx.array))])


@attr.gpu
def test_gpu_equals_cpu():
    random = numpy.random.RandomState(0)
    x = numpy.maximum(random.randn(4, 60, 128), 0).astype('f')
    mask = random.rand(4, 60) < .7
    mixture = [a.astype('f') for a in oracles.mixture(5, 128)]
    results = []
    for send in (numpy.asarray, cuda.to_gpu):
        variable = chainer.Variable(send(x))
        fv = fve_layer.fisher_vector(variable, *map(send, mixture), send(mask))
        fv.grad = send(numpy.ones(fv.shape, 'f'))
        fv.backward()
        results.append((cuda.to_cpu(fv.array), cuda.to_cpu(variable.grad)))
    for cpu, gpu in zip(*results):
        assert abs(cpu - gpu).max() < 1e-5 * abs(cpu).max()
