"""Your own pictures without annotations: one folder per class, or a table of paths."""
from collections import Counter
import os
from pathlib import Path
from typing import NamedTuple
import unicodedata

import numpy

from finetune.data.contents import identify
from finetune.data.lines import csv_rows
from finetune.data.picture_folders import (
    class_folders, described, find_pictures, has_boxes, HEIC)
from finetune.data.pictures import FORMATS, TO_READ_HEIC
from finetune.data.records import DataSet, Records
from finetune.data.splits import in_test
from finetune.errors import InputError
from finetune.names import composed, counted, encoded

SPLITS = {'train': True, 'test': False, 'val': False}
NO_PARTS = numpy.zeros((0, 2), numpy.float32), numpy.zeros(0, bool)


class Found(NamedTuple):
    """A picture that was found."""

    name: str               # path relative to the folder of the data set
    kind: str               # its class
    in_train: bool | None   # None: it has no split
    group: str = ''         # of pictures that a split keeps together; empty: none


def read_folder(root: Path, test_share: float, split_seed: int) -> DataSet:
    """Reads pictures without annotations.

    ``root`` is a folder that has

    - ``train/`` and ``test/`` (or ``val/``), each with one folder of pictures per class, or
    - one folder of pictures per class; the pictures are then split,

    or a CSV file with the columns ``path``, relative to the file's folder, ``class`` and
    optionally ``split``: ``train``, ``test`` or ``val``. Without that column they are split, those
    with the same text in an optional column ``group`` together.

    Args:
        root (pathlib.Path): The folder or file.
        test_share (float): Share of the pictures that become test images in a split, which depends
            on the names of the pictures and groups alone (:func:`finetune.data.splits.in_test`).
        split_seed (int): Seed of the split.

    Returns:
        DataSet: Classes in alphabetical order. An image's id is its URL-encoded path. Names are in
        Unicode's form NFC.

    """
    pictures, left_out = find(root)
    folder = root.parent if root.is_file() else root
    image_ids = [encoded(Path(picture.name)) for picture in pictures]
    kinds = [picture.kind for picture in pictures]
    groups = [picture.group for picture in pictures]
    if any(picture.in_train is None for picture in pictures):
        contents = identify(folder / picture.name for picture in pictures)
        in_train = ~in_test(image_ids, kinds, contents, groups, test_share, f'test {split_seed}')
    else:
        in_train = numpy.array([picture.in_train for picture in pictures])
    names = sorted({kind for kind, is_there in zip(kinds, in_train) if is_there})
    label_of = {name: i for i, name in enumerate(names)}
    _check(root, folder, pictures, in_train, label_of)
    n = len(pictures)
    records = Records(image_ids, [picture.name for picture in pictures],
                      [label_of[kind] for kind in kinds], numpy.zeros((n, 0, 2)),
                      numpy.zeros((n, 0)), folder, groups)
    return DataSet(names, [], records[in_train], records[~in_train], left_out=left_out)


def find(root: Path) -> tuple[list[Found], Counter[str]]:
    """The pictures of a folder or table as in :func:`read_folder`, and what is left out."""
    pictures, left_out = _from_table(root) if root.is_file() else _from_folders(root)
    if not pictures and left_out[HEIC]:
        name = min(path.name for path in root.rglob('*') if path.suffix.lower() in FORMATS['HEIF'])
        raise InputError(f'{root}: all {left_out[HEIC]} pictures, such as {name}, are in the '
                         f'format HEIC, which needs another package; {TO_READ_HEIC}, or convert '
                         'them to JPEG or PNG.')
    if not pictures:
        raise InputError(f'{root}: has no subfolder with pictures; set data.root to a folder that '
                         'has one folder of pictures per class, or to a CSV file.')
    return pictures, left_out


