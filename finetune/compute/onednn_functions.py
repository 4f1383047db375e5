"""Convolution, batch normalisation with ReLU and pooling by oneDNN, on arrays (N, C, H, W).

Results are channels last in memory, so that the next function needs no copy. Descriptions of
operations are cached by shape.
"""
import ctypes
import functools

from chainer import function_node
import numpy

from finetune.compute import onednn
from finetune.compute.onednn import layout
from finetune.compute.onednn import N_SHAPES, Primitive, Reorder, channels_last, dims, engine

# Values of dnnl_types.h.
TRAINING, BACKWARD = 64, 128
DIRECT, MAX, MEAN_WITH_PADDING, MEAN = 0x1, 0x1ff, 0x2ff, 0x3ff
GIVEN_STATISTICS, USE_SCALE, USE_SHIFT, RELU = 1, 2, 4, 8


def _image(x):
    """Memory descriptor and array of an image, copied unless its channels are innermost."""
    return channels_last(x.shape), numpy.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _new_image(shape):
    n, c, h, w = shape
    return channels_last(shape), numpy.empty((n, h, w, c), dtype=numpy.float32)


def _view(image):
    """The array (N, C, H, W) of a pair of memory descriptor and array."""
    return image[1].transpose(0, 3, 1, 2)


def _sizes(shape, kernel, stride, pad):
    return tuple((s + 2 * p - k) // step + 1
                 for s, k, step, p in zip(shape[2:], kernel, stride, pad))


class ConvolutionPrimitives:

    """A convolution of images (N, C, H, W) by filters (O, C, kh, kw), and its gradients."""

    def __init__(self, x_shape, weight_shape, stride, pad):
        y_shape = x_shape[0], weight_shape[0], *_sizes(x_shape, weight_shape[2:], stride, pad)
        self.x_shape, self.weight_shape, self.y_shape = x_shape, weight_shape, y_shape
        self.x, self.y = channels_last(x_shape), channels_last(y_shape)
        self.filters = layout(weight_shape, (0, 1, 2, 3))
        self.geometry = dims(stride), dims((0, 0)), dims(pad), dims(pad)
        self.forward = Primitive('convolution_forward', engine(), TRAINING, DIRECT, self.x,
                                 layout(weight_shape), None, self.y, *self.geometry)
        self.ordered = Reorder(self.filters, self.forward.layout('weights'))

    def __call__(self, x, weight):
        y = _new_image(self.y_shape)
        self.forward(src=_image(x), weights=self.ordered(numpy.ascontiguousarray(weight)), dst=y)
        return _view(y)

    @functools.cached_property
    def _data(self):
        gradient = Primitive(
            'convolution_backward_data', engine(), DIRECT, self.x, layout(self.weight_shape),
            self.y, *self.geometry, self.forward.description)
        return gradient, Reorder(self.filters, gradient.layout('weights'))

    def data_gradient(self, weight, gy):
        """Gradient with respect to the images."""
        gradient, ordered = self._data
        gx = _new_image(self.x_shape)
        gradient(weights=ordered(numpy.ascontiguousarray(weight)), diff_dst=_image(gy),
                 diff_src=gx)
        return _view(gx)

    @functools.cached_property
    def _filters(self):
        gradient = Primitive(
            'convolution_backward_weights', engine(), DIRECT, self.x, layout(self.weight_shape),
            None, self.y, *self.geometry, self.forward.description)
        return gradient, Reorder(gradient.layout('diff_weights'), self.filters)

    def filter_gradient(self, x, gy):
        """Gradient with respect to the filters."""
        gradient, ordered = self._filters
        gweight = onednn.bytes_of(ordered.source)
        gradient(src=_image(x), diff_dst=_image(gy), diff_weights=gweight)
        result = numpy.empty(self.weight_shape, dtype=numpy.float32)
        ordered.copy(src=gweight, dst=(self.filters, result))
        return result


convolution = functools.lru_cache(maxsize=N_SHAPES)(ConvolutionPrimitives)


