"""Convolutions and their gradients by NumPy, on arrays that are channels last in memory.

float16 is summed in float32, as on a GPU; NumPy has no fast matrix product of float16. Results do
not depend on the number of threads: these compute blocks, whose sums are added in order.
"""
from concurrent.futures import ThreadPoolExecutor
import functools
from types import SimpleNamespace

import numpy

from finetune.compute.threads import N_THREADS

# Number of patch values that are multiplied at once: they fit into the second-level cache.
BLOCK_SIZE = 2 ** 18
# Of results of a depthwise convolution, which are read and written for each position of a filter.
DEPTHWISE_BLOCK_SIZE = 2 ** 15


@functools.cache
def _threads():
    """A map over blocks, by several threads if available; the results are the same."""
    return ThreadPoolExecutor(N_THREADS) if N_THREADS > 1 else SimpleNamespace(map=map)


def convolution(x_shape, weight_shape, geometry):
    """A convolution of images (N, C, H, W) by filters (O, C, kh, kw), and its gradients.

    Returns:
        Dense or Depthwise: ``None`` for other groups, and where a depthwise convolution is padded
        by more than its filters reach.

    """
    if geometry.groups == 1:
        return Dense(x_shape, weight_shape, geometry)
    reach = [k - 1 for k in weight_shape[2:]]
    if geometry.groups == x_shape[1] == weight_shape[0] and all(
            max(ends) <= r for ends, r in zip(geometry.pad, reach)):
        return Depthwise(x_shape, weight_shape, geometry)
    return None


class Dense:

    """A convolution without groups.

    Patches are copied in long runs and multiplied block by block while they are in the cache, and
    the product is the result.
    """

    def __init__(self, x_shape, weight_shape, geometry):
        self.x_shape, self.weight_shape, self.geometry = x_shape, weight_shape, geometry
        self.out = geometry.out_size(x_shape[2:], weight_shape[2:])

    def __call__(self, x, weight):
        rows = _rows(weight)                                                # (O, kh kw C)
        y = numpy.empty((len(x), *self.out, len(rows)), dtype=x.dtype)

        def convolve(index):
            patches = self._patches(x[index])
            numpy.matmul(patches, rows.T, out=y[index].reshape(len(patches), -1),
                         casting='same_kind')

        for _ in _threads().map(convolve, self._blocks(len(x))):
            pass
        return y.transpose(0, 3, 1, 2)

    def data_gradient(self, weight, gy):
        """Gradient with respect to the images."""
        rows, gy = _rows(weight), _channels_last(gy)
        n, c, h, w = self.x_shape
        gx = numpy.empty((n, h, w, c), dtype=gy.dtype)

        def differentiate(index):
            block = _precise(gy[index])
            self._add_patches((block.reshape(-1, len(rows)) @ rows).reshape(
                *block.shape[:3], *self.weight_shape[2:], c), gx[index])

        for _ in _threads().map(differentiate, self._blocks(n)):
            pass
        return gx.transpose(0, 3, 1, 2)

    def filter_gradient(self, x, gy):
        """Gradient with respect to the filters."""
        gy = _channels_last(gy)
        o, c, kh, kw = self.weight_shape
        sums = numpy.zeros((o, kh * kw * c), dtype=_precise(gy[:0]).dtype)

        def share(index):
            return _precise(gy[index]).reshape(-1, o).T @ self._patches(x[index])

        for block in _threads().map(share, self._blocks(len(x))):         # in order
            sums += block
        sums = sums.reshape(o, kh, kw, c).transpose(0, 3, 1, 2)
        return numpy.ascontiguousarray(sums).astype(gy.dtype, copy=False)

    def _blocks(self, n):
        """Slices of the batch whose patches fit into the cache."""
        _, c, kh, kw = self.weight_shape
        step = max(1, BLOCK_SIZE // (self.out[0] * self.out[1] * c * kh * kw))
        for start in range(0, n, step):
            yield slice(start, start + step)

    def _patches(self, x):
        """Patches at all positions of the filters, one per row: (N h w, kh kw C)."""
        x, (sy, sx) = _padded(x, self.geometry), self.geometry.stride
        kernel = self.weight_shape[2:]
        windows = numpy.lib.stride_tricks.sliding_window_view(
            x, kernel, axis=(1, 2))[:, ::sy, ::sx]
        return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kernel[0] * kernel[1] * x.shape[3])

    def _add_patches(self, patches, out):
        """Adds patches (N, h, w, kh, kw, C) at their positions in ``out`` (N, H, W, C)."""
        (sy, sx), ((top, bottom), (left, right)) = self.geometry.stride, self.geometry.pad
        n, h, w, kh, kw, c = patches.shape
        height, width = out.shape[1:3]
        if (kh, kw, sy, sx, top, bottom, left, right) == (1, 1, 1, 1, 0, 0, 0, 0):
            out[...] = patches[:, :, :, 0, 0]
            return
        padded = numpy.zeros((n, height + top + bottom, width + left + right, c),
                             dtype=patches.dtype)
        for i in range(kh):
            for j in range(kw):
                padded[:, i:i + sy * h:sy, j:j + sx * w:sx] += patches[:, :, :, i, j]
        out[...] = padded[:, top:top + height, left:left + width]


