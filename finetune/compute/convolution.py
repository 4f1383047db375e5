"""Chainer's convolution link with faster implementations for CPUs and GPUs."""
import chainer
from chainer import backend, function_node
import chainer.functions as F
import chainer.links as L
import numpy

from finetune.compute import cudnn, numpy_convolution, onednn, onednn_convolution
from finetune.compute.geometry import Geometry

PLAIN = Geometry()      # without strides, padding and groups


class Convolution2D(L.Convolution2D):

    """:class:`chainer.links.Convolution2D` without bias and dilation, faster.

    ``benchmarks/cnns.py`` measures the speedup. Chainer copies all patches of a batch channel by
    channel, and copies the results back. Here memory is channels last. Shapes are Chainer's;
    ConvMaps are views (N, C, H, W) of arrays (N, H, W, C), and element-wise functions keep this
    order.

    The filters are converted to the dtype of the input, which is also that of the result. On a
    CPU, oneDNN (:mod:`finetune.compute.onednn`) computes if it is installed, else NumPy
    (:mod:`finetune.compute.numpy_convolution`). On a GPU, cuDNN (:mod:`finetune.compute.cudnn`)
    or Chainer's function computes.

    Args:
        *args: Those of Chainer's link. ``pad`` may be ``'SAME'``, TensorFlow's padding: see
            :class:`finetune.compute.geometry.Geometry`.
        use_onednn (bool): Whether oneDNN may compute. NumPy's results do not depend on the number
            of threads and on the library.
        **kwargs: Those of Chainer's link.

    """

    def __init__(self, *args, use_onednn=True, **kwargs):
        super().__init__(*args, nobias=True, **kwargs)
        self.use_onednn = use_onednn

    def geometry(self, size):
        """Strides, padding and groups for images of some rows and columns."""
        return Geometry.of(size, self.W.shape[2:], self.stride, self.pad, self.groups)

    def forward(self, x):
        return convolution_2d(x, F.cast(self.W, x.dtype), self.geometry(x.shape[2:]),
                              self.use_onednn)


def convolution_2d(x, weight, geometry=PLAIN, use_onednn=True):
    """Convolves images (N, C, H, W) with filters (O, C, kh, kw): see :class:`Convolution2D`."""
    x, weight = chainer.as_variable(x), chainer.as_variable(weight)
    operation = _operation(x.array, weight.array, geometry, use_onednn)
    if operation is None:
        return by_chainer(x, weight, geometry)
    return Convolution(operation, geometry).apply((x, weight))[0]


def _operation(x, weight, geometry, use_onednn):
    """The convolution and its gradients by oneDNN, NumPy or cuDNN; ``None`` if none of them can
    compute it."""
    if use_onednn and onednn.usable(x, weight):
        return onednn_convolution.convolution(x.shape, weight.shape, geometry)
    if backend.get_array_module(x) is numpy:
        return numpy_convolution.convolution(x.shape, weight.shape, geometry)
    return cudnn.convolution(x, weight, geometry)


def by_chainer(x, weight, geometry):
    """The convolution by Chainer's functions, which pad both ends of an axis alike."""
    before, after = geometry.ends()
    if before != after:
        x, before = F.pad(x, ((0, 0), (0, 0), *geometry.pad), 'constant'), 0
    return F.convolution_2d(x, weight, None, geometry.stride, before, groups=geometry.groups)


class Convolution(function_node.FunctionNode):

    """Convolution by an operation that has the gradients, too; both are computed by the same."""

    def __init__(self, operation, geometry):
        self.operation, self.geometry = operation, geometry

    def forward(self, inputs):
        self.retain_inputs((0, 1))
        return self.operation(*inputs),

    def backward(self, indexes, grad_outputs):
        gradient = ConvolutionGrad(self.operation, 0 in indexes, 1 in indexes)
        gradients = gradient.apply((*self.get_retained_inputs(), grad_outputs[0]))
        return tuple(gradients[i] for i in indexes)


class ConvolutionGrad(function_node.FunctionNode):

    """Gradients of a convolution, without second derivatives."""

    def __init__(self, operation, needs_gx, needs_gweight):
        self.operation = operation
        self.needs_gx, self.needs_gweight = needs_gx, needs_gweight

    def forward(self, inputs):
        x, weight, gy = inputs
        return (self.operation.data_gradient(weight, gy) if self.needs_gx else None,
                self.operation.filter_gradient(x, gy) if self.needs_gweight else None)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError('this convolution has no second derivative')
