"""Where the parts of pictures come from that nobody has annotated."""
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from finetune.config.catalogue import ENCODINGS
from finetune.data.lines import convert, csv_rows, number
from finetune.errors import InputError
from finetune.parts.cs_parts import detection, detector
from finetune.runs.folder import RunFolder

POINT, SIZE = ('x', 'y'), ('width', 'height')
COLUMNS = 'image, part, x, y and perhaps width and height'     # of a file of parts


class Picture(NamedTuple):
    """A picture to predict."""

    name: str           # its path, or its number
    image: Any          # (3, H, W), uint8, RGB


class Source(NamedTuple):
    """A way to get the parts of pictures."""

    find: Any           # function of a list of n Pictures: locations (n, P, 2 or 4) in pixels of
    #                     each, as in a Record, and visibility (n, P), bool
    part_names: list[str]
    upright: bool = True        # whether pictures are turned as their EXIF data say


def choose(folder, config, part_names, device, table=None, detector_run=None):
    """Parts as the model was trained with them, or from a file, or by another run's detector.

    Args:
        folder (finetune.runs.folder.RunFolder): Run of the model.
        config (finetune.config.settings.Config): Its settings.
        part_names (list of str): Names of its parts.
        device (chainer.backend.Device): Where a detector computes.
        table (str or None): CSV file, see :class:`Table`.
        detector_run (str or None): Folder of a run that found its parts itself.

    Returns:
        Source or None: ``None`` if there is no way; then only the global stream can predict.

    Raises:
        finetune.errors.InputError: If what is given does not fit the model.

    """
    if table and detector_run:
        raise InputError('--parts and --detector are two ways to the same parts; give one of them.')
    if not config.data.has_parts:
        if table or detector_run:
            raise InputError(f'{folder}: the model has no part stream (data.parts GLOBAL); leave '
                             f'out --{"parts" if table else "detector"}.')
        return Source(hidden(0), [])
    if table:
        return Source(Table(table, part_names), part_names, upright=False)
    if detector_run:
        run = RunFolder(config.project.path(detector_run), config.project)
        return _found(run, config, part_names, device)
    if config.data.parts == 'GRID':
        return Source(_tiles(len(part_names)), part_names)
    if config.data.parts == 'CS_PARTS' and folder.detector.is_dir():
        return _found(folder, config, part_names, device)
    return None


def _found(run, config, part_names, device):
    """Parts that the detector of a run finds."""
    if not run.detector.is_dir():
        raise InputError(f'{run}: has no detector; name a run that found its parts itself '
                         '(data.parts CS_PARTS and detector.cnn).')
    found_by = detector.load(run.detector, device)
    if found_by.n_parts != len(part_names):
        if ENCODINGS[config.model.encoding].needs_all_parts:
            raise InputError(f'{run}: its detector finds {found_by.n_parts} parts, but '
                             f'{config.model.encoding} has a place for each of '
                             f'{len(part_names)}; use --parts, or a model with an fve encoding.')
        part_names = detection.part_names(found_by.n_parts)
    return Source(lambda pictures: found_by.find([picture.image for picture in pictures]),
                  part_names)


def hidden(n_parts):
    """Function of Pictures for parts of which none is visible."""
    return lambda pictures: (numpy.zeros((len(pictures), n_parts, 4), numpy.float32),
                             numpy.zeros((len(pictures), n_parts), bool))


def _tiles(n_tiles):
    """The same for tiles, whose boxes follow from the size of a picture."""
    return lambda pictures: (hidden(n_tiles)(pictures)[0],
                             numpy.ones((len(pictures), n_tiles), bool))


class Table:

    """Parts from a CSV file with the columns image, part, x, y and perhaps width and height.

    ``image`` is a picture's path, relative to the file's folder; ``part`` the name of a part; x, y
    a point or, with width and height, the left upper corner of a box, in pixels of the picture as
    it is stored. A part without a line is hidden.

    Args:
        path (str): The file.
        part_names (list of str): Names of the model's parts.

    Raises:
        finetune.errors.InputError: Names the line.

    """

    def __init__(self, path, part_names):
        self._part_names = part_names
        self._locations = {}        # by path and part
        for line_no, row in csv_rows(Path(path), ('image', 'part', *POINT), COLUMNS):
            image, where = (Path(path).parent / row['image']).resolve(), f'{path}, line {line_no}'
            if row['part'] not in part_names:
                raise InputError(f'{where}: the model has no part {row["part"]!r}, but '
                                 f'{", ".join(part_names)}; correct the line.')
            if (image, row['part']) in self._locations:
                raise InputError(f'{where}: {row["part"]} of {row["image"]} is listed twice; '
                                 'remove one of the lines.')
            self._locations[image, row['part']] = _location(path, line_no, row)
        if not self._locations:
            raise InputError(f'{path}: lists no part; add a line for each visible one.')
        self._n_coordinates = len(next(iter(self._locations.values())))

    def __call__(self, pictures):
        locations = numpy.zeros((len(pictures), len(self._part_names), self._n_coordinates),
                                numpy.float32)
        visible = numpy.zeros(locations.shape[:2], bool)
        for i, picture in enumerate(pictures):
            for j, part in enumerate(self._part_names):
                location = self._locations.get((Path(picture.name).resolve(), part))
                if location is not None:
                    locations[i, j], visible[i, j] = location, True
        return locations, visible


def _location(path, line_no, row):
    """A point (y, x) or a box (y_min, x_min, y_max, x_max)."""
    x, y, *size = (convert(path, line_no, number, row[name]) for name in (*POINT, *SIZE)
                   if name in row)
    if not size:
        return y, x
    if len(size) != 2 or min(size) <= 0:
        raise InputError(f'{path}, line {line_no}: the box has no width or no height; correct the '
                         'line, or leave out both columns if x and y are points.')
    width, height = size
    return y, x, y + height, x + width
