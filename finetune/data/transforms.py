"""Transforms images into inputs of the network: RGB, CHW, float32, [-1, 1]."""
import math

import numpy
from PIL import Image

GREY_WEIGHTS = numpy.array([.299, .587, .114], numpy.float32).reshape(3, 1, 1)

# Pillow's filters, and their radius in pixels where images are not reduced.
FILTERS = {'bilinear': (Image.BILINEAR, 1), 'bicubic': (Image.BICUBIC, 2)}

MOST_STRETCHED = 4 / 3      # width / height of a random box, or its reciprocal

# A larger scaled image is not computed as a whole, but only the crop that is needed of it.
MOST_PIXELS = 2 ** 24


def _scaled_shape(image, size):
    """Height and width after the shorter side is scaled to ``size``."""
    shorter = min(image.shape[1:])
    return tuple(int(size * extent / shorter) for extent in image.shape[1:])


def _is_large(shape):
    return shape[0] * shape[1] > MOST_PIXELS


def _scale(image, size, interpolation):
    """Scales the shorter side to ``size``; float32 without rounding."""
    if min(image.shape[1:]) == size:
        return image.astype(numpy.float32, copy=False)
    height, width = _scaled_shape(image, size)
    return _resized(image, (width, height), interpolation)


def _resized(image, size, interpolation, box=None):
    filter_, _ = FILTERS[interpolation]
    return numpy.stack([
        Image.fromarray(channel.astype(numpy.float32, copy=False)).resize(size, filter_, box)
        for channel in image])


def _scaled_crop(image, scaled_size, place, size, interpolation):
    """Scales the shorter side to ``scaled_size`` and crops a square of ``size`` at (y, x)."""
    shape = _scaled_shape(image, scaled_size)
    if not _is_large(shape):
        y, x = place
        return _scale(image, scaled_size, interpolation)[:, y:y + size, x:x + size]
    _, radius = FILTERS[interpolation]
    (rows, top, bottom), (columns, left, right) = (
        _source(*axis, size, radius) for axis in zip(image.shape[1:], shape, place))
    return _resized(image[:, rows, columns], (size, size), interpolation,
                    (left, top, right, bottom))


def _source(extent, scaled_extent, start, size, radius):
    """The pixels that ``size`` scaled pixels depend on, and where these start and end in them."""
    ratio = extent / scaled_extent
    filter_radius = radius * max(ratio, 1)
    edges = start * ratio, (start + size) * ratio
    first = max(math.floor(edges[0] - filter_radius), 0)
    return (slice(first, math.ceil(edges[1] + filter_radius)),
            edges[0] - first, edges[1] - first)


def test_transform(image: numpy.ndarray, size: int, interpolation: str = 'bilinear'
                   ) -> numpy.ndarray:
    """Scales the shorter side to ``size``, crops the centre, scales values to [-1, 1]."""
    place = [round((extent - size) / 2) for extent in _scaled_shape(image, size)]
    return _scaled_crop(image, size, place, size, interpolation).clip(0, 255) / 127.5 - 1


def squash(image: numpy.ndarray, size: int, interpolation: str = 'bilinear') -> numpy.ndarray:
    """Scales both sides to ``size``, and values to [-1, 1]."""
    return _resized(image, (size, size), interpolation).clip(0, 255) / 127.5 - 1


def enlarged(image: numpy.ndarray, size: int, interpolation: str = 'bilinear') -> numpy.ndarray:
    """Scales the shorter side to floor(size / 0.875), float32, the same in every epoch.

    A long strip, whose result would be large, is returned as it is.
    """
    scaled_size = int(size / .875)
    is_large = _is_large(_scaled_shape(image, scaled_size))
    return image if is_large else _scale(image, scaled_size, interpolation)


def train_transform(image: numpy.ndarray, size: int, random: numpy.random.RandomState,
                    flip: bool = True, colour_jitter: float = .3,
                    interpolation: str = 'bilinear', random_crop: float = 0.) -> numpy.ndarray:
    """Applies :func:`enlarged`, random crop, flip and colour jitter; scales values to [-1, 1].

    Args:
        image (numpy.ndarray): (3, H, W), uint8, or without ``random_crop`` the output of
            :func:`enlarged`.
        size (int): Height and width of the result in pixels.
        random (numpy.random.RandomState): Source of all randomness.
        flip (bool): Whether to flip horizontally with probability 1/2.
        colour_jitter (float): Largest change of brightness, contrast and saturation.
        interpolation (str): A key of :data:`FILTERS`, both with antialiasing.
        random_crop (float): Smallest area of the crop (:func:`random_box`), which replaces that of
            the enlarged image; 0: the latter.

    Returns:
        numpy.ndarray: (3, size, size), float32.

    """
    if random_crop > 0:
        top, left, bottom, right = random_box(image.shape[1:], random_crop, random)
        image = _resized(image[:, top:bottom, left:right], (size, size), interpolation)
    else:
        scaled_size = int(size / .875)
        place = [random.randint(extent - size + 1) for extent in _scaled_shape(image, scaled_size)]
        image = _scaled_crop(image, scaled_size, place, size, interpolation)
    if flip and random.rand() < .5:
        image = image[:, :, ::-1]
    image = _jitter(image.clip(0, 255), random, colour_jitter)
    return numpy.ascontiguousarray(image, numpy.float32) / 127.5 - 1


def random_box(shape: tuple[int, int], smallest: float, random: numpy.random.RandomState
               ) -> tuple[int, int, int, int]:
    """Draws a box in an image: its area, then its width / height of 3/4 to 4/3, then its place.

    Args:
        shape (tuple of int): Height and width of the image.
        smallest (float): Smallest area, as a share of the largest square in the image, which
            is what :func:`test_transform` shows and the largest area.
        random (numpy.random.RandomState): Source of all randomness.

    Returns:
        tuple of int: (y_min, x_min, y_max, x_max) in pixels.

    """
    area = random.uniform(smallest, 1) * min(shape) ** 2
    smallest_ratio = max(1 / MOST_STRETCHED, area / shape[0] ** 2)
    largest_ratio = min(MOST_STRETCHED, shape[1] ** 2 / area)
    ratio = math.exp(random.uniform(math.log(smallest_ratio), math.log(largest_ratio)))
    box = [min(max(round(math.sqrt(product)), 1), extent)
           for product, extent in zip((area / ratio, area * ratio), shape)]
    top, left = (random.randint(extent - side + 1) for extent, side in zip(shape, box))
    return top, left, top + box[0], left + box[1]


def _jitter(image, random, strength):
    if strength == 0:
        return image
    changes = (_brightness, _contrast, _saturation)
    for i in random.permutation(3):
        factor = numpy.float32(1 + random.uniform(-strength, strength))
        base = changes[i](image)
        image = (base + factor * (image - base)).clip(0, 255)
    return image


def _brightness(image):
    return numpy.float32(0)


def _contrast(image):
    return (image * GREY_WEIGHTS).sum(axis=0).mean()


def _saturation(image):
    return (image * GREY_WEIGHTS).sum(axis=0)
