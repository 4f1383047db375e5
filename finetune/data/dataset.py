"""From a record to the network's input: image, part crops, visibility, label."""
from collections.abc import Iterator
from typing import Any

import chainer
import numpy

from finetune.config.settings import Data
from finetune.data import cropping, transforms
from finetune.data.records import Records
from finetune.errors import InputError
from fve_layer.arrays import Array

# Keep the random streams of one seed apart.
AUGMENTATION, PART_ORDER, IMAGE_ORDER, HIDING = range(4)

# Memory of a process for the images of a data set that is small enough, and again for what they
# and their crops are in every epoch.
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
    neither the order of access nor the number of processes changes it. The epoch comes with the
    index: example ``epoch * len(dataset) + i`` is image i as it looks in that epoch, which is what
    :class:`EpochOrder` asks for.

    Args:
        records (finetune.data.records.Records): The images.
        parts (finetune.parts.kind.Parts): Where the boxes of their parts are.
        settings (finetune.config.settings.Data): Sizes and augmentation; order of the parts, and
            what becomes of hidden ones.
        train (bool): Whether to augment.
        seed (int): Seed of augmentation, part order and hiding.
        hide (float): Probability that a visible part is hidden. Parts hidden with one probability
            are hidden with every higher one, too.

    """

    def __init__(self, records: Records, parts: Any, settings: Data, train: bool,
                 seed: int, hide: float = 0.):
        self.records = records
        self.parts = parts
        self.settings = settings
        self.train = train
        self.seed = seed
        self.hide = hide
        self._images, self._examples, self._enlarged = {}, {}, {}

    def __len__(self) -> int:
        return len(self.records)

    # Python's default would continue with the next epochs forever.
    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    def get_example(self, index: int) -> Example:
        if self.train:      # an image looks different in every epoch
            return self._example(index)
        if index in self._examples:
            return self._examples[index]
        example = self._example(index)
        return self._keep(self._examples, index, example, sum(array.nbytes for array in example))

    def _example(self, index):
        epoch, i = divmod(int(index), len(self))
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
        """Image (3, H, W), uint8, RGB, in whose pixels the boxes of its parts are."""
        if i in self._images:
            return self._images[i]
        image = transforms.read_image(self.records[i].path, self.settings.upright)
        return self._keep(self._images, i, image, image.nbytes)

    def _keep(self, kept, index, value, n_bytes):
        """Keeps a value in memory if those of all images would fit; returns it."""
        if n_bytes * len(self) <= KEPT_BYTES:
            kept[index] = value
        return value

    @property
    def largest_example(self) -> int:
        """Size of an example with all its parts, in bytes."""
        n_parts = len(self.records[0].visible)
        sizes = [self.settings.input_size] + n_parts * [self.settings.part_input_size]
        return sum(3 * 4 * size ** 2 for size in sizes) + n_parts

    def part_boxes(self, i: int, image_size: tuple[int, int], epoch: int = 0
                   ) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Order, boxes and visibility of the parts of an image.

        Args:
            i (int): Index of the image.
            image_size (tuple of int): Its height and width in pixels.
            epoch (int): The epoch, which may change the order.

        Returns:
            tuple of arrays: Numbers of the parts, shape (P,), as in the data set's part names;
            their boxes, shape (P, 4), pixels; and which of them are cropped, shape (P,), bool.

        """
        record, order, visible = self.records[i], self._part_order(i, epoch), self._visible(i)
        boxes = self.parts.boxes(record.locations, visible, image_size)
        if self.settings.missing == 'centre':       # hidden parts have their box there
            visible = numpy.ones_like(visible)
        return order, boxes[order], visible[order]

    def _transform(self, i, image, size, random, part=None, bbox=None):
        """What the network sees of image i, or of one of its parts."""
        if not self.train:
            return transforms.test_transform(_cut(image, bbox, self.records[i]), size)
        enlarged = self._enlarged.get((i, part))
        if enlarged is None:
            enlarged = transforms.enlarged(_cut(image, bbox, self.records[i]), size)
            n_alike = 1 if part is None else len(self.records[i].visible)
            self._keep(self._enlarged, (i, part), enlarged, n_alike * enlarged.nbytes)
        return transforms.train_transform(
            enlarged, size, random, flip=self.settings.flip,
            colour_jitter=self.settings.colour_jitter)

    def _visible(self, i):
        visible = self.records[i].visible
        if self.hide == 0:
            return visible
        random = numpy.random.RandomState([self.seed, HIDING, self.train, i])
        return visible & (random.uniform(size=len(visible)) >= self.hide)

    def _part_order(self, i, epoch):
        n_parts = len(self.records[i].visible)
        if self.settings.order == 'ordered':
            return numpy.arange(n_parts)
        when = [] if self.settings.order == 'shuffled_once' else [epoch]
        random = numpy.random.RandomState([self.seed, PART_ORDER, self.train, *when, i])
        return random.permutation(n_parts)


def _cut(image, bbox, record):
    if bbox is None:
        return image
    try:
        return cropping.crop(image, bbox)
    except InputError as error:
        raise InputError(f'{record.path}: {error}')


def collate(batch: list[Example], device: chainer.backend.Device | None = None
            ) -> tuple[Array, Array, Array, Array]:
    """Arrays of a batch of examples, on a device.

    Args:
        batch (list of tuple): Examples of a :class:`PartDataset`.
        device: Where to put the arrays; ``None``: they stay on the CPU.

    Returns:
        tuple of arrays: ``img`` (N, 3, H, W), ``parts`` (M, 3, h, w), the visible parts of all
        images one after the other, ``visible`` (N, P) and ``label`` (N,).

    """
    img, parts, visible, label = zip(*batch)
    arrays = numpy.stack(img), numpy.concatenate(parts), numpy.stack(visible), numpy.stack(label)
    return chainer.dataset.to_device(device, arrays)


class EpochOrder:

    """Order sampler for Chainer's iterators: a new permutation every epoch, by seed.

    Indices carry the epoch, see :class:`PartDataset`. The only state is the order itself, which
    Chainer's iterators save, so that a resumed run gives the same results.

    Args:
        n (int): Number of images.
        seed (int): Seed of the permutations.

    """

    def __init__(self, n: int, seed: int):
        self.n = n
        self.seed = seed

    def __call__(self, current_order: numpy.ndarray, current_position: int) -> numpy.ndarray:
        epoch = int(current_order[0]) // self.n + 1     # Chainer starts with 0 ... n - 1
        random = numpy.random.RandomState([self.seed, IMAGE_ORDER, epoch])
        return epoch * self.n + random.permutation(self.n)
