"""Images of a caller in Python, in any of their usual forms, as pictures to predict."""
from collections.abc import Iterable, Iterator
import os
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from finetune.data import pictures
from finetune.data.picture_folders import described, find_pictures
from finetune.errors import InputError
from finetune.parts.pictures import Picture

FORMS = 'the path of a picture, a PIL image, or an array (H, W, 3), (3, H, W) or (H, W), uint8'
COLOURS = 3, 4      # RGB, RGBA


def pictures_of(images: Any, upright: bool) -> Iterator[Picture]:
    """Yields the pictures of one image, of a folder, of a batch or of an iterable of images."""
    return (picture_of(image, upright, i) for i, image in enumerate(_each(images), 1))


def picture_of(image: Any, upright: bool, number: int = 1) -> Picture:
    """The picture of one image.

    Args:
        image (str, pathlib.Path, PIL.Image.Image or array): The image, in a form of
            :meth:`finetune.prediction.predictor.Predictor.predict`.
        upright (bool): Whether files and PIL images are rotated by their EXIF data.
        number (int): Number of the image, which names one without a path.

    """
    name = f'image {number}'
    if isinstance(image, (str, os.PathLike)):
        return Picture(str(image), pictures.read_image(_existing(image), upright))
    if isinstance(image, Image.Image):
        name = str(getattr(image, 'filename', '') or name)
        return Picture(name, pictures.array_of(name, image, upright))
    if isinstance(image, (bytes, dict)) or not hasattr(image, '__len__'):
        raise TypeError(f'{name} must be {FORMS}, not {type(image).__name__}')
    return Picture(name, _pixels(name, numpy.asarray(image)))


def _each(images: Any) -> Iterable[Any]:
    """The images that an argument stands for."""
    if isinstance(images, (str, os.PathLike)):
        folder = Path(images)
        if not folder.is_dir():
            return [images]
        found, left_out = find_pictures(folder)
        if not found:
            why = f' (left out are {described(left_out)})' if left_out else ''
            raise InputError(f'{folder}: has no pictures{why}; give another folder.')
        return found
    if isinstance(images, Image.Image) or getattr(images, 'ndim', None) in (2, 3):
        return [images]
    if not hasattr(images, '__iter__'):
        raise TypeError(f'images must be {FORMS}, or a list of them, not {type(images).__name__}')
    return images


def _existing(path):
    path = Path(path)
    if path.is_dir():
        raise InputError(f'{path}: is a folder; give a folder alone, or the paths of pictures.')
    if not path.exists():
        where = '' if path.is_absolute() else f', which is relative to {Path.cwd()}'
        raise InputError(f'{path}: there is no such picture; correct the path{where}.')
    return path


def _pixels(name, array):
    """An array as (3, H, W), RGB; the last axis decides first what is a colour."""
    if array.dtype != numpy.uint8:
        to_do = '; give numpy.uint8(255 * x) if x is in [0, 1]' if array.dtype.kind == 'f' else ''
        raise ValueError(f'{name} must be uint8, in 0 ... 255, not {array.dtype}{to_do}')
    shape = array.shape
    if array.size:
        if array.ndim == 2 or array.ndim == 3 and shape[2] in COLOURS:
            return pictures.array_of(name, Image.fromarray(array))
        if array.ndim == 3 and shape[0] == 3:
            return array
    raise ValueError(f'{name} must have the shape (H, W, 3), (3, H, W), (H, W) or (H, W, 4), not '
                     f'{shape}')
