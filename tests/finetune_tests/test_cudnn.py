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

from finetune.compute import convolution, cudnn, numpy_convolution
from finetune.compute.convolution import Convolution2D
from finetune.compute.geometry import Geometry
from finetune.models.efficientnet_lite import EfficientNetLite0
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

    def _operation(self, inputs, kind, pre_padding, post_padding, stride, dilation):
        assert dilation == [1, 1]
        self.inputs, self.output = inputs, Tensor()
        self.compute = lambda *arrays: convolved(
            kind, *arrays, self.output.dim, stride, [*zip(pre_padding, post_padding)])
        return self.output

    def conv_fprop(self, image, weight, **geometry):
        return self._operation((image, weight), 'forward', **geometry)

    def conv_dgrad(self, loss, filter, **geometry):
        return self._operation((filter, loss), 'data', **geometry)

    def conv_wgrad(self, image, loss, **geometry):
        return self._operation((image, loss), 'filters', **geometry)

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
        self.output.array(pointers[self.output])[...] = self.compute(*arrays)
        Graph.n_executed += 1


def convolved(kind, first, second, shape, stride, pad):
    """The convolution of images and filters, or a gradient of this shape, by Chainer."""
    if kind == 'forward':
        x, weight = first, second
    else:       # of filters and gradients, or of images and gradients; what is missing is linear
        zeros = cuda.cupy.zeros(shape, first.dtype)
        x, weight = (zeros, first) if kind == 'data' else (first, zeros)
    x, weight = chainer.Variable(x), chainer.Variable(weight)
    with chainer.force_backprop_mode():
        padded = F.pad(x, ((0, 0), (0, 0), *pad), 'constant')
        y = F.convolution_2d(padded, weight, None, stride, groups=x.shape[1] // weight.shape[1])
    if kind == 'forward':
        return y.array
    wanted = x if kind == 'data' else weight
    return chainer.grad([y], [wanted], [chainer.Variable(second)])[0].array


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
@pytest.mark.parametrize('ksize, stride, pad, groups', [
    (1, 1, 0, 1), (3, 1, 1, 1), (3, 2, 0, 1), ((1, 7), 1, (0, 3), 1), (5, 2, 2, 1), (3, 1, 1, 6),
    (5, 2, 'SAME', 6), (3, 2, 'SAME', 1), (3, 2, 'SAME', 3)])
def test_convolution(library, ksize, stride, pad, groups, dtype, tolerance):
    check(lambda: Convolution2D(6, 12 if groups == 3 else 6, ksize, stride, pad, groups=groups),
          (3, 6, 15, 14), dtype, tolerance)


@attr.gpu
def test_network(library):
    before = Graph.n_executed
    check(SmallCNN, (4, 3, 32, 32), 'float32', 1e-4)
    if cudnn.frontend().pygraph is Graph:    # all layers and gradients, the images' included
        assert Graph.n_executed == before + 12


@attr.gpu
def test_step_of_efficientnet_is_that_of_the_cpu(library):
    """By cuDNN, and by Chainer with recomputation; float64 leaves no room for other layers."""
    x = numpy.random.RandomState(0).uniform(-1, 1, (6, 3, 71, 64))
    results = {}
    for device, use in ('@numpy', 'auto'), ('@cupy:0', 'auto'), ('@cupy:0', 'never'):
        numpy.random.seed(0)
        with chainer.using_config('dtype', 'float64'):
            model = EfficientNetLite0(recompute=use == 'never')
        model.to_device(device)
        model.cleargrads()
        with chainer.using_config('use_cudnn', use):
            conv_map = model(model.xp.asarray(x))
            F.mean(conv_map ** 2).backward()
        results[device, use] = {
            'ConvMaps': conv_map.array, 'mean': model.head.bn.avg_mean,
            **{name: param.grad for name, param in model.namedparams()}}
    of_cpu, *of_gpu = results.values()
    for got in of_gpu:
        for name, value in of_cpu.items():
            error = abs(cuda.to_cpu(got[name]) - value).max()
            assert error < 1e-8 * max(abs(value).max(), 1), name


@attr.gpu
def test_algorithms_follow_the_configuration(library, monkeypatch):
    x, weight = (cuda.cupy.zeros((2, 2, 3, 3), 'f') for _ in range(2))
    notes = cudnn.frontend().numerical_note

    def unwanted():
        return set(cudnn.convolution(x, weight, Geometry()).unwanted)

    assert unwanted() == {notes.DOWN_CONVERT_INPUTS, notes.TENSOR_CORE}
    with chainer.using_config('cudnn_deterministic', True):
        assert notes.NONDETERMINISTIC in unwanted()
    monkeypatch.setenv('CUPY_TF32', '1')
    assert unwanted() == {notes.DOWN_CONVERT_INPUTS}


@attr.gpu
def test_it_is_used_where_it_can_be(library, monkeypatch):
    x = cuda.cupy.zeros((2, 2, 3, 3), 'f')

    def used(x, weight):
        return cudnn.convolution(x, weight, Geometry()) is not None

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
    assert cudnn.convolution(x, x, Geometry()) is None
    operation = convolution._operation(x.astype('d'), x.astype('d'), Geometry(), True)
    assert isinstance(operation, numpy_convolution.Dense)
