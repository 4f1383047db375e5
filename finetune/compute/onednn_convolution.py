"""Convolutions by oneDNN, on arrays (N, C, H, W); see :mod:`finetune.compute.onednn_functions`."""
import functools

from chainer import function_node
import numpy

from finetune.compute import onednn
from finetune.compute.geometry import Geometry
from finetune.compute.onednn import (
    channels_last, dims, engine, followed_by, image, layout, N_SHAPES, new_image, Primitive,
    Reorder, TRAINING, view)
from finetune.compute.onednn_functions import ACTIVATIONS, activation

DIRECT = 0x1        # of dnnl_types.h
# Columns of depthwise filters for whose gradients the library has fast code.
MAX_COLUMNS = 3


class ConvolutionPrimitives:

    """A convolution of images (N, C, H, W) by filters (O, C, kh, kw), and its gradients.

    A bias (O,) may be added to the result; ``follows`` names the activation after it, or is
    ``None``.
    """

    def __init__(self, x_shape, weight_shape, geometry, has_bias=False, follows=None):
        self.x_shape, self.weight_shape, self.geometry = x_shape, weight_shape, geometry
        self.y_shape = (x_shape[0], weight_shape[0],
                        *geometry.out_size(x_shape[2:], weight_shape[2:]))
        self.x, self.y = channels_last(x_shape), channels_last(self.y_shape)
        shape = weight_shape        # filters of groups have five axes
        if geometry.groups > 1:
            shape = geometry.groups, weight_shape[0] // geometry.groups, *weight_shape[1:]
        self.any_filters, self.filters = layout(shape), layout(shape, tuple(range(len(shape))))
        self.bias = layout((weight_shape[0],), (0,)) if has_bias else None
        self.options = dims(geometry.stride), dims((0, 0)), *map(dims, geometry.ends())
        self.forward = Primitive(
            'convolution_forward', engine(), TRAINING, DIRECT, self.x, self.any_filters, self.bias,
            self.y, *self.options,
            attributes=followed_by(*ACTIVATIONS[follows]) if follows else None)
        self.ordered = Reorder(self.filters, self.forward.layout('weights'))

    def __call__(self, x, weight, bias=None):
        y = new_image(self.y_shape)
        biases = {} if bias is None else {'bias': (self.bias, bias)}
        self.forward(src=image(x), weights=self.ordered(numpy.ascontiguousarray(weight)), dst=y,
                     **biases)
        return view(y)

    @functools.cached_property
    def _data(self):
        gradient = Primitive(
            'convolution_backward_data', engine(), DIRECT, self.x, self.any_filters,
            self.y, *self.options, self.forward.description)
        return gradient, Reorder(self.filters, gradient.layout('weights'))

    def data_gradient(self, weight, gy):
        """Gradient with respect to the images."""
        gradient, ordered = self._data
        gx = new_image(self.x_shape)
        gradient(weights=ordered(numpy.ascontiguousarray(weight)), diff_dst=image(gy), diff_src=gx)
        return view(gx)

    @functools.cached_property
    def _filters(self):
        gradient = Primitive(
            'convolution_backward_weights', engine(), DIRECT, self.x, self.any_filters,
            None, self.y, *self.options, self.forward.description)
        return gradient, Reorder(gradient.layout('diff_weights'), self.filters)

    def filter_gradient(self, x, gy):
        """Gradient with respect to the filters."""
        is_depthwise = self.geometry.groups == self.x_shape[1] == self.y_shape[1] > 1
        if is_depthwise and self.weight_shape[3] > MAX_COLUMNS:
            return self._gradient_by_columns(x, gy)
        gradient, ordered = self._filters
        gweight = onednn.bytes_of(ordered.source)
        gradient(src=image(x), diff_dst=image(gy), diff_weights=gweight)
        result = numpy.empty(self.weight_shape, dtype=numpy.float32)
        ordered.copy(src=gweight, dst=(self.filters, result))
        return result

    def _gradient_by_columns(self, x, gy):
        """The same from filters of some of the columns each, and the columns of x that they see."""
        n, channels, height, _ = self.x_shape
        rows, columns = self.weight_shape[2:]
        stride, (ends, (left, _)), groups = self.geometry
        above, below = ends if height < rows else (0, 0)    # the fast code wants as many rows
        geometry = Geometry(stride, ((0, 0) if height < rows else ends, (0, 0)), groups)
        result, images = numpy.empty(self.weight_shape, dtype=numpy.float32), image(x)[1]
        for first in range(0, columns, MAX_COLUMNS):
            last = min(first + MAX_COLUMNS, columns)
            width, start = last - first + (self.y_shape[3] - 1) * stride[1], first - left
            seen = numpy.zeros((n, above + height + below, width, channels), dtype=numpy.float32)
            inside = images[:, :, max(start, 0):start + width]
            zeros = max(-start, 0)
            seen[:, above:above + height, zeros:zeros + inside.shape[2]] = inside
            seen = seen.transpose(0, 3, 1, 2)
            part = convolution(seen.shape, (channels, 1, rows, last - first), geometry)
            result[..., first:last] = part.filter_gradient(seen, gy)
        return result


convolution = functools.lru_cache(maxsize=N_SHAPES)(ConvolutionPrimitives)


class BiasedConvolution(function_node.FunctionNode):

    """Convolution of ``x`` by ``weight``, plus ``bias``, and an activation or ``None``."""

    def __init__(self, geometry, follows):
        self.geometry, self.follows = geometry, follows

    def forward(self, inputs):
        self.retain_inputs((0, 1))
        if self.follows:
            self.retain_outputs((0,))
        x, weight, bias = inputs
        self.operation = convolution(x.shape, weight.shape, self.geometry, True, self.follows)
        return self.operation(x, weight, bias),

    def backward(self, indexes, grad_outputs):
        y = self.get_retained_outputs() if self.follows else ()
        gradients = _BiasedConvolutionGrad(self, indexes).apply(
            (*self.get_retained_inputs(), grad_outputs[0], *y))
        return tuple(gradients[i] for i in indexes)


class _BiasedConvolutionGrad(function_node.FunctionNode):

    def __init__(self, function, indexes):
        self.function, self.indexes = function, indexes

    def forward(self, inputs):
        x, weight, gy, *y = inputs
        operation, follows = self.function.operation, self.function.follows
        if follows:
            before = new_image(gy.shape)
            activation(gy.shape, follows).backward(dst=image(y[0]), diff_dst=image(gy),
                                                   diff_src=before)
            gy = view(before)
        gradients = (lambda: operation.data_gradient(weight, gy),
                     lambda: operation.filter_gradient(x, gy), lambda: _sums(gy))
        return tuple(gradient() if i in self.indexes else None
                     for i, gradient in enumerate(gradients))

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError('this convolution has no second derivative')


def _sums(gy):
    """Sums over images, rows and columns, by a matrix product, which is faster than a sum."""
    rows = image(gy)[1].reshape(-1, gy.shape[1])
    return numpy.ones(len(rows), numpy.float32) @ rows
