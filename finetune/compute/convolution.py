"""Chainer's convolution link with faster implementations for CPUs and GPUs."""
from concurrent.futures import ThreadPoolExecutor
import functools
from types import SimpleNamespace

import chainer
from chainer import backend, function_node
import chainer.functions as F
import chainer.links as L
import numpy

from finetune.compute import cudnn, onednn, onednn_functions
from finetune.compute.threads import N_THREADS

# Number of patch values that are multiplied at once: they fit into the second-level cache.
BLOCK_SIZE = 2 ** 18


@functools.cache
def _threads():
    """A map over blocks, by several threads if available; the results are the same."""
    return ThreadPoolExecutor(N_THREADS) if N_THREADS > 1 else SimpleNamespace(map=map)


class Convolution2D(L.Convolution2D):

    """:class:`chainer.links.Convolution2D` without bias, faster.

    ``benchmarks/cnns.py`` measures the speedup. Chainer copies all patches of a batch channel by
    channel, and copies the results back. Here memory is channels last: patches are copied in long
    runs and multiplied block by block while they are in the cache, and the product is the result.
    Shapes are Chainer's; ConvMaps are views (N, C, H, W) of arrays (N, H, W, C), and element-wise
    functions keep this order.

    The filters are converted to the dtype of the input, which is also that of the result. oneDNN
    (:mod:`finetune.compute.onednn`) computes instead if it is installed. On a GPU, cuDNN
    (:mod:`finetune.compute.cudnn`) or Chainer's function computes.
    """

    def forward(self, x):
        return convolution_2d(x, F.cast(self.W, x.dtype), _pair(self.stride), _pair(self.pad))


def convolution_2d(x, weight, stride=(1, 1), pad=(0, 0)):
    """Convolves images (N, C, H, W) with filters (O, C, kh, kw): see :class:`Convolution2D`."""
    x, weight = chainer.as_variable(x), chainer.as_variable(weight)
    if backend.get_array_module(x) is not numpy and _of_library(
            x.array, weight.array, stride, pad) is None:
        return F.convolution_2d(x, weight, None, stride, pad)
    return Convolution(stride, pad).apply((x, weight))[0]


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


class Convolution(function_node.FunctionNode):

    """Convolution on a CPU, or by cuDNN.

    float16 is summed in float32, as on a GPU; NumPy has no fast matrix product of float16.
    """

    def __init__(self, stride, pad):
        self.geometry = stride, pad

    def forward(self, inputs):
        self.retain_inputs((0, 1))
        x, weight = inputs
        operation = _of_library(x, weight, *self.geometry)
        if operation is not None:
            return operation(x, weight),
        rows = _precise(_rows(weight))                              # (O, kh kw C)
        (n, _, *size), (stride, pad) = x.shape, self.geometry
        out = [(s + 2 * p - k) // step + 1
               for s, k, step, p in zip(size, weight.shape[2:], stride, pad)]
        y = numpy.empty((n, *out, len(rows)), dtype=x.dtype)

        def convolve(index):
            patches = _patches(_precise(x[index]), weight.shape[2:], self.geometry)
            numpy.matmul(patches, rows.T, out=y[index].reshape(len(patches), -1),
                         casting='same_kind')

        for _ in _threads().map(convolve, _blocks(y, rows)):
            pass
        return y.transpose(0, 3, 1, 2),

    def backward(self, indexes, grad_outputs):
        gradient = ConvolutionGrad(self.geometry, 0 in indexes)
        gx, gweight = gradient.apply((*self.get_retained_inputs(), grad_outputs[0]))
        return tuple((gx, gweight)[i] for i in indexes)


