"""Reads annotation files, which have one line per image or part."""
from collections import Counter
from dataclasses import replace
from pathlib import Path
import sys

import numpy

from finetune.data.lines import check_id, flag, n_columns, name, number, path_inside
from finetune.data.lines import read_in_order, read_per_image, read_table, rows
from finetune.data.records import DataSet, Records, split_records
from finetune.errors import InputError


LOCATIONS = Path('parts', 'part_locs.txt')
N_BOX_COLUMNS = 6       # image, part, x, y, width, height; a file of points has five


def read_cub(root: str | Path, unused_classes: bool = False) -> DataSet:
    """Reads CUB-200-2011 as distributed, or a data set in its layout.

    Args:
        root (str or pathlib.Path): Folder with ``images.txt``, ``image_class_labels.txt``,
            ``train_test_split.txt``, ``classes.txt``, ``parts/parts.txt``,
            ``parts/part_locs.txt`` and ``images/``. The folder ``parts/`` is optional.
        unused_classes (bool): Whether to skip classes without images instead of raising an error.

    Returns:
        DataSet: Classes in the order of ``classes.txt``, parts in the order of ``parts.txt``.

    """
    root = Path(root)
    images = read_table(root / 'images.txt', path_inside)
    index = _index(images)
    class_names = read_table(root / 'classes.txt', name)
    classes = read_per_image(root / 'image_class_labels.txt', sys.intern, index)
    if unused_classes:
        used = set(classes)
        class_names = {key: value for key, value in class_names.items() if key in used}
    labels = _to_labels(root, classes, class_names)
    in_train = read_per_image(root / 'train_test_split.txt', flag, index)
    part_names, path = {}, root / LOCATIONS
    locations, visible = numpy.zeros((len(images), 0, 2)), numpy.zeros((len(images), 0))
    if path.parent.is_dir():
        part_names = read_table(path.with_name('parts.txt'), name)
        locations, visible = _locations(path, _location_rows(path), index, part_names)
    return split_records(
        Records(images, images.values(), labels, locations, visible, root / 'images'), in_train,
        class_names.values(), part_names.values(), root / 'train_test_split.txt')


def read_nabirds(root: str | Path) -> DataSet:
    """Reads NA-Birds as distributed; skips the upper levels of its class hierarchy."""
    return read_cub(root, unused_classes=True)


def read_authors(root: str | Path, image_folder: Path | None = None) -> DataSet:
    """Reads annotation files in the layout of the paper's authors.

    Args:
        root (str or pathlib.Path): Folder with ``images.txt``, ``labels.txt`` and ``tr_ID.txt``
            (one number per image; 0: test image), and optionally ``parts/`` (:func:`read_parts`).
        image_folder (pathlib.Path or None): Folder of the images; ``None``: ``images/``.

    Returns:
        DataSet: Classes in the order of the numbers in ``labels.txt``, each named after the folder
        of its first image.

    """
    root = Path(root)
    image_folder = image_folder or root / 'images'
    images = read_table(root / 'images.txt', path_inside)
    numbers = read_in_order(root / 'labels.txt', int, images)
    in_train = read_in_order(root / 'tr_ID.txt', int, images)
    class_names = {}
    for path, value in zip(images.values(), numbers):
        class_names.setdefault(value, Path(path).parent.name or value)
    label_of = _index(sorted(class_names))
    n = len(images)
    data_set = split_records(
        Records(images, images.values(), [label_of[value] for value in numbers],
                numpy.zeros((n, 0, 2)), numpy.zeros((n, 0)), image_folder),
        [fold != 0 for fold in in_train],
        [str(class_names[value]) for value in sorted(class_names)], [], root / 'tr_ID.txt')
    return read_parts(data_set, root) if (root / LOCATIONS).exists() else data_set


