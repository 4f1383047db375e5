"""Small pictures of a run's classes, which stay with the run."""
from typing import NamedTuple

import numpy
from PIL import Image, ImageOps

from finetune.data.dataset import PartDataset
from finetune.errors import InputError

N_EXAMPLES = 2      # per class
SIZE = 96           # pixels, at most


class Examples(NamedTuple):
    """Pictures of the classes: centres of training images."""

    images: numpy.ndarray       # (n_classes, N_EXAMPLES, size, size, 3), uint8, RGB
    is_there: numpy.ndarray     # (n_classes, N_EXAMPLES), bool: false for those that are black

    def of(self, label: int) -> list[numpy.ndarray]:
        """Those of a class, a list of arrays (size, size, 3)."""
        return list(self.images[label][self.is_there[label]])


def of_classes(dataset: PartDataset, n_classes: int) -> Examples:
    """The first training images of each class that can be read.

    Args:
        dataset (finetune.data.dataset.PartDataset): Training images.
        n_classes (int): Number of classes.

    Returns:
        Examples: Squares of the size of the network's input, but of 96 pixels at most.

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
        except InputError:      # without training, as of a classifier that is only evaluated
            continue
        images[place] = ImageOps.fit(image, (size, size))
        is_there[place] = True
    return Examples(images, is_there)