class ConvolutionGrad(function_node.FunctionNode):

    """Gradients of a convolution, without second derivatives."""

    def __init__(self, geometry, needs_gx):
        self.geometry = geometry
        self.needs_gx = needs_gx

    def forward(self, inputs):
        x, weight, gy = inputs
        operation = _of_library(x, weight, *self.geometry)
        if operation is not None:
            return (operation.data_gradient(weight, gy) if self.needs_gx else None,
                    operation.filter_gradient(x, gy))
        rows = _precise(_rows(weight))
        gy = _precise(numpy.ascontiguousarray(gy.transpose(0, 2, 3, 1)))    # (N, h, w, O)
        grows = numpy.zeros_like(rows)
        gx = numpy.empty(x.transpose(0, 2, 3, 1).shape, dtype=x.dtype) if self.needs_gx else None

        def differentiate(index):
            block = gy[index].reshape(-1, len(rows))
            if self.needs_gx:
                _add_patches((block @ rows).reshape(
                    *gy[index].shape[:3], *weight.shape[2:], -1), self.geometry, gx[index])
            return block.T @ _patches(_precise(x[index]), weight.shape[2:], self.geometry)

        for share in _threads().map(differentiate, _blocks(gy, rows)):     # in order
            grows += share
        o, c, kh, kw = weight.shape
        gweight = numpy.ascontiguousarray(grows.reshape(o, kh, kw, c).transpose(0, 3, 1, 2))
        gweight = gweight.astype(weight.dtype, copy=False)
        return None if gx is None else gx.transpose(0, 3, 1, 2), gweight

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError('this convolution has no second derivative')


def _of_library(x, weight, stride, pad):
    """The convolution and its gradients by oneDNN or cuDNN; ``None`` if neither can compute it."""
    if onednn.usable(x, weight):
        return onednn_functions.convolution(x.shape, weight.shape, stride, pad)
    return cudnn.convolution(x, weight, stride, pad)


def _precise(array):
    """Converts float16 to float32."""
    return array.astype(numpy.promote_types(array.dtype, numpy.float32), copy=False)


def _rows(weight):
    """Filters (O, C, kh, kw) as rows (O, kh kw C), in the order of the patches."""
    o, c = weight.shape[:2]
    return numpy.ascontiguousarray(
        weight.reshape(o, c, -1).transpose(0, 2, 1)).reshape(o, -1)


def _blocks(y, rows):
    """Slices of the batch whose patches fit into the cache, for results (N, h, w, O)."""
    step = max(1, BLOCK_SIZE // (y.shape[1] * y.shape[2] * rows.shape[1]))
    for start in range(0, len(y), step):
        yield slice(start, start + step)


def _patches(x, kernel, geometry):
    """Patches at all positions of the filters, one per row: (N h w, kh kw C)."""
    stride, (ph, pw) = geometry
    x = numpy.ascontiguousarray(x.transpose(0, 2, 3, 1))
    n, h, w, c = x.shape
    if ph or pw:
        padded = numpy.zeros((n, h + 2 * ph, w + 2 * pw, c), dtype=x.dtype)
        padded[:, ph:ph + h, pw:pw + w] = x
        x = padded
    windows = numpy.lib.stride_tricks.sliding_window_view(
        x, kernel, axis=(1, 2))[:, ::stride[0], ::stride[1]]
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kernel[0] * kernel[1] * c)


def _add_patches(patches, geometry, out):
    """Adds patches (N, h, w, kh, kw, C) at their positions in ``out`` (N, H, W, C)."""
    (sy, sx), (ph, pw) = geometry
    n, h, w, kh, kw, c = patches.shape
    height, width = out.shape[1:3]
    if (kh, kw, sy, sx, ph, pw) == (1, 1, 1, 1, 0, 0):
        out[...] = patches[:, :, :, 0, 0]
        return
    padded = numpy.zeros((n, height + 2 * ph, width + 2 * pw, c), dtype=patches.dtype)
    for i in range(kh):
        for j in range(kw):
            padded[:, i:i + sy * h:sy, j:j + sx * w:sx] += patches[:, :, :, i, j]
    out[...] = padded[:, ph:ph + height, pw:pw + width]
