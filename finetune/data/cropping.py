"""Crops parts from images."""
import numpy

from finetune.errors import InputError

# Largest box, unless the image is larger.
MOST_PIXELS = 2 ** 24


def crop(img: numpy.ndarray, bbox: numpy.ndarray) -> numpy.ndarray:
    """Crops a box from an image; edge pixels are replicated where the box exceeds the image.

    Args:
        img (numpy.ndarray): (C, H, W).
        bbox (numpy.ndarray): (4,) int, (y_min, x_min, y_max, x_max) in pixels.

    Returns:
        numpy.ndarray: (C, y_max - y_min, x_max - x_min).

    """
    y_min, x_min, y_max, x_max = (int(edge) for edge in bbox)
    height, width = img.shape[1:]
    box = f'part box ({y_min}, {x_min}, {y_max}, {x_max})'
    if y_max <= y_min or x_max <= x_min:
        raise InputError(f'{box} is empty; correct it, or raise data.part_ratio if parts are '
                         'points.')
    if y_max <= 0 or x_max <= 0 or y_min >= height or x_min >= width:
        raise InputError(f'{box} lies outside the image of {height} x {width} pixels; correct '
                         'its annotation, or mark the part as hidden.')
    if is_oversized(bbox, (height, width)):
        raise InputError(f'{box} is far larger than the image of {height} x {width} pixels; '
                         'correct its annotation.')
    rows = numpy.arange(y_min, y_max).clip(0, height - 1)
    columns = numpy.arange(x_min, x_max).clip(0, width - 1)
    return img[:, rows[:, None], columns]


def is_oversized(bbox: numpy.ndarray, size: tuple[int, int]) -> numpy.ndarray:
    """Whether boxes (..., 4) are too large to be cropped from an image of (height, width)."""
    bbox = numpy.asarray(bbox, float)
    return (bbox[..., 2:] - bbox[..., :2]).prod(axis=-1) > max(size[0] * size[1], MOST_PIXELS)
