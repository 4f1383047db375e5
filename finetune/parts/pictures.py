"""Parts of pictures without annotations: detected, listed in a table, or hidden."""
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import chainer
import numpy

from finetune.config.catalogue import ENCODINGS
from finetune.config.settings import Config
from finetune.data.lines import convert, csv_rows, number
from finetune.errors import InputError
from finetune.names import composed
from finetune.parts.boxes import frame_boxes, with_hidden
from finetune.parts.cs_parts import detector
from finetune.parts.cs_parts.search import part_names as numbered_parts
from finetune.parts.points import point_boxes

POINT, SIZE = ('x', 'y'), ('width', 'height')
COLUMNS = 'image, part, x, y and optionally width and height'


class Picture(NamedTuple):
    """A picture to predict."""

    name: str                   # its path, or its number
    image: numpy.ndarray        # (3, H, W), uint8, RGB


# Returns locations (n, P, 2 or 4) of the parts of n pictures, as in a Record, and visibility
# (n, P), bool.
Find = Callable[[Sequence[Picture]], tuple[numpy.ndarray, numpy.ndarray]]


class PictureParts(NamedTuple):
    """Finds the parts of pictures and their boxes."""

    part_names: list[str]
    find: Find
    # Like :meth:`finetune.parts.kind.Parts.boxes`.
    boxes: Callable[[numpy.ndarray, numpy.ndarray, tuple[int, int]], numpy.ndarray]
    upright: bool = True        # whether to rotate pictures by their EXIF data


def detected(folder: Path, config: Config, part_names: list[str], device: chainer.backend.Device
             ) -> PictureParts:
    """Parts that the detector in a folder finds; their number must fit the model."""
    found_by = detector.load(folder, device)
    if found_by.n_parts != len(part_names):
        if ENCODINGS[config.model.encoding].needs_all_parts:
            raise InputError(f'{folder.parent}: the detector finds {found_by.n_parts} parts, but '
                             f'{config.model.encoding} needs {len(part_names)}; use --parts, or a '
                             'model with an fve encoding.')
        part_names = numbered_parts(found_by.n_parts)
    return PictureParts(part_names, lambda pictures: found_by.find(
        [picture.image for picture in pictures]), _boxes_in_pixels(config))


def listed(path: str, config: Config, part_names: list[str]) -> PictureParts:
    """Parts from a CSV file (:class:`Table`), in pixels of the pictures as stored."""
    return PictureParts(part_names, Table(path, part_names), _boxes_in_pixels(config),
                        upright=False)


def unknown(config: Config, part_names: list[str]) -> PictureParts:
    """Parts that are all hidden because nothing is known about them."""
    return PictureParts(part_names, hidden(len(part_names)), _boxes_in_pixels(config))


def hidden(n_parts: int) -> Find:
    """Returns a function that hides all parts of pictures."""
    return lambda pictures: (numpy.zeros((len(pictures), n_parts, 4), numpy.float32),
                             numpy.zeros((len(pictures), n_parts), bool))


def _boxes_in_pixels(config):
    """Returns a function that computes boxes from points or boxes in pixels of a picture."""
    ratio = config.data.part_ratio

    def boxes(locations, visible, size):
        if locations.shape[1] == 2:
            return point_boxes(locations, visible, size, ratio)
        return with_hidden(frame_boxes(locations, size, 0, 'crop'), visible, size, ratio)
    return boxes


class Table:

    """Parts from a CSV file with the columns image, part, x, y and optionally width and height.

    ``image`` is a picture's path, relative to the file's folder; ``part`` is one of the model's
    ``part_names``; ``x`` and ``y`` are a point or, with ``width`` and ``height``, the top-left
    corner of a box, in pixels of the picture as stored. A part without a line is hidden.
    """

    def __init__(self, path: str, part_names: list[str]):
        self._part_names = [composed(name) for name in part_names]
        self._locations = {}        # by path and part
        for line_no, row in csv_rows(Path(path), ('image', 'part', *POINT), COLUMNS):
            image, where = _key(Path(path).parent / row['image']), f'{path}, line {line_no}'
            row['part'] = composed(row['part'])
            if row['part'] not in self._part_names:
                raise InputError(f'{where}: the model has no part {row["part"]!r}, only '
                                 f'{", ".join(part_names)}; correct the line.')
            if (image, row['part']) in self._locations:
                raise InputError(f'{where}: {row["part"]} of {row["image"]} is listed twice; '
                                 'remove one of the lines.')
            self._locations[image, row['part']] = _location(path, line_no, row)
        if not self._locations:
            raise InputError(f'{path}: lists no part; add a line for each visible one.')
        self._n_coordinates = len(next(iter(self._locations.values())))

    def __call__(self, pictures: Sequence[Picture]) -> tuple[numpy.ndarray, numpy.ndarray]:
        locations = numpy.zeros((len(pictures), len(self._part_names), self._n_coordinates),
                                numpy.float32)
        visible = numpy.zeros(locations.shape[:2], bool)
        for i, picture in enumerate(pictures):
            for j, part in enumerate(self._part_names):
                location = self._locations.get((_key(picture.name), part))
                if location is not None:
                    locations[i, j], visible[i, j] = location, True
        return locations, visible


def _key(path):
    """A text that is the same for all names of a picture."""
    return composed(str(Path(path).resolve()))


def _location(path, line_no, row):
    """Returns a point (y, x) or a box (y_min, x_min, y_max, x_max)."""
    x, y, *size = (convert(path, line_no, number, row[name]) for name in (*POINT, *SIZE)
                   if name in row)
    if not size:
        return y, x
    if len(size) != 2 or min(size) <= 0:
        raise InputError(f'{path}, line {line_no}: the box needs a positive width and height; '
                         'correct the line, or remove both columns if x and y are points.')
    width, height = size
    return y, x, y + height, x + width
