"""Pictures of known classes, on which a model is tested."""
from pathlib import Path

import numpy

from finetune.data.own_pictures import find, Found
from finetune.data.records import DataSet, Records
from finetune.errors import InputError, shortened
from finetune.names import composed


def read_tests(root: Path, class_names: list[str]) -> DataSet:
    """Reads pictures of given classes to test on.

    Args:
        root (pathlib.Path): Folder or table as in :func:`finetune.data.own_pictures.read_folder`;
            of one with a split only the test images are read, otherwise all images.
        class_names (list of str): Names of the classes, of which some may have no picture.

    Returns:
        DataSet: It has no training images.

    """
    if not root.exists():
        raise InputError(f'{root}: there is no such folder or table; give a folder that has one '
                         'folder of pictures per class, or a CSV file.')
    pictures = [picture for picture in find(root)[0] if picture.in_train is not True]
    if not pictures:
        raise InputError(f'{root}: has no test image; give a folder without train and test, or a '
                         'table without split, to evaluate all of its pictures.')
    label_of = {composed(name): i for i, name in enumerate(class_names)}
    _check_classes(root, pictures, label_of)
    names, n = [picture.name for picture in pictures], len(pictures)
    labels = [label_of[picture.kind] for picture in pictures]
    tests = Records(names, names, labels, numpy.zeros((n, 0, 2)), numpy.zeros((n, 0)),
                    root.parent if root.is_file() else root)
    return DataSet(class_names, [], tests[:0], tests)


def _check_classes(root: Path, pictures: list[Found], label_of: dict[str, int]) -> None:
    unknown = [picture for picture in pictures if picture.kind not in label_of]
    if unknown:
        known = shortened(', '.join(label_of))
        raise InputError(f'{root}: {unknown[0].name} is of the class {unknown[0].kind}, but the '
                         f'model knows only {known}; rename the class, or leave its pictures out.')
