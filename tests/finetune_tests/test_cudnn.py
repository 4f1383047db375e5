"""Convolutions by cuDNN's graphs beside Chainer's.

Where the frontend is not installed, a stand-in computes its graphs: it shows that shapes, memory
and options are those of the convolution, not that cuDNN works. ``tools/cudnn_plans.py`` asks cuDNN
itself for its plans.
"""
import types

import chainer
import chainer.functions as F
from chainer.backends import cuda
from chainer.testing import attr
import numpy
import pytest

from finetune.compute import convolution, cudnn
from finetune.compute.convolution import Convolution2D
from finetune.models.small_cnn import SmallCNN

TYPES = {'HALF': 'float16', 'FLOAT': 'float32', 'DOUBLE': 'float64'}


class Tensor:

    """A tensor of a graph of the stand-in."""

    def __init__(self, dim=None, stride=None, data_type=None, name=None):
        self.dim, self.stride, self.data_type = dim, stride, data_type

    def set_output(self, is_output):
        return self

    def set_dim(self, dim):
        self.dim = dim
        return self

    def set_stride(self, stride):
        self.stride = stride
        return self

    def set_data_type(self, data_type):
        self.data_type = data_type
        return self

    def array(self, pointer):
        """The values at an address of the GPU."""
        dtype = numpy.dtype(TYPES[self.data_type])
        size = int(numpy.prod(self.dim)) * dtype.itemsize
        memory = cuda.cupy.cuda.UnownedMemory(pointer, size, None)
        return cuda.cupy.ndarray(tuple(self.dim), dtype, cuda.cupy.cuda.MemoryPointer(memory, 0),
                                 strides=[dtype.itemsize * step for step in self.stride])


class Graph:

    """Computes a convolution by Chainer's functions."""

    n_executed = 0

    def __init__(self, io_data_type, intermediate_data_type, compute_data_type, handle):
        assert handle == 'handle'
        self.unwanted = None

    def tensor(self, **options):
        return Tensor(**options)

    def _operation(self, inputs, compute, pre_padding, post_padding, stride, dilation):
        assert pre_padding == post_padding and dilation == [1, 1]
        self.inputs, self.output = inputs, Tensor()
        self.compute = lambda *arrays: compute(*arrays, stride, pre_padding)
        return self.output

    def conv_fprop(self, image, weight, **geometry):
        return self._operation((image, weight), lambda x, w, stride, pad: F.convolution_2d(
            x, w, None, stride, pad), **geometry)

    def conv_dgrad(self, loss, filter, **geometry):
        return self._operation((loss, filter), lambda gy, w, stride, pad: F.deconvolution_2d(
            gy, w, None, stride, pad, outsize=self.output.dim[2:]), **geometry)

    def conv_wgrad(self, image, loss, **geometry):
        def compute(x, gy, stride, pad):
            weight = chainer.Variable(cuda.cupy.zeros(self.output.dim, x.dtype))
            with chainer.force_backprop_mode():
                y = F.convolution_2d(x, weight, None, stride, pad)
            return chainer.grad([y], [weight], [chainer.Variable(gy)])[0]
        return self._operation((image, loss), compute, **geometry)

    def validate(self):
        pass

    build_operation_graph = check_support = build_plans = validate

    def create_execution_plans(self, modes):
        assert modes == ['A', 'FALLBACK']

    def deselect_numeric_notes(self, notes):
        self.unwanted = notes

    def get_workspace_size(self):
        return 16

    def execute(self, pointers, workspace, handle):
        arrays = [tensor.array(pointers[tensor]) for tensor in self.inputs]
        result = self.compute(*arrays).array
        self.output.array(pointers[self.output])[...] = result
        Graph.n_executed += 1


def frontend():
    """The stand-in for the module ``cudnn``."""
    def names(*values):
        return types.SimpleNamespace(**{value: value for value in values})
    return types.SimpleNamespace(
        pygraph=Graph, data_type=names('HALF', 'FLOAT', 'DOUBLE'), heur_mode=names('A', 'FALLBACK'),
        numerical_note=names('DOWN_CONVERT_INPUTS', 'NONDETERMINISTIC', 'TENSOR_CORE'),
        cudnnGraphNotSupportedError=NotImplementedError, create_handle=lambda: 'handle',
        set_stream=lambda handle, stream: None)


@pytest.fixture
def library(monkeypatch):
    """cuDNN or its stand-in, with no plans of other tests."""
    if cudnn.frontend() is None:
        monkeypatch.setattr(cudnn, 'frontend', frontend)
    monkeypatch.setattr(cuda, 'cudnn_enabled', False)
    cudnn._convolution.cache_clear()
    cudnn._handle.cache_clear()
    yield
    cudnn._convolution.cache_clear()
    cudnn._handle.cache_clear()


