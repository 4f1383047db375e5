"""Converts a record into the network's input: image, part crops, visibility, label."""
from collections.abc import Iterator
from typing import Any

import chainer
import numpy

from finetune.config.settings import Data
from finetune.data import cropping, pictures, transforms
from finetune.data.records import Record, Records
from finetune.errors import InputError
from fve_layer.arrays import Array

# Keep the random streams of one seed apart.
AUGMENTATION, PART_ORDER, IMAGE_ORDER, HIDING, JITTER, DROPOUT = range(6)

# Largest memory for the images of a data set, and again for their resized crops.
KEPT_BYTES = 2 ** 28

Example = tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.int32]


class PartDataset(chainer.dataset.DatasetMixin):

    """Images with their part crops.

    .. csv-table::
        :header: name, shape, dtype, format

        ``img``, "(3, H, W)", float32, "RGB, [-1, 1], input_size pixels"
        ``parts``, "(V, 3, h, w)", float32, "RGB, [-1, 1], part_input_size pixels; visible only"
        ``visible``, "(P,)", bool, "which parts are visible: V are true"
        ``label``, scalar, int32, "0 ... n_classes - 1"

    Everything random about an example is a function of the seed, the epoch and the image, so that
    neither the order of access nor the number of threads changes it. The index encodes the
    epoch: example ``epoch * len(dataset) + i`` is image i in that epoch (see :class:`EpochOrder`).

    Args:
        records (finetune.data.records.Records): The images.
        parts (finetune.parts.kind.Parts): Kind of parts, which computes their boxes.
        settings (finetune.config.settings.Data): Sizes, augmentation, order of the parts, and
            treatment of hidden parts.
        train (bool): Whether to augment.
        seed (int): Seed of augmentation, part order and hiding.
        hide (float): Probability that a visible part is hidden; parts hidden with one probability
            are also hidden with every higher one.
        with_mirrored (bool): Whether each image is followed by its mirror image, whose crops are
            mirrored one by one; not in training.

    """

    is_slow = True      # whether threads should load examples

    def __init__(self, records: Records, parts: Any, settings: Data, train: bool,
                 seed: int, hide: float = 0., with_mirrored: bool = False):
        self.records = records
        self.parts = parts
        self.settings = settings
        self.train = train
        self.seed = seed
        self.hide = hide
        self.n_views = 2 if with_mirrored else 1
        self._images, self._examples, self._enlarged = {}, {}, {}

    def __len__(self) -> int:
        return len(self.records) * self.n_views

    # Python's default would never stop: an index beyond the data set means the next epoch.
    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    def get_example(self, index: int) -> Example:
        index, view = divmod(int(index), self.n_views)
        example = self._examples.get(index)
        if example is None:
            example = self._example(*divmod(index, len(self.records)))
            if not self.train:      # in training an image looks different in every epoch
                self._keep(self._examples, index, example,
                           sum(array.nbytes for array in example))
        return mirrored(example) if view else example

    def _example(self, epoch, i):
        record = self.records[i]
        random = numpy.random.RandomState([self.seed, AUGMENTATION, self.train, epoch, i])
        image = self.read_image(i)
        img = self._transform(i, image, self.settings.input_size, random)
        order, boxes, visible = self.part_boxes(i, image.shape[1:], epoch)
        size = self.settings.part_input_size
        parts = numpy.empty((visible.sum(), 3, size, size), numpy.float32)
        for part, number, bbox in zip(parts, order[visible], boxes[visible]):
            part[...] = self._transform(i, image, size, random, number, bbox)
        return img, parts, visible, numpy.int32(record.label)

    def read_image(self, i: int) -> numpy.ndarray:
        """Returns image i, (3, H, W), uint8, RGB; part boxes are in its pixels."""
        if i in self._images:
            return self._images[i]
        image = pictures.read_image(self.records[i].path, self.settings.upright)
        return self._keep(self._images, i, image, image.nbytes)

    def _keep(self, kept, index, value, n_bytes):
        """Caches a value if the values of all images would fit into memory; returns it.

        Threads that make the same value at the same time make it twice; the last one is kept.
        """
        if n_bytes * len(self) <= KEPT_BYTES:
            kept[index] = value
        return value

    def part_boxes(self, i: int, image_size: tuple[int, int], epoch: int = 0
                   ) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Returns order, boxes and visibility of the parts of image i.

        Args:
            i (int): Index of the image.
            image_size (tuple of int): Height and width of the image in pixels.
            epoch (int): Epoch, which changes the order of shuffled parts and, in training, which
                parts are left out and where boxes are.

        Returns:
            tuple of arrays: Part numbers (P,) in the data set's part names, their boxes (P, 4) in
            pixels, and whether each part is cropped (P,), bool.

        """
        boxes = self.parts.boxes(self.records[i].locations, self._visible(i, epoch), image_size)
        if self.train and self.settings.part_jitter:
            random = numpy.random.RandomState([self.seed, JITTER, epoch, i])
            boxes = cropping.jittered(boxes, image_size, self.settings.part_jitter, random)
        order, visible = self.cropped_parts(i, epoch)
        return order, boxes[order], visible

    def cropped_parts(self, i: int, epoch: int = 0) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Order and visibility of the parts of image i, see :meth:`part_boxes`."""
        order, visible = self._part_order(i, epoch), self._visible(i, epoch)
        if self.settings.missing == 'centre':       # where the boxes of hidden parts are
            visible = numpy.ones_like(visible)
        return order, visible[order]

    def _transform(self, i, image, size, random, part=None, bbox=None):
        """Transforms image i, or its part in a box, into an input of the network."""
        settings, interpolation = self.settings, self.settings.interpolation
        if not self.train:
            return transforms.test_transform(cut(image, bbox, self.records[i]), size,
                                             interpolation)
        random_crop = settings.random_crop if part is None else 0
        if random_crop:
            crop = image
        elif part is not None and settings.part_jitter:     # another box in every epoch
            crop = cut(image, bbox, self.records[i])
        else:
            crop = self._enlarged_crop(i, image, size, part, bbox)
        return transforms.train_transform(
            crop, size, random, flip=settings.flip, colour_jitter=settings.colour_jitter,
            interpolation=interpolation, random_crop=random_crop)

    def _enlarged_crop(self, i, image, size, part, bbox):
        """The enlarged image i, or its part in a box, which is the same in every epoch."""
        enlarged = self._enlarged.get((i, part))
        if enlarged is None:
            enlarged = transforms.enlarged(cut(image, bbox, self.records[i]), size,
                                           self.settings.interpolation)
            n_alike = 1 if part is None else len(self.records[i].visible)
            self._keep(self._enlarged, (i, part), enlarged, n_alike * enlarged.nbytes)
        return enlarged

    def _visible(self, i, epoch=0):
        visible = self.records[i].visible
        if self.hide > 0:
            random = numpy.random.RandomState([self.seed, HIDING, self.train, i])
            visible = visible & (random.uniform(size=len(visible)) >= self.hide)
        if self.train and self.settings.part_dropout and self.settings.missing != 'centre':
            random = numpy.random.RandomState([self.seed, DROPOUT, epoch, i])
            visible = without_some(visible, self.settings.part_dropout, random)
        return visible

    def _part_order(self, i, epoch):
        n_parts = len(self.records[i].visible)
        if self.settings.order == 'ordered':
            return numpy.arange(n_parts)
        when = [] if self.settings.order == 'shuffled_once' else [epoch]
        random = numpy.random.RandomState([self.seed, PART_ORDER, self.train, *when, i])
        return random.permutation(n_parts)