def read_parts(data_set: DataSet, root: Path) -> DataSet:
    """Returns the data set with the parts of a folder in the authors' layout.

    Lines for unlisted images are skipped, as in the authors' reader. Parts are in the order of
    ``parts.txt``, or of their numbers.

    Args:
        data_set (DataSet): The images.
        root (pathlib.Path): Folder with ``parts/part_locs.txt``, which holds points (``image part
            x y visible``) or boxes (``image part x y width height``), and optionally
            ``parts/parts.txt``. The authors' tools number CS-Parts from 1 in ``part_locs.txt`` and
            from 0 in ``parts.txt``: if the numbers differ but their count agrees, they are matched
            in order.

    """
    index = _index(data_set.train.image_ids + data_set.test.image_ids)
    path = root / LOCATIONS
    lines = list(_location_rows(path))
    listed = [line for line in lines if line[1][0] in index]
    if not listed:
        raise InputError(f'{path}: has no line for an image of images.txt; get both files from '
                         'the same place.')
    part_names = _part_names(path.with_name('parts.txt'), {columns[1] for _, columns in listed})
    locations, visible = _locations(path, listed, index, part_names)
    n = len(data_set.train)
    return replace(data_set, part_names=list(part_names.values()),
                   train=data_set.train.with_parts(locations[:n], visible[:n]),
                   test=data_set.test.with_parts(locations[n:], visible[n:]),
                   left_out=data_set.left_out + Counter(
                       {'lines of part_locs.txt for unknown images': len(lines) - len(listed)}))


def _index(keys):
    return {key: i for i, key in enumerate(keys)}


def _to_labels(root, classes, class_names):
    """Numbers class ids from 0; every class must have an image."""
    label_of, used = _index(class_names), set(classes)
    if used != label_of.keys():
        _name_the_line(root, used, label_of)
    return [label_of[class_id] for class_id in classes]


def _name_the_line(root, used, label_of):
    """Raises an error for the first image of an unknown class, or the first class without image."""
    path = root / 'image_class_labels.txt'
    for line_no, (_, class_id) in rows(path, (str, str)):
        if class_id not in label_of:
            raise InputError(f'{path}, line {line_no}: there is no class {class_id} in '
                             'classes.txt; correct the line or add the class.')
    path = root / 'classes.txt'
    for line_no, (class_id, class_name) in rows(path, (str, name)):
        if class_id not in used:
            raise InputError(f'{path}, line {line_no}: class {class_id} ({class_name}) has no '
                             'image; remove the line.')


def _part_names(path, part_ids):
    """Returns part names by their ids in part_locs.txt; ``path`` is parts.txt, if it exists."""
    in_order = sorted(part_ids, key=_numeric)
    if not path.exists():
        return {part_id: f'part {part_id}' for part_id in in_order}
    part_names = read_table(path, name)
    if part_names.keys() != part_ids and len(part_names) == len(part_ids):
        return {part_id: part_names[key]
                for part_id, key in zip(in_order, sorted(part_names, key=_numeric))}
    return part_names


def _numeric(part_id):
    return len(part_id), part_id        # sorts digits by their value


def _location_rows(path):
    """Yields rows of part_locs.txt: image and part, then x y visible or x y width height."""
    return rows(path, (str, str) + (
        (number,) * 4 if n_columns(path) == N_BOX_COLUMNS else (number, number, flag)))


def _locations(path, lines, index, part_names):
    """Returns part points (N, P, 2) or boxes (N, P, 4), and visibility (N, P)."""
    are_boxes = n_columns(path) == N_BOX_COLUMNS
    part_index = _index(part_names)
    shape = len(index), len(part_names)
    locations = numpy.zeros(shape + (4 if are_boxes else 2,), numpy.float32)
    visible, seen = numpy.zeros(shape, bool), numpy.zeros(shape, bool)
    for line_no, (image_id, part_id, *values) in lines:
        check_id(path, line_no, image_id, index)
        if part_id not in part_index:
            raise InputError(f'{path}, line {line_no}: there is no part {part_id} in parts.txt; '
                             'correct the line or add the part.')
        key = index[image_id], part_index[part_id]
        if seen[key]:
            raise InputError(f'{path}, line {line_no}: part {part_id} of image {image_id} is '
                             'listed twice; remove one of the lines.')
        seen[key] = True
        locations[key], visible[key] = (_box(path, line_no, *values) if are_boxes
                                        else (values[1::-1], values[2]))
    for i, j in numpy.argwhere(~seen)[:1]:
        raise InputError(f'{path}: part {list(part_names)[j]} of image {list(index)[i]} is '
                         'missing; add a line for it (0 0 0 if it is hidden).')
    return locations, visible


def _box(path, line_no, x, y, width, height):
    """Returns a box (y_min, x_min, y_max, x_max) and its visibility."""
    if (x, y, width, height) == (-1, -1, -1, -1):
        return (0, 0, 0, 0), False
    if width <= 0 or height <= 0:
        raise InputError(f'{path}, line {line_no}: the box is {width:g} x {height:g} pixels; '
                         'correct the line, or mark the part as hidden by -1 -1 -1 -1.')
    return (y, x, y + height, x + width), True
