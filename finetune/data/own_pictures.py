"""Your own pictures without annotations: one folder per class, or a table of paths."""
import os
from pathlib import Path
from urllib.parse import quote
import zlib

import numpy
from PIL import Image

from finetune.data.annotation_files import LOCATIONS
from finetune.data.lines import csv_rows
from finetune.data.records import DataSet, Record, Records
from finetune.errors import InputError

SPLITS = {'train': True, 'test': False, 'val': False}
NO_PARTS = numpy.zeros((0, 2), numpy.float32), numpy.zeros(0, bool)


def read_folder(root: Path, test_share: float, split_seed: int) -> DataSet:
    """Reads pictures without annotations.

    ``root`` is a folder that has

    - ``train/`` and ``test/`` (or ``val/``), each with one folder of pictures per class, or
    - one folder of pictures per class; each class is then split,

    or a CSV file with the columns ``path``, relative to the file's folder, ``class`` and
    optionally ``split``: ``train``, ``test`` or ``val``. Without that column each class is split.

    Args:
        root (pathlib.Path): The folder or file.
        test_share (float): Share of a class's pictures that become test images in a split; at
            least one picture remains for training.
        split_seed (int): Seed of the split. Adding a class does not change the split of the others.

    Returns:
        DataSet: Classes in alphabetical order. An image's id is its URL-encoded path.

    """
    pictures, n_ignored = _from_table(root) if root.is_file() else _from_folders(root)
    if not pictures:
        raise InputError(f'{root}: has no subfolder with pictures; set data.root to a folder that '
                         'has one folder of pictures per class, or to a CSV file.')
    if any(in_train is None for *_, in_train in pictures):
        pictures = _split(pictures, test_share, split_seed)
    names = sorted({kind for _, _, kind, in_train in pictures if in_train})
    label_of = {name: i for i, name in enumerate(names)}
    for image_id, _, kind, _ in pictures:
        if kind not in label_of:
            raise InputError(f'{root}: class {kind} has test images, such as {image_id}, but no '
                             'training images; add some, or remove the class.')
    in_train = numpy.array([in_train for *_, in_train in pictures])
    if in_train.all():
        raise InputError(f'{root}: has no test image; add pictures, or raise data.test_share if '
                         'the pictures have no split of their own.')
    records = Records.of([Record(image_id, path, label_of[kind], *NO_PARTS)
                          for image_id, path, kind, _ in pictures])
    return DataSet(names, [], records[in_train], records[~in_train], n_ignored=n_ignored)


def find_pictures(folder: Path) -> tuple[list[Path], int]:
    """Returns the sorted pictures below a folder and the number of other files.

    Hidden files and folders are skipped and not counted.
    """
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items()
                if kind in Image.OPEN}
    paths, n_others = [], 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(names):
            if Path(name).suffix.lower() in suffixes and not name.startswith('.'):
                paths.append(Path(where, name))
            else:
                n_others += not name.startswith('.')
    return sorted(paths), n_others


def _from_folders(root):
    splits = [name for name in SPLITS if (root / name).is_dir()]
    if splits and ('train' not in splits or len(splits) == 1):
        raise InputError(f'{root}: has a folder {splits[0]}, but not both train and test (or val); '
                         'add the other folder, or rename this one if it is a class.')
    if not splits:
        return _from_classes(root, root, None)
    train, n_train = _from_classes(root, root / 'train', True)
    test, n_test = _from_classes(root, root / splits[1], False)
    return train + test, n_train + n_test


def _from_classes(root, folder, in_train):
    pictures, n_ignored = [], 0
    for class_folder in sorted(folder.iterdir()):
        if (not class_folder.is_dir() or class_folder.name.startswith('.')
                or (class_folder / LOCATIONS.parent).is_dir()):      # boxes of parts
            continue
        paths, n_others = find_pictures(class_folder)
        n_ignored += n_others
        pictures += [(_image_id(path.relative_to(root)), path, class_folder.name, in_train)
                     for path in paths]
    return pictures, n_ignored


def _from_table(path):
    pictures = {}
    for line_no, row in csv_rows(path, ('path', 'class'), 'path, class and optionally split'):
        image_id, kind, split = _image_id(Path(row['path'])), row['class'], row.get('split')
        where = f'{path}, line {line_no}'
        if not row['path'] or not kind:
            raise InputError(f'{where}: the path or the class is empty; complete the line.')
        if image_id in pictures:
            raise InputError(f'{where}: {row["path"]} is listed twice; remove one of the lines.')
        if split is not None and split not in SPLITS:
            raise InputError(f'{where}: {split!r} is not one of {", ".join(SPLITS)}; correct the '
                             'line.')
        pictures[image_id] = (image_id, path.parent / row['path'], kind,
                              None if split is None else SPLITS[split])
    return list(pictures.values()), 0


def _image_id(path):
    return quote(os.fsencode(path.as_posix()))


def _split(pictures, test_share, seed):
    classes = {}
    for image_id, path, kind, _ in pictures:
        classes.setdefault(kind, []).append((image_id, path))
    split = []
    for kind, members in classes.items():
        random = numpy.random.RandomState([seed, zlib.crc32(os.fsencode(kind))])
        n_test = min(round(len(members) * test_share), len(members) - 1)
        in_test = set(random.permutation(len(members))[:n_test].tolist())
        split += [(*member, kind, i not in in_test) for i, member in enumerate(members)]
    return split