def _check(root, folder, pictures, in_train, label_of):
    """Raises an error for missing pictures, classes without training images, and no test image."""
    for picture in pictures:
        if picture.kind not in label_of:
            raise InputError(f'{root}: class {picture.kind} has test images, such as '
                             f'{picture.name}, but no training images; add some, or remove the '
                             'class.')
    if in_train.all():
        more = 'pictures of other groups' if any(p.group for p in pictures) else 'pictures'
        raise InputError(f'{root}: has no test image; add {more} or, if the pictures have no '
                         'split of their own, raise data.test_share or change data.split_seed.')
    missing = [picture.name for picture in pictures if not os.path.exists(folder / picture.name)]
    if missing:
        n = counted(len(missing), 'listed picture does', 'listed pictures do')
        raise InputError(f'{root}: {n} not exist, the first is {missing[0]}; copy what is missing, '
                         'or remove the lines.')
    twice = Counter(encoded(Path(picture.name)) for picture in pictures).most_common(1)[0]
    if twice[1] > 1:
        raise InputError(f'{root}: has two pictures whose names differ in nothing but the Unicode '
                         f'form, {twice[0]}; rename one of them.')


def _from_folders(root):
    splits = [name for name in SPLITS if (root / name).is_dir()]
    if splits and ('train' not in splits or len(splits) == 1):
        raise InputError(f'{root}: has a folder {splits[0]}, but not both train and test (or val); '
                         'add the other folder, or rename this one if it is a class.')
    if not splits:
        return _from_classes(root, root, None)
    train, out_of_train = _from_classes(root, root / 'train', True)
    test, out_of_test = _from_classes(root, root / splits[1], False)
    n_beside = sum(path.is_dir() and not path.name.startswith('.') and
                   path.name not in ('train', splits[1]) and not has_boxes(path)
                   for path in root.iterdir())
    beside = Counter({f'folders beside train and {splits[1]}': n_beside})
    return train + test, out_of_train + out_of_test + beside


def _from_classes(root, folder, in_train):
    pictures, without = [], []
    folders, left_out = class_folders(folder, is_split=in_train is not None)
    for class_folder in folders:
        paths, without_use = find_pictures(class_folder)
        left_out += without_use
        if not paths:
            without.append((class_folder, without_use))
        pictures += [Found(str(path.relative_to(root)), composed(class_folder.name), in_train)
                     for path in paths]
    if pictures and without and in_train is not False:      # a class need not be tested
        path, of_class = without[0]
        why = f'left out are {described(of_class)}' if of_class else 'it is empty'
        raise InputError(f'{path}: has no picture that can be used ({why}); add pictures, convert '
                         'them to JPEG or PNG, or move the folder elsewhere if it is no class.')
    return pictures, left_out


def _from_table(path):
    pictures = {}
    for line_no, row in csv_rows(path, ('path', 'class'),
                                 'path, class and optionally split and group'):
        name = _on_disk(path.parent, _relative(path.parent, row['path']))
        kind, split = row['class'], row.get('split')
        where = f'{path}, line {line_no}'
        if not row['path'] or not kind:
            raise InputError(f'{where}: the path or the class is empty; complete the line.')
        if encoded(Path(name)) in pictures:
            raise InputError(f'{where}: {row["path"]} is listed twice; remove one of the lines.')
        if split is not None and split not in SPLITS:
            raise InputError(f'{where}: {split!r} is not one of {", ".join(SPLITS)}; correct the '
                             'line.')
        pictures[encoded(Path(name))] = Found(
            name, composed(kind), None if split is None else SPLITS[split],
            composed(row.get('group', '')))
    return list(pictures.values()), Counter()


def _relative(folder, name):
    """The shortest text for a path, so that equal paths are equal texts."""
    path, folder = os.path.normpath(name), os.path.abspath(folder)
    is_inside = os.path.isabs(path) and path.startswith(os.path.join(folder, ''))
    return os.path.relpath(path, folder) if is_inside else path


def _on_disk(folder, name):
    """The name of a file in the Unicode form that the disk has."""
    forms = (name, *(unicodedata.normalize(form, name) for form in ('NFC', 'NFD')))
    return next((form for form in forms if os.path.exists(folder / form)), name)
