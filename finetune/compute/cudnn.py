"""Convolutions by cuDNN's graphs, through NVIDIA's frontend, for a CuPy without cuDNN.

They are used if the package ``nvidia-cudnn-frontend`` is installed (the extra ``cudnn``), unless
``chainer.config.use_cudnn`` is ``'never'``. ``chainer.config.cudnn_deterministic`` excludes
algorithms whose sums depend on the order of threads. float32 is rounded to TF32 only if
``CUPY_TF32=1`` also allows it for CuPy's matrix products.

Source: https://docs.nvidia.com/deeplearning/cudnn/frontend/latest/operations/Convolutions.html
"""
import functools
import importlib
import os
import warnings

import chainer
from chainer.backends import cuda

N_SHAPES = 2 ** 14      # cached plans: a CNN has dozens of shapes for every number of crops
DTYPES = {'float16': 'HALF', 'float32': 'FLOAT', 'float64': 'DOUBLE'}


@functools.cache
def frontend():
    """NVIDIA's module, or ``None`` if it or cuDNN is not installed or cannot be loaded."""
    try:
        module = importlib.import_module('cudnn')
        module.backend_version()
        return module
    except (ImportError, OSError, RuntimeError):
        return None


def _usable(*arrays):
    """Whether cuDNN is installed and enabled, CuPy has none, and the arrays are supported."""
    return (chainer.config.use_cudnn != 'never' and cuda.available and not cuda.cudnn_enabled and
            frontend() is not None and all(
                isinstance(array, cuda.ndarray) and array.dtype == arrays[0].dtype and
                array.dtype.name in DTYPES and array.size for array in arrays))


class ConvolutionPlans:

    """A convolution of images (N, C, H, W) by filters (O, C, kh, kw), and its gradients.

    Args:
        x_shape, weight_shape (tuple of int): Shapes of images and filters.
        dtype (str): dtype of all arrays; float16 is summed in float32.
        geometry (finetune.compute.geometry.Geometry): Strides, padding and groups; cuDNN sees the
            groups in the shapes.
        deterministic (bool): Whether equal calls must give equal results, bit for bit.
        tf32 (bool): Whether factors in float32 may be rounded to TF32.
        **where: Options of ``cudnn.pygraph`` that name the device.

    Raises:
        RuntimeError or cudnn.cudnnGraphNotSupportedError: If cuDNN lacks one of the operations.

    """

    def __init__(self, x_shape, weight_shape, dtype, geometry, deterministic, tf32, **where):
        size = geometry.out_size(x_shape[2:], weight_shape[2:])
        self.shapes = {'x': x_shape, 'w': weight_shape, 'y': (x_shape[0], weight_shape[0], *size)}
        before, after = map(list, geometry.ends())
        self.geometry = {'pre_padding': before, 'post_padding': after,
                         'stride': list(geometry.stride), 'dilation': [1, 1]}
        self.dtype, self.where = dtype, where
        notes = frontend().numerical_note
        self.unwanted = [notes.DOWN_CONVERT_INPUTS] + [notes.NONDETERMINISTIC] * deterministic
        if dtype == 'float32' and not tf32:
            self.unwanted.append(notes.TENSOR_CORE)
        self.plans = {
            'forward': self._plan('conv_fprop', {'image': 'x', 'weight': 'w'}, 'y'),
            'data': self._plan('conv_dgrad', {'loss': 'y', 'filter': 'w'}, 'x'),
            'filters': self._plan('conv_wgrad', {'image': 'x', 'loss': 'y'}, 'w')}

    def __call__(self, x, weight):
        return self._compute('forward', x, weight)

    def data_gradient(self, weight, gy):
        """Gradient with respect to the images."""
        return self._compute('data', gy, weight)

    def filter_gradient(self, x, gy):
        """Gradient with respect to the filters."""
        return self._compute('filters', x, gy)

    def _plan(self, operation, inputs, output):
        """A graph that can be executed, its tensors (output last), and the output's shape."""
        cudnn = frontend()
        dtype = getattr(cudnn.data_type, DTYPES[self.dtype])
        sums = cudnn.data_type.DOUBLE if self.dtype == 'float64' else cudnn.data_type.FLOAT
        graph = cudnn.pygraph(io_data_type=dtype, intermediate_data_type=sums,
                              compute_data_type=sums, **self.where)
        tensors = {name: graph.tensor(name=name, dim=list(self.shapes[name]), data_type=dtype,
                                      stride=_strides(self.shapes[name]))
                   for name in inputs.values()}
        result = getattr(graph, operation)(
            **{argument: tensors[name] for argument, name in inputs.items()}, **self.geometry)
        shape = self.shapes[output]
        result.set_output(True).set_dim(list(shape)).set_stride(_strides(shape))
        result.set_data_type(dtype)
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        graph.deselect_numeric_notes(self.unwanted)
        graph.check_support()
        graph.build_plans()
        return graph, (*tensors.values(), result), shape

    def _compute(self, name, *arrays):
        cupy, (graph, tensors, shape) = cuda.cupy, self.plans[name]
        arrays = [*map(cupy.ascontiguousarray, arrays), cupy.empty(shape, self.dtype)]
        workspace = cupy.empty(graph.get_workspace_size(), 'uint8')     # from CuPy's pool
        frontend().set_stream(self.where['handle'], cupy.cuda.get_current_stream().ptr)
        graph.execute({tensor: array.data.ptr for tensor, array in zip(tensors, arrays)},
                      workspace.data.ptr, handle=self.where['handle'])
        return arrays[-1]


def _strides(shape):
    """Strides, in elements, of a C-contiguous array."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return strides


def convolution(x, weight, geometry):
    """The :class:`ConvolutionPlans` for two arrays; ``None`` if cuDNN cannot or must not compute
    them."""
    if not _usable(x, weight):
        return None
    return _convolution(x.device.id, x.shape, weight.shape, x.dtype.name, geometry,
                        bool(chainer.config.cudnn_deterministic),
                        os.environ.get('CUPY_TF32', '0') == '1')


@functools.lru_cache(maxsize=N_SHAPES)
def _convolution(gpu, *arguments):
    try:
        return ConvolutionPlans(*arguments, handle=_handle(gpu))
    except (RuntimeError, frontend().cudnnGraphNotSupportedError) as error:
        warnings.warn(f'cuDNN cannot compute a convolution, Chainer does: {error}', stacklevel=2)
        return None


@functools.cache
def _handle(gpu):
    with cuda.Device(gpu):
        return frontend().create_handle()
