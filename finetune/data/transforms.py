"""Reads images and transforms them into inputs of the network: RGB, CHW, float32, [-1, 1]."""
from pathlib import Path

import numpy
from PIL import Image, ImageOps

from finetune.errors import InputError
from finetune.files import require_file

GREY_WEIGHTS = numpy.array([.299, .587, .114], numpy.float32).reshape(3, 1, 1)


def read_image(path: Path, upright: bool = False) -> numpy.ndarray:
    """Reads an image (3, H, W), uint8, RGB, of any mode; drops transparency.

    ``upright`` rotates it by its EXIF data: wrong if parts are annotated in pixels as stored.
    """
    require_file(path)
    try:
        with Image.open(path) as image:
            if upright:
                image = ImageOps.exif_transpose(image)
            if image.mode.startswith('I'):      # 16 bits; Pillow would clip at 255
                image = Image.fromarray((numpy.asarray(image) // 256).astype(numpy.uint8))
            return numpy.asarray(image.convert('RGB')).transpose(2, 0, 1)
    except FileNotFoundError:
        raise InputError(f'{path}: there is no such image; copy it there or remove it from '
                         'images.txt.')
    except Image.DecompressionBombError as error:
        raise InputError(f'{path}: is damaged or too large ({error}); make the image smaller.')
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f'{path}: is not a complete image ({error}); copy it again.')


def _scale(image, size):
    """Scales the shorter side to ``size``; float32 without rounding."""
    shorter, shape = min(image.shape[1:]), image.shape[1:]
    channels = image.astype(numpy.float32, copy=False)
    if shorter == size:
        return channels
    height, width = (int(size * extent / shorter) for extent in shape)
    return numpy.stack([Image.fromarray(channel).resize((width, height), Image.BILINEAR)
                        for channel in channels])


def test_transform(image: numpy.ndarray, size: int) -> numpy.ndarray:
    """Scales the shorter side to ``size``, crops the centre, scales values to [-1, 1]."""
    image = _scale(image, size)
    y, x = (round((extent - size) / 2) for extent in image.shape[1:])
    return image[:, y:y + size, x:x + size].clip(0, 255) / 127.5 - 1


def enlarged(image: numpy.ndarray, size: int) -> numpy.ndarray:
    """Scales the shorter side to floor(size / 0.875), float32, the same in every epoch."""
    return _scale(image, int(size / .875))


def train_transform(image: numpy.ndarray, size: int, random: numpy.random.RandomState,
                    flip: bool = True, colour_jitter: float = .3) -> numpy.ndarray:
    """Applies :func:`enlarged`, random crop, flip and colour jitter; scales values to [-1, 1].

    Args:
        image (numpy.ndarray): (3, H, W), uint8, or the output of :func:`enlarged`.
        size (int): Height and width of the result in pixels.
        random (numpy.random.RandomState): Source of all randomness.
        flip (bool): Whether to flip horizontally with probability 1/2.
        colour_jitter (float): Largest change of brightness, contrast and saturation.

    Returns:
        numpy.ndarray: (3, size, size), float32.

    """
    image = enlarged(image, size)
    y, x = (random.randint(extent - size + 1) for extent in image.shape[1:])
    image = image[:, y:y + size, x:x + size]
    if flip and random.rand() < .5:
        image = image[:, :, ::-1]
    image = _jitter(image.clip(0, 255), random, colour_jitter)
    return numpy.ascontiguousarray(image, numpy.float32) / 127.5 - 1


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
