"""scikit-learn's handwritten digits in CUB-200-2011's layout, with four quadrants as parts."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from finetune.config.schema import setting
from finetune.data import cub_writer

PART_NAMES = ['upper left', 'upper right', 'lower left', 'lower right']
CLASS_NAMES = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
CENTRES = numpy.array([(1, 1), (1, 3), (3, 1), (3, 3)]) / 4     # (y, x), share of the image
GREY = (128, 128, 128)


@dataclass
class Drawing:
    """Options of ``data.drawing``."""

    size: int = setting(64, 'width and height of the images in pixels', between=(16, 512))
    hide: float = setting(.1, 'probability that a part is hidden, that is, painted over in grey',
                          between=(0, 1))
    seed: int = setting(0, 'random seed of the split and of the hidden parts',
                        between=(0, 2 ** 31 - 1))


def prepare(root: str | Path, **options: Any) -> None:
    """Writes the 1,797 digits, two thirds of every class for training, unless ``root`` exists.

    Crops of the quadrants need ``part_ratio`` 0.5. ``**options`` are the fields of
    :class:`Drawing`.
    """
    cub_writer.prepare(root, 'digits', Drawing(), options, _make)


def _make(drawing):
    from sklearn.datasets import load_digits
    digits = load_digits()
    return CLASS_NAMES, PART_NAMES, _images(digits, drawing), len(digits.target)


def _images(digits, drawing):
    size = drawing.size
    random = numpy.random.RandomState(drawing.seed)
    train = _split(digits.target, random)
    for grey, label, in_train in zip(digits.images, digits.target, train):
        visible = random.uniform(size=4) >= drawing.hide
        image = Image.fromarray((grey * (255 / 16)).astype(numpy.uint8))
        image = image.resize((size, size), Image.BICUBIC).convert('RGB')
        for y, x in CENTRES[~visible] * size:
            image.paste(GREY, (int(x - size / 4), int(y - size / 4),
                               int(x + size / 4), int(y + size / 4)))
        yield cub_writer.AnnotatedImage(
            image, int(label), bool(in_train), CENTRES * size, visible, (0, 0, size, size))


def _split(labels, random):
    train = numpy.zeros(len(labels), dtype=bool)
    for label in range(10):
        members = random.permutation(numpy.flatnonzero(labels == label))
        train[members[:round(len(members) * 2 / 3)]] = True
    return train
