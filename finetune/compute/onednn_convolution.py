"""Convolutions by oneDNN, on arrays (N, C, H, W); see :mod:`finetune.compute.onednn_functions`."""
import functools

import numpy

from finetune.compute import onednn
from finetune.compute.onednn import (
    channels_last, dims, engine, followed_by, image, INFERENCE, layout, N_SHAPES, new_image,
    Primitive, Reorder, TRAINING, view)
from finetune.compute.onednn_functions import ACTIVATIONS

DIRECT = 0x1        # of dnnl_types.h


class _Convolution:

    """Shapes and descriptions that all operations share; filters of groups have five axes."""

    def __init__(self, x_shape, weight_shape, geometry):
        self.x_shape, self.weight_shape = x_shape, weight_shape
        self.y_shape = (x_shape[0], weight_shape[0],
                        *geometry.out_size(x_shape[2:], weight_shape[2:]))
        self.x, self.y = channels_last(x_shape), channels_last(self.y_shape)
        shape = weight_shape
        if geometry.groups > 1:
            shape = geometry.groups, weight_shape[0] // geometry.groups, *weight_shape[1:]
        self.any_filters, self.filters = layout(shape), layout(shape, tuple(range(len(shape))))
        self.geometry = dims(geometry.stride), dims((0, 0)), *map(dims, geometry.ends())


class ConvolutionPrimitives(_Convolution):

    """A convolution of images (N, C, H, W) by filters (O, C, kh, kw), and its gradients."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.forward = Primitive('convolution_forward', engine(), TRAINING, DIRECT, self.x,
                                 self.any_filters, None, self.y, *self.geometry)
        self.ordered = Reorder(self.filters, self.forward.layout('weights'))

    def __call__(self, x, weight):
        y = new_image(self.y_shape)
        self.forward(src=image(x), weights=self.ordered(numpy.ascontiguousarray(weight)), dst=y)
        return view(y)

    @functools.cached_property
    def _data(self):
        gradient = Primitive(
            'convolution_backward_data', engine(), DIRECT, self.x, self.any_filters,
            self.y, *self.geometry, self.forward.description)
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
            None, self.y, *self.geometry, self.forward.description)
        return gradient, Reorder(gradient.layout('diff_weights'), self.filters)

    def filter_gradient(self, x, gy):
        """Gradient with respect to the filters."""
        gradient, ordered = self._filters
        gweight = onednn.bytes_of(ordered.source)
        gradient(src=image(x), diff_dst=image(gy), diff_weights=gweight)
        result = numpy.empty(self.weight_shape, dtype=numpy.float32)
        ordered.copy(src=gweight, dst=(self.filters, result))
        return result


class BiasedConvolution(_Convolution):

    """A convolution with a bias and an activation, without gradients."""

    def __init__(self, x_shape, weight_shape, geometry, activation):
        super().__init__(x_shape, weight_shape, geometry)
        self.channels = layout((weight_shape[0],), (0,))
        self.forward = Primitive(
            'convolution_forward', engine(), INFERENCE, DIRECT, self.x, self.any_filters,
            self.channels, self.y, *self.geometry,
            attributes=followed_by(*ACTIVATIONS[activation]) if activation else None)
        self.ordered = Reorder(self.filters, self.forward.layout('weights'))

    def __call__(self, x, weight, bias):
        y = new_image(self.y_shape)
        self.forward(src=image(x), weights=self.ordered(numpy.ascontiguousarray(weight)),
                     bias=(self.channels, bias), dst=y)
        return view(y)


convolution = functools.lru_cache(maxsize=N_SHAPES)(ConvolutionPrimitives)
biased_convolution = functools.lru_cache(maxsize=N_SHAPES)(BiasedConvolution)
