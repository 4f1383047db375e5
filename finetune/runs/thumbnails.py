"""Thumbnails of a run's classes, saved with the run."""
from typing import NamedTuple

import numpy
from PIL import Image, ImageOps

from finetune.data.dataset import PartDataset
from finetune.errors import InputError

N_EXAMPLES = 2      # per class
SIZE = 96           # pixels, at most


class Examples(NamedTuple):
    """Thumbnails of the classes: centres of training images."""

    images: numpy.ndarray       # (n_classes, N_EXAMPLES, size, size, 3), uint8, RGB
    is_there: numpy.ndarray     # (n_classes, N_EXAMPLES), bool: false for missing images

    def of(self, label: int) -> list[numpy.ndarray]:
        """Thumbnails (size, size, 3) of a class."""
        return list(self.images[label][self.is_there[label]])


def of_classes(dataset: PartDataset, n_classes: int) -> Examples:
    """Makes thumbnails of the first readable training images of each class.

    Their size is that of the network's input, but at most SIZE.
    """
    size = min(SIZE, dataset.settings.input_size)
    images = numpy.zeros((n_classes, N_EXAMPLES, size, size, 3), numpy.uint8)
    is_there = numpy.zeros((n_classes, N_EXAMPLES), bool)
    for i, label in enumerate(dataset.records.labels):
        place = label, is_there[label].sum()
        if place[1] == N_EXAMPLES:
            continue
        try:
            image = Image.fromarray(dataset.read_image(i).transpose(1, 2, 0))
        except InputError:      # a run without training needs no training images
            continue
        images[place] = ImageOps.fit(image, (size, size))
        is_there[place] = True
    return Examples(images, is_there)
