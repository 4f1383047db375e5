"""From annotation files to records: one per image."""
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import List, NamedTuple

import numpy

from finetune.errors import InputError


class Record(NamedTuple):
    """One image of a data set.

    .. csv-table::
        :header: name, shape, dtype, format

        ``image_id``, , str, "as in the annotation files"
        ``path``, , pathlib.Path, "the image"
        ``label``, scalar, int, "0 ... n_classes - 1"
        ``points``, "(P, 2)", float32, "(y, x), pixels of the original image; hidden parts any"
        ``visible``, "(P,)", bool, "whether the part can be seen"

    """

    image_id: str
    path: Path
    label: int
    points: numpy.ndarray
    visible: numpy.ndarray


@dataclass
class FileLists:
    """A data set: the names of its classes and parts and its two splits, in the files' order."""

    class_names: List[str]
    part_names: List[str]
    train: List[Record]
    test: List[Record]


def read_cub(root):
    """Reads the annotation files of CUB-200-2011 as distributed.

    Args:
        root (str or pathlib.Path): Folder with ``images.txt``, ``image_class_labels.txt``,
            ``train_test_split.txt``, ``classes.txt``, ``parts/parts.txt``,
            ``parts/part_locs.txt`` and ``images/``.

    Returns:
        FileLists: Labels are classes in the order of ``classes.txt``, parts in the order of
        ``parts.txt``.

    Raises:
        finetune.errors.InputError: Names the file and the line.

    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f'{root}: there is no such folder; set data.root to the folder that '
                         'has images.txt in it.')
    images = _read_table(root / 'images.txt', _name)
    class_names = _read_table(root / 'classes.txt', _name)
    part_names = _read_table(root / 'parts' / 'parts.txt', _name)
    classes = _read_per_image(root / 'image_class_labels.txt', str, images)
    labels = _to_labels(root, classes, class_names)
    in_train = _read_per_image(root / 'train_test_split.txt', _flag, images)
    points, visible = _read_points(root / 'parts' / 'part_locs.txt', images, part_names)
    train, test = [], []
    for i, (image_id, name) in enumerate(images.items()):
        (train if in_train[image_id] else test).append(
            Record(image_id, root / 'images' / name, labels[image_id], points[i], visible[i]))
    for split, flag in ((train, 1), (test, 0)):
        if not split:
            raise InputError(f'{root / "train_test_split.txt"}: no image has the flag {flag}; get '
                             'the complete file.')
    return FileLists(list(class_names.values()), list(part_names.values()), train, test)


def _name(text):
    """The rest of a line; only a name may have blanks in it, and only as the last column."""
    return text


def _flag(text):
    if text not in ('0', '1'):
        raise ValueError(text)
    return text == '1'


def _number(text):
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


EXPECTED = {_flag: '0 or 1', _number: 'a number'}


def _rows(path, types):
    """Yields the line number and the converted columns of every line that is not blank."""
    for line_no, line in enumerate(_read_lines(path), 1):
        try:
            columns = line.decode('utf-8').split(
                maxsplit=len(types) - 1 if types[-1] is _name else -1)
        except UnicodeDecodeError:
            raise InputError(f'{path}, line {line_no}: not UTF-8; save the file as UTF-8.')
        if not columns:
            continue
        if len(columns) != len(types):
            raise InputError(f'{path}, line {line_no}: has {len(columns)} columns instead of '
                             f'{len(types)}; correct the line.')
        yield line_no, [_convert(path, line_no, kind, column.strip())
                        for kind, column in zip(types, columns)]


def _read_lines(path):
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        raise InputError(f'{path}: there is no such file; set data.root to the folder of a '
                         'complete data set.')
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); make it readable.')


def _convert(path, line_no, kind, text):
    try:
        return kind(text)
    except ValueError:
        raise InputError(f'{path}, line {line_no}: {text!r} is not {EXPECTED[kind]}; '
                         'correct the line.')


def _read_table(path, kind):
    """Lines ``<id> <value>`` as a dict in the file's order."""
    table = {}
    for line_no, (key, value) in _rows(path, (str, kind)):
        if key in table:
            raise InputError(f'{path}, line {line_no}: id {key} is there twice; '
                             'remove one of the lines.')
        table[key] = value
    if not table:
        raise InputError(f'{path}: is empty; get the complete file.')
    return table


def _read_per_image(path, kind, images):
    """A table with exactly one line for every image."""
    table = {}
    for line_no, (image_id, value) in _rows(path, (str, kind)):
        _check_id(path, line_no, image_id, images)
        if image_id in table:
            raise InputError(f'{path}, line {line_no}: image {image_id} is there twice; '
                             'remove one of the lines.')
        table[image_id] = value
    for image_id in images:
        if image_id not in table:
            raise InputError(f'{path}: image {image_id} of images.txt is missing; '
                             'add a line for it.')
    return table


def _check_id(path, line_no, image_id, images):
    if image_id not in images:
        raise InputError(f'{path}, line {line_no}: there is no image {image_id} in images.txt; '
                         'remove the line or add the image.')


def _to_labels(root, classes, class_names):
    """Class ids to 0 ... n - 1; every class must have an image."""
    label_of = {class_id: label for label, class_id in enumerate(class_names)}
    path = root / 'image_class_labels.txt'
    for line_no, (_, class_id) in _rows(path, (str, str)):
        if class_id not in label_of:
            raise InputError(f'{path}, line {line_no}: there is no class {class_id} in '
                             'classes.txt; correct the line or add the class.')
    path, used = root / 'classes.txt', set(classes.values())
    for line_no, (class_id, name) in _rows(path, (str, _name)):
        if class_id not in used:
            raise InputError(f'{path}, line {line_no}: class {class_id} ({name}) has no image; '
                             'remove the line.')
    return {image_id: label_of[class_id] for image_id, class_id in classes.items()}


def _read_points(path, images, part_names):
    """Points (N, P, 2) as (y, x) and visibility (N, P) from lines with x before y."""
    image_index = {image_id: i for i, image_id in enumerate(images)}
    part_index = {part_id: i for i, part_id in enumerate(part_names)}
    points = numpy.zeros((len(images), len(part_names), 2), numpy.float32)
    visible = numpy.zeros(points.shape[:2], dtype=bool)
    seen = numpy.zeros(points.shape[:2], dtype=bool)
    for line_no, (image_id, part_id, x, y, is_visible) in _rows(
            path, (str, str, _number, _number, _flag)):
        _check_id(path, line_no, image_id, images)
        if part_id not in part_index:
            raise InputError(f'{path}, line {line_no}: there is no part {part_id} in parts.txt; '
                             'correct the line or add the part.')
        key = image_index[image_id], part_index[part_id]
        if seen[key]:
            raise InputError(f'{path}, line {line_no}: part {part_id} of image {image_id} is '
                             'there twice; remove one of the lines.')
        seen[key], points[key], visible[key] = True, (y, x), is_visible
    for i, j in numpy.argwhere(~seen)[:1]:
        raise InputError(f'{path}: part {list(part_names)[j]} of image {list(images)[i]} is '
                         'missing; add a line for it (0 0 0 if it is hidden).')
    return points, visible
