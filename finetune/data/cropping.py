"""Crops parts from images."""
import numpy

from finetune.errors import InputError

# Largest box, unless the image is larger.
MOST_PIXELS = 2 ** 24

EPSILON = 1e-9      # of a pixel, beyond rounding errors


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


def jittered(bbox: numpy.ndarray, size: tuple[int, int], strength: float,
             random: numpy.random.RandomState) -> numpy.ndarray:
    """Shifts and scales boxes at random; none has a larger share outside the image than before.

    Boxes that :func:`crop` would refuse stay as they are.

    Args:
        bbox (numpy.ndarray): (P, 4) int, (y_min, x_min, y_max, x_max) in pixels.
        size (tuple of int): Height and width of the image in pixels.
        strength (float): Largest shift, and change of height and width, as a share of the box's.
        random (numpy.random.RandomState): Source of all randomness.

    Returns:
        numpy.ndarray: (P, 4), of the dtype of ``bbox``.

    """
    shift = random.uniform(-strength, strength, (len(bbox), 2))
    scale = 1 + random.uniform(-strength, strength, (len(bbox), 1))
    corner, extent = bbox[:, :2].astype(float), (bbox[:, 2:] - bbox[:, :2]).astype(float)
    inside = bbox.clip(0, [*size, *size])
    shown = inside[:, 2:] - inside[:, :2]
    share_out = abs(bbox - inside) / numpy.tile(numpy.maximum(extent, 1), 2)
    scale = numpy.minimum(scale, (size / numpy.maximum(shown, 1)).min(axis=1, keepdims=True))
    new = numpy.maximum(numpy.floor(extent * scale + EPSILON), 1)
    out = numpy.floor(share_out * numpy.tile(new, 2))
    start = numpy.floor(corner + extent * (.5 + shift) - new / 2 + .5)
    start = numpy.maximum(numpy.minimum(start, size + out[:, 2:] - new), -out[:, :2])
    changed = numpy.concatenate([start, start + new], axis=1).astype(bbox.dtype)
    is_kept = (shown <= 0).any(axis=1) | is_oversized(bbox, size) | is_oversized(changed, size)
    return numpy.where(is_kept[:, None], bbox, changed)


def is_oversized(bbox: numpy.ndarray, size: tuple[int, int]) -> numpy.ndarray:
    """Whether boxes (..., 4) are too large to be cropped from an image of (height, width)."""
    bbox = numpy.asarray(bbox, float)
    return (bbox[..., 2:] - bbox[..., :2]).prod(axis=-1) > max(size[0] * size[1], MOST_PIXELS)