def cut(image: numpy.ndarray, bbox: numpy.ndarray | None, record: Record) -> numpy.ndarray:
    """Crops a box from an image; ``None``: the whole image. A message names the image's file."""
    if bbox is None:
        return image
    try:
        return cropping.crop(image, bbox)
    except InputError as error:
        raise InputError(f'{record.path}: {error}')


def without_some(visible: numpy.ndarray, probability: float, random: numpy.random.RandomState
                 ) -> numpy.ndarray:
    """Leaves out each visible part with a probability, but never all of them.

    If all would be left out, one of them, at random, is kept.

    Args:
        visible (numpy.ndarray): (P,) bool.
        probability (float): Probability of leaving out a part.
        random (numpy.random.RandomState): Source of all randomness.

    Returns:
        numpy.ndarray: (P,) bool.

    """
    drawn = numpy.where(visible, random.uniform(size=len(visible)), -1)
    return visible & ((drawn >= probability) | (drawn == drawn.max(initial=0)))


def mirrored(example: Example) -> Example:
    """The example of the mirror image."""
    img, parts, visible, label = example
    return img[..., ::-1], parts[..., ::-1], visible, label


def collate(batch: list[Example], device: chainer.backend.Device | None = None
            ) -> tuple[Array, Array, Array, Array]:
    """Stacks the examples of a batch into arrays on a device; ``None``: on the CPU.

    Returns:
        tuple of arrays: ``img`` (N, 3, H, W); ``parts`` (M, 3, h, w), the visible parts of all
        images, concatenated; ``visible`` (N, P); ``label`` (N,).

    """
    img, parts, visible, label = zip(*batch)
    arrays = numpy.stack(img), numpy.concatenate(parts), numpy.stack(visible), numpy.stack(label)
    return chainer.dataset.to_device(device, arrays)


class EpochOrder:

    """Order sampler for Chainer's iterators: a new permutation of ``n`` images every epoch.

    Indices encode the epoch, see :class:`PartDataset`. The order is the only state; Chainer's
    iterators save it, so that a resumed run gives the same results.
    """

    def __init__(self, n: int, seed: int):
        self.n = n
        self.seed = seed

    def __call__(self, current_order: numpy.ndarray, current_position: int) -> numpy.ndarray:
        epoch = int(current_order[0]) // self.n + 1     # Chainer starts with 0 ... n - 1
        random = numpy.random.RandomState([self.seed, IMAGE_ORDER, epoch])
        return epoch * self.n + random.permutation(self.n)
