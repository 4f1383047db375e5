"""Views of images and of crops that are the same in every epoch, so that ConvMaps can be kept."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
import zlib

import chainer
import numpy

from finetune.config.settings import Data
from finetune.data import cropping, pictures, transforms
from finetune.data.dataset import cut
from finetune.data.records import Record, Records

PLAIN, MIRRORED = 'plain', 'mirrored'
WHOLE = 'whole'


class Key(NamedTuple):
    """What determines an input of a CNN, beside the settings that all inputs share.

    Neither the name of the image nor its position in the data set matters.
    """

    contents: str       # identity of the image's file (:mod:`finetune.data.contents`)
    place: str          # 'whole', or which part it is and a hash of the locations of all
    view: str           # 'plain': as in a test; 'mirrored'; otherwise the name of a random view


class Wanted(NamedTuple):
    """Inputs of a CNN that one image provides."""

    i: int                      # index of the image
    slots: tuple                # numbers of the parts; None: the whole image
    keys: tuple                 # the key of each input


def training_views(settings: Data, n_views: int, seed: int) -> list[str]:
    """Names of the views of training images; that of a random view has all that determines it."""
    regular = [PLAIN, MIRRORED] if settings.flip else [PLAIN]
    others = ''.join(f', {name} {value}' for name, value in (
        ('random_crop', settings.random_crop), ('part_jitter', settings.part_jitter)) if value)
    random = [f'random {i}: seed {seed}, flip {settings.flip}, '
              f'colour_jitter {settings.colour_jitter}{others}'
              for i in range(len(regular), n_views)]
    return [*regular, *random][:n_views]


def test_views(settings: Data) -> list[str]:
    """Names of the views of test images."""
    return [PLAIN, MIRRORED] if settings.test_flip else [PLAIN]


def places_of(record: Record) -> list[str]:
    """The places of the parts of an image."""
    crc = zlib.crc32(record.locations.tobytes() + record.visible.tobytes())
    return [f'{part} of {crc:08x}' for part in range(len(record.visible))]


def view_of(image: numpy.ndarray, box: numpy.ndarray | None, size: int, key: Key, settings: Data,
            record: Record) -> numpy.ndarray:
    """The view of an image (3, H, W), uint8, or of a part's box (4,) in it.

    It is an input (3, size, size), float32, of the CNN.
    """
    if key.view in (PLAIN, MIRRORED):
        view = transforms.test_transform(cut(image, box, record), size, settings.interpolation)
        return view[:, :, ::-1] if key.view == MIRRORED else view
    random = numpy.random.RandomState(zlib.crc32(' '.join(key).encode()))
    if box is not None and settings.part_jitter:
        box, = cropping.jittered(box[None], image.shape[1:], settings.part_jitter, random)
    crop, random_crop = cut(image, box, record), settings.random_crop if box is None else 0
    return transforms.train_transform(
        crop, size, random, flip=settings.flip, colour_jitter=settings.colour_jitter,
        interpolation=settings.interpolation, random_crop=random_crop)


class Views(chainer.dataset.DatasetMixin):

    """Wanted inputs of a CNN, image by image: arrays (n, 3, size, size), float32.

    Args:
        records (finetune.data.records.Records): The images.
        parts (finetune.parts.kind.Parts): Kind of parts, which computes their boxes.
        settings (finetune.config.settings.Data): Interpolation and augmentation.
        size (int): Height and width of the inputs in pixels.
        wanted (sequence of Wanted): The inputs.

    """

    def __init__(self, records: Records, parts: Any, settings: Data, size: int,
                 wanted: Sequence[Wanted]):
        self.records, self.parts, self.settings = records, parts, settings
        self.size, self.wanted = size, wanted

    def __len__(self) -> int:
        return len(self.wanted)

    def get_example(self, index: int) -> numpy.ndarray:
        i, slots, keys = self.wanted[index]
        record = self.records[i]
        image = pictures.read_image(record.path, self.settings.upright)
        boxes = self.parts.boxes(record.locations, record.visible, image.shape[1:])
        views = numpy.empty((len(keys), 3, self.size, self.size), numpy.float32)
        for view, slot, key in zip(views, slots, keys):
            box = None if slot is None else boxes[slot]
            view[...] = view_of(image, box, self.size, key, self.settings, record)
        return views
