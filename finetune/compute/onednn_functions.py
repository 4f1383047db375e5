"""Batch normalisation with an activation, and pooling by oneDNN, on arrays (N, C, H, W).

Results are channels last in memory, so that the next function needs no copy. Descriptions of
operations are cached by shape.
"""
import ctypes
import functools

from chainer import function_node
import numpy

from finetune.compute import onednn
from finetune.compute.geometry import Geometry
from finetune.compute.onednn import (
    BACKWARD, channels_last, dims, engine, image, layout, N_SHAPES, new_image, Primitive, TRAINING,
    view)

# Values of dnnl_types.h.
MAX, MEAN_WITH_PADDING, MEAN = 0x1ff, 0x2ff, 0x3ff
USE_SCALE, USE_SHIFT, FUSED_RELU = 2, 4, 8
# Element-wise functions that may follow, by name: kind and its two numbers.
ACTIVATIONS = {'relu': (0x20, 0, 0), 'relu6': (0x2f, 0, 6)}
BY_RESULT = {'relu': 0x100, 'relu6': 0x106}     # kinds that are differentiated by their results


class _Activation:

    """An activation of images of one shape; its gradient needs the result only."""

    def __init__(self, shape, name):
        x, kind = channels_last(shape), BY_RESULT[name]
        limits = [ctypes.c_float(number) for number in ACTIVATIONS[name][1:]]
        self.forward = Primitive('eltwise_forward', engine(), TRAINING, kind, x, x, *limits)
        self.backward = Primitive('eltwise_backward', engine(), kind, x, x, x, *limits,
                                  self.forward.description)


activation = functools.lru_cache(maxsize=N_SHAPES)(_Activation)


class _BatchNormalization:

    """Batch normalisation for images of one shape, then ReLU, ReLU6 or nothing.

    ReLU is a part of it; ReLU6 is computed in place.
    """

    def __init__(self, shape, eps, follows):
        x = channels_last(shape)
        flags = USE_SCALE | USE_SHIFT | (follows == 'relu') * FUSED_RELU
        options = ctypes.c_float(eps), flags
        self.forward = Primitive('batch_normalization_forward', engine(), TRAINING, x, x, *options)
        self.backward = Primitive('batch_normalization_backward', engine(), BACKWARD, x, x, x,
                                  *options, self.forward.description)
        self.channels = layout((shape[1],), (0,))
        self.workspace = self.forward.layout('workspace')
        self.clip = activation(shape, follows) if follows == 'relu6' else None


_batch_normalization = functools.lru_cache(maxsize=N_SHAPES)(_BatchNormalization)


def batch_norm(x, gamma, beta, eps, follows):
    """Batch normalisation by the statistics of the batch, and an activation.

    Args:
        x (:class:`~chainer.Variable`): ConvMaps (N, C, H, W).
        gamma, beta (:class:`~chainer.Variable` or array): Scale and shift (C,).
        eps (float): Constant added to the variance.
        follows (str or None): Activation: ``'relu'``, ``'relu6'``, or nothing.

    Returns:
        tuple: The result (N, C, H, W), a Variable, and the arrays mean and variance (C,).

    """
    function = BatchNorm(eps, follows)
    y, = function.apply((x, gamma, beta))
    return y, function.mean, function.var


class BatchNorm(function_node.FunctionNode):

    def __init__(self, eps, follows):
        self.eps, self.follows = eps, follows

    def forward(self, inputs):
        self.retain_inputs((0, 1, 2))
        x, gamma, beta = inputs
        self.operation = operation = _batch_normalization(x.shape, self.eps, self.follows)
        self.mean, self.var = numpy.empty_like(gamma), numpy.empty_like(gamma)
        self.workspace = onednn.bytes_of(operation.workspace)
        y, channels = new_image(x.shape), operation.channels
        operation.forward(
            src=image(x), scale=(channels, gamma), shift=(channels, beta), dst=y,
            mean=(channels, self.mean), variance=(channels, self.var),
            workspace=self.workspace)
        if operation.clip is not None:
            operation.clip.forward(src=y, dst=y)
            self.retain_outputs((0,))
        return view(y),

    def backward(self, indexes, grad_outputs):
        results = () if self.operation.clip is None else self.get_retained_outputs()
        gradients = _BatchNormGrad(self).apply(
            (*self.get_retained_inputs(), grad_outputs[0], *results))
        return tuple(gradients[i] for i in indexes)


class _BatchNormGrad(function_node.FunctionNode):

    def __init__(self, function):
        self.function = function

    def forward(self, inputs):
        x, gamma, beta, gy, *results = inputs
        f, operation = self.function, self.function.operation
        gx, ggamma, gbeta = new_image(x.shape), numpy.empty_like(gamma), numpy.empty_like(beta)
        gy, channels = image(gy), operation.channels
        if results:
            operation.clip.backward(dst=image(results[0]), diff_dst=gy, diff_src=gx)
            gy = gx         # the next operation may work in place
        operation.backward(
            src=image(x), mean=(channels, f.mean), variance=(channels, f.var),
            diff_dst=gy, scale=(channels, gamma), workspace=f.workspace, diff_src=gx,
            diff_scale=(channels, ggamma), diff_shift=(channels, gbeta))
        return view(gx), ggamma, gbeta

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError('this batch normalisation has no second derivative')


class _Pooling:

    """Pooling for images of one shape."""

    def __init__(self, shape, kind, ksize, stride, pad):
        geometry = Geometry(stride, tuple((p, p) for p in pad))
        self.shape, self.y_shape = shape, (*shape[:2], *geometry.out_size(shape[2:], ksize))
        x, y = channels_last(shape), channels_last(self.y_shape)
        shapes = x, y, dims(stride), dims(ksize), dims((0, 0)), dims(pad), dims(pad)
        self.forward = Primitive('pooling_forward', engine(), TRAINING, kind, *shapes)
        self.backward = Primitive('pooling_backward', engine(), kind, *shapes,
                                  self.forward.description)
        self.workspace = self.forward.layout('workspace')


_pooling = functools.lru_cache(maxsize=N_SHAPES)(_Pooling)


def pool(x, kind, ksize, stride, pad):
    """Maximum or mean of windows.

    Args:
        x (:class:`~chainer.Variable`): ConvMaps (N, C, H, W).
        kind (int): ``MAX``, ``MEAN``, or ``MEAN_WITH_PADDING``, which counts the padding as zeros.
        ksize, stride, pad (tuple of int): Values for both axes.

    """
    return Pooling(kind, ksize, stride, pad).apply((x,))[0]


class Pooling(function_node.FunctionNode):

    def __init__(self, kind, ksize, stride, pad):
        self.arguments = kind, ksize, stride, pad

    def forward(self, inputs):
        x, = inputs
        self.operation = operation = _pooling(x.shape, *self.arguments)
        y = new_image(operation.y_shape)
        self.workspace = onednn.bytes_of(operation.workspace)
        operation.forward(src=image(x), dst=y, workspace=self.workspace)
        return view(y),

    def backward(self, indexes, grad_outputs):
        return _PoolingGrad(self).apply(grad_outputs)


class _PoolingGrad(function_node.FunctionNode):

    def __init__(self, function):
        self.function = function

    def forward(self, inputs):
        gx = new_image(self.function.operation.shape)
        self.function.operation.backward(diff_dst=image(inputs[0]), diff_src=gx,
                                         workspace=self.function.workspace)
        return view(gx),

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError('this pooling has no second derivative')