class _BatchNormalization:

    """Batch normalisation and ReLU for images of one shape."""

    def __init__(self, shape, eps, given):
        x, flags = channels_last(shape), USE_SCALE | USE_SHIFT | RELU | given * GIVEN_STATISTICS
        options = ctypes.c_float(eps), flags
        self.forward = Primitive('batch_normalization_forward', engine(), TRAINING, x, x, *options)
        self.backward = Primitive('batch_normalization_backward', engine(), BACKWARD, x, x, x,
                                  *options, self.forward.description)
        self.channels = layout((shape[1],), (0,))
        self.workspace = self.forward.layout('workspace')


_batch_normalization = functools.lru_cache(maxsize=N_SHAPES)(_BatchNormalization)


def batch_norm_relu(x, gamma, beta, eps, statistics=None):
    """Batch normalisation and ReLU.

    Args:
        x (:class:`~chainer.Variable`): ConvMaps (N, C, H, W).
        gamma, beta (:class:`~chainer.Variable` or array): Scale and shift (C,).
        eps (float): Constant added to the variance.
        statistics (tuple of array or None): Mean and variance (C,), constants; ``None``: those of
            the batch.

    Returns:
        tuple: The result (N, C, H, W), a Variable, and the arrays mean and variance (C,).

    """
    function = BatchNormReLU(eps, statistics)
    y, = function.apply((x, gamma, beta))
    return y, function.mean, function.var


class BatchNormReLU(function_node.FunctionNode):

    def __init__(self, eps, statistics):
        self.eps, self.statistics = eps, statistics

    def forward(self, inputs):
        self.retain_inputs((0, 1, 2))
        x, gamma, beta = inputs
        self.operation = operation = _batch_normalization(
            x.shape, self.eps, self.statistics is not None)
        self.mean, self.var = self.statistics or (numpy.empty_like(gamma), numpy.empty_like(gamma))
        self.workspace = onednn.bytes_of(operation.workspace)
        y, channels = _new_image(x.shape), operation.channels
        operation.forward(
            src=_image(x), scale=(channels, gamma), shift=(channels, beta), dst=y,
            mean=(channels, self.mean), variance=(channels, self.var),
            workspace=self.workspace)
        return _view(y),

    def backward(self, indexes, grad_outputs):
        gradients = _BatchNormReLUGrad(self).apply(
            (*self.get_retained_inputs(), grad_outputs[0]))
        return tuple(gradients[i] for i in indexes)


class _BatchNormReLUGrad(function_node.FunctionNode):

    def __init__(self, function):
        self.function = function

    def forward(self, inputs):
        x, gamma, beta, gy = inputs
        f, operation = self.function, self.function.operation
        gx, ggamma, gbeta = _new_image(x.shape), numpy.empty_like(gamma), numpy.empty_like(beta)
        channels = operation.channels
        operation.backward(
            src=_image(x), mean=(channels, f.mean), variance=(channels, f.var),
            diff_dst=_image(gy), scale=(channels, gamma), workspace=f.workspace, diff_src=gx,
            diff_scale=(channels, ggamma), diff_shift=(channels, gbeta))
        return _view(gx), ggamma, gbeta

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError('this batch normalisation has no second derivative')


class _Pooling:

    """Pooling for images of one shape."""

    def __init__(self, shape, kind, ksize, stride, pad):
        self.shape, self.y_shape = shape, (*shape[:2], *_sizes(shape, ksize, stride, pad))
        x, y = channels_last(shape), channels_last(self.y_shape)
        geometry = x, y, dims(stride), dims(ksize), dims((0, 0)), dims(pad), dims(pad)
        self.forward = Primitive('pooling_forward', engine(), TRAINING, kind, *geometry)
        self.backward = Primitive('pooling_backward', engine(), kind, *geometry,
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
        y = _new_image(operation.y_shape)
        self.workspace = onednn.bytes_of(operation.workspace)
        operation.forward(src=_image(x), dst=y, workspace=self.workspace)
        return _view(y),

    def backward(self, indexes, grad_outputs):
        return _PoolingGrad(self).apply(grad_outputs)


class _PoolingGrad(function_node.FunctionNode):

    def __init__(self, function):
        self.function = function

    def forward(self, inputs):
        gx = _new_image(self.function.operation.shape)
        self.function.operation.backward(diff_dst=_image(inputs[0]), diff_src=gx,
                                         workspace=self.function.workspace)
        return _view(gx),

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError('this pooling has no second derivative')