class Depthwise:

    """A convolution with one filter for each channel.

    For each position in a filter, the images are shifted, multiplied and added, for some rows of
    all channels at once.
    """

    def __init__(self, x_shape, weight_shape, geometry):
        self.x_shape, self.weight_shape, self.geometry = x_shape, weight_shape, geometry
        self.out = geometry.out_size(x_shape[2:], weight_shape[2:])

    def __call__(self, x, weight):
        y = numpy.empty((len(x), *self.out, x.shape[1]), dtype=x.dtype)
        self._correlate(lambda i: _padded(x[i:i + 1], self.geometry)[0],
                        weight[:, 0].transpose(1, 2, 0), self.geometry.stride, y)
        return y.transpose(0, 3, 1, 2)

    def data_gradient(self, weight, gy):
        """Gradient with respect to the images: the gradients, spread by the strides, are
        convolved with the reversed filters."""
        n, c, height, width = self.x_shape
        (sy, sx), ((top, _), (left, _)) = self.geometry.stride, self.geometry.pad
        (kh, kw), (h, w) = self.weight_shape[2:], self.out
        gx = numpy.empty((n, height, width, c), dtype=gy.dtype)

        def spread(i):
            y, x = kh - 1 - top, kw - 1 - left
            result = numpy.zeros((height + kh - 1, width + kw - 1, c), _precise(gy[:0]).dtype)
            result[y:y + sy * h:sy, x:x + sx * w:sx] = gy[i].transpose(1, 2, 0)
            return result

        self._correlate(spread, weight[:, 0, ::-1, ::-1].transpose(1, 2, 0), (1, 1), gx)
        return gx.transpose(0, 3, 1, 2)

    def filter_gradient(self, x, gy):
        """Gradient with respect to the filters."""
        (kh, kw), (sy, sx) = self.weight_shape[2:], self.geometry.stride
        gy = _channels_last(gy)

        def share(i):
            image, g = _padded(x[i:i + 1], self.geometry)[0], _precise(gy[i])
            sums = numpy.zeros((kh, kw, g.shape[2]), dtype=g.dtype)
            for rows in _row_blocks(g):
                block = g[rows]
                for (a, b), window in _windows(image, (kh, kw), (sy, sx), rows, g.shape[1]):
                    sums[a, b] += numpy.einsum('hwc,hwc->c', window, block)
            return sums

        sums = sum(_threads().map(share, range(len(x))))                  # in order
        sums = sums.transpose(2, 0, 1)[:, None]
        return numpy.ascontiguousarray(sums).astype(gy.dtype, copy=False)

    @staticmethod
    def _correlate(image, filters, stride, out):
        """Sums shifted images; ``image(i)`` is the i-th one (H, W, C), padded.

        Filters (kh, kw, C) go over it by the strides; ``out`` is (N, h, w, C).
        """
        width, filters = out.shape[2], numpy.ascontiguousarray(_precise(filters))
        if stride[1] == 1:      # whole rows at once
            filters = numpy.tile(filters, width)

        def compute(i):
            x = image(i)
            for rows in _row_blocks(out[i]):
                sums = None
                for (a, b), window in _windows(x, filters.shape[:2], stride, rows, width):
                    if stride[1] == 1:
                        window = window.reshape(len(window), -1)
                    if sums is None:
                        sums, product = window * filters[a, b], numpy.empty_like(window)
                    else:
                        numpy.multiply(window, filters[a, b], out=product)
                        sums += product
                out[i, rows] = sums.reshape(out[i, rows].shape)

        for _ in _threads().map(compute, range(len(out))):
            pass


def _row_blocks(image):
    """Slices of rows of an image (H, W, C) that fit into the cache."""
    step = max(1, DEPTHWISE_BLOCK_SIZE // (image.shape[1] * image.shape[2]))
    for start in range(0, len(image), step):
        yield slice(start, min(start + step, len(image)))


def _windows(image, kernel, stride, rows, width):
    """By position in the filter: what it meets for some rows of the result."""
    sy, sx = stride
    for a in range(kernel[0]):
        for b in range(kernel[1]):
            yield (a, b), image[a + sy * rows.start:a + sy * (rows.stop - 1) + 1:sy,
                                b:b + sx * (width - 1) + 1:sx]


def _precise(array):
    """Converts float16 to float32."""
    return array.astype(numpy.promote_types(array.dtype, numpy.float32), copy=False)


def _channels_last(array):
    """An array (N, C, H, W) as one (N, H, W, C), copied unless its channels are innermost."""
    return numpy.ascontiguousarray(array.transpose(0, 2, 3, 1))


def _rows(weight):
    """Filters (O, C, kh, kw) as rows (O, kh kw C), in the order of the patches."""
    o, c = weight.shape[:2]
    return _precise(numpy.ascontiguousarray(
        weight.reshape(o, c, -1).transpose(0, 2, 1)).reshape(o, -1))


def _padded(x, geometry):
    """Images (N, C, H, W), padded, as (N, H, W, C); float16 as float32."""
    x = _channels_last(_precise(x))
    (top, bottom), (left, right) = geometry.pad
    n, h, w, c = x.shape
    if top or bottom or left or right:
        padded = numpy.zeros((n, h + top + bottom, w + left + right, c), dtype=x.dtype)
        padded[:, top:top + h, left:left + w] = x
        x = padded
    return x