def gradients(link, x, dtype):
    """Result and gradients of a link on the GPU."""
    link, x = link.to_device('@cupy:0'), chainer.Variable(cuda.to_gpu(x.astype(dtype)))
    link.cleargrads()
    y = link(x)
    y.grad = cuda.to_gpu(numpy.random.RandomState(1).randn(*y.shape).astype(y.dtype))
    y.backward()
    return [cuda.to_cpu(array).astype('d') for array in (
        y.array, x.grad, *(param.grad for _, param in sorted(link.namedparams())))]


def check(make, shape, dtype, tolerance):
    x = numpy.random.RandomState(0).randn(*shape)
    results = []
    for use in 'never', 'auto':
        with chainer.using_config('use_cudnn', use), chainer.using_config('dtype', dtype):
            numpy.random.seed(0)
            results.append(gradients(make(), x, dtype))
    for expected, got in zip(*results):
        assert got.shape == expected.shape
        assert abs(got - expected).max() <= tolerance * abs(expected).max()


@attr.gpu
@pytest.mark.parametrize('dtype, tolerance', [
    ('float16', 3e-3), ('float32', 1e-5), ('float64', 1e-12)])
@pytest.mark.parametrize('ksize, stride, pad', [
    (1, 1, 0), (3, 1, 1), (3, 2, 0), ((1, 7), 1, (0, 3)), (5, 2, 2)])
def test_convolution(library, ksize, stride, pad, dtype, tolerance):
    check(lambda: Convolution2D(4, 6, ksize, stride, pad, nobias=True), (3, 4, 15, 13), dtype,
          tolerance)


@attr.gpu
def test_network(library):
    before = Graph.n_executed
    check(SmallCNN, (4, 3, 32, 32), 'float32', 1e-4)
    if cudnn.frontend().pygraph is Graph:    # all layers and gradients, the images' included
        assert Graph.n_executed == before + 12


@attr.gpu
def test_algorithms_follow_the_configuration(library, monkeypatch):
    x, weight = (cuda.cupy.zeros((2, 2, 3, 3), 'f') for _ in range(2))
    notes = cudnn.frontend().numerical_note

    def unwanted():
        return set(cudnn.convolution(x, weight, (1, 1), (0, 0)).unwanted)

    assert unwanted() == {notes.DOWN_CONVERT_INPUTS, notes.TENSOR_CORE}
    with chainer.using_config('cudnn_deterministic', True):
        assert notes.NONDETERMINISTIC in unwanted()
    monkeypatch.setenv('CUPY_TF32', '1')
    assert unwanted() == {notes.DOWN_CONVERT_INPUTS}


@attr.gpu
def test_it_is_used_where_it_can_be(library, monkeypatch):
    x = cuda.cupy.zeros((2, 2, 3, 3), 'f')

    def used(x, weight):
        return cudnn.convolution(x, weight, (1, 1), (0, 0)) is not None

    assert used(x, x)
    assert not used(x, cuda.to_cpu(x)) and not used(x, x.astype('d'))
    assert not used(x[:0], x) and not used(x.astype('i'), x.astype('i'))
    with chainer.using_config('use_cudnn', 'never'):
        assert not used(x, x)
    monkeypatch.setattr(cuda, 'cudnn_enabled', True)    # CuPy's own
    assert not used(x, x)


@attr.gpu
def test_chainer_computes_what_cudnn_cannot(library, monkeypatch):
    def without_plan(*arguments, **options):
        raise cudnn.frontend().cudnnGraphNotSupportedError('no engine')

    x = cuda.to_gpu(numpy.random.RandomState(0).randn(2, 2, 3, 3).astype('f'))
    monkeypatch.setattr(cudnn, 'ConvolutionPlans', without_plan)
    with pytest.warns(UserWarning, match='Chainer does: no engine'):
        y = convolution.convolution_2d(x, x)
    assert abs(y.array - F.convolution_2d(x, x).array).max() < 1e-5


def test_without_a_gpu_it_is_not_used(monkeypatch):
    monkeypatch.setattr(cudnn, 'frontend', frontend)
    x = numpy.zeros((2, 2, 3, 3), 'f')
    assert cudnn.convolution(x, x, (1, 1), (0, 0)) is None
    assert convolution._of_library(x.astype('d'), x.astype('d'), (1, 1), (0, 0)) is None
