"""Folders of pictures: what is in them, and what is left out."""
from collections import Counter
from collections.abc import Iterator
import os
from pathlib import Path
import re

from finetune.data.annotation_files import LOCATIONS
from finetune.data.layout import ORIGIN, WORK
from finetune.data.pictures import FORMATS, SUFFIXES, TO_READ_HEIC
from finetune.errors import InputError

# Folders and files, in lower case, that other programs and systems make.
OF_OTHER_PROGRAMS = {'@eadir', '__macosx', '#recycle', '$recycle.bin', 'lost+found',
                     'system volume information', 'thumbs.db', 'ehthumbs.db', 'desktop.ini'}
THUMBNAILS = {'thumbnails', 'thumbs', '_thumbs', '_thumbnails'}
FROM_OTHERS, HIDDEN = 'files and folders of other programs', 'hidden files and folders'
LOOSE = 'pictures in no folder of a class'
HEIC = f'HEIC pictures, which need {TO_READ_HEIC}'
# Words in other names of folders of training and of test images.
TRAINING = {'train', 'training', 'trainset'}
TESTING = {'test', 'testing', 'testset', 'val', 'valid', 'validation', 'eval', 'dev'}
NUMBERED = re.compile(r'(fold|split|set|part|batch|cv|run)[ _-]?\d+|(19|20)\d\d', re.IGNORECASE)


def find_pictures(folder: Path) -> tuple[list[Path], Counter[str]]:
    """Returns the sorted pictures in a folder and its subfolders, and what is left out.

    Left out are hidden files, files that do not end like a picture, files that may not be read,
    links that lead nowhere or to folders, and thumbnails of other programs; the second value counts
    them by reason.
    """
    paths, left_out = [], Counter()

    def unreadable(error):
        left_out['folders that may not be read'] += 1

    for where, folders, names in os.walk(folder, onerror=unreadable):
        reasons = {name: _why_not_enter(Path(where, name)) for name in folders}
        left_out.update(filter(None, reasons.values()))
        folders[:] = [name for name in folders if not reasons[name]]
        for name in names:
            reason = _why_not_read(Path(where, name))
            if reason:
                left_out[reason] += 1
            else:
                paths.append(Path(where, name))
    return sorted(paths), left_out


def _why_not_enter(path):
    """The reason to leave out a subfolder; empty: none."""
    if path.name.startswith('.'):
        return HIDDEN
    if path.name.lower() in OF_OTHER_PROGRAMS | THUMBNAILS:
        return FROM_OTHERS
    return 'links to folders' if path.is_symlink() else ''


def _why_not_read(path):
    """The reason to leave out a file; empty: none."""
    if path.name.startswith('.'):
        return HIDDEN
    if path.name.lower() in OF_OTHER_PROGRAMS:
        return FROM_OTHERS
    if path.suffix.lower() not in SUFFIXES:
        if path.suffix.lower() in FORMATS['HEIF']:
            return HEIC
        return f'files of another kind ({path.suffix.lower() or "no ending"})'
    if not path.exists():
        return 'links that lead nowhere'
    return '' if os.access(path, os.R_OK) else 'files that may not be read'


def class_folders(root: Path, is_split: bool = False) -> tuple[list[Path], Counter[str]]:
    """Returns the sorted folders of classes in a folder, and what is left out beside them.

    Raises an error if the folders look like those of splits, or like one level too many.
    ``is_split``: the folder is one side of a split.
    """
    left_out, folders = Counter(), []
    for path in sorted(root.iterdir()):
        if path.name.startswith('.'):
            left_out[HIDDEN] += 1
        elif path.name.lower() in OF_OTHER_PROGRAMS:
            left_out[FROM_OTHERS] += 1
        elif path.is_symlink() and path.resolve() in (root.resolve(), *root.resolve().parents):
            left_out['links to folders'] += 1
        elif path.is_symlink() and not path.exists() and not path.suffix:
            raise InputError(f'{path}: is a link that leads nowhere; restore what it led to, or '
                             'remove it if it is no class.')
        elif not path.is_dir():
            left_out[LOOSE] += path.suffix.lower() in SUFFIXES
        elif not has_boxes(path):
            folders.append(path)
    if not folders and left_out[LOOSE]:
        to_do = ('add a folder per class.' if is_split else
                 f'if {root.name} is a class, set data.root to {root.parent}.')
        raise InputError(f'{root}: holds pictures, but no folder per class; {to_do}')
    left_out.update(_check_level(root, folders))
    return folders, +left_out


def has_boxes(folder):
    """Whether a folder has boxes of parts, or will have them after a search for parts."""
    return any((folder / name).exists() for name in (LOCATIONS, ORIGIN, WORK))


def _check_level(root, folders):
    """Returns what is left out although it looks like classes."""
    training, testing = ([path.name for path in folders if names & set(
        re.findall('[a-z]+', path.name.lower()))] for names in (TRAINING, TESTING))
    if (training and testing and training != testing
            and not any(True for _ in _pictures_directly(root / training[0]))):
        raise InputError(f'{root}: the folders {training[0]} and {testing[0]} look like a split; '
                         f'rename them to train and test and keep data.root, or set data.root to '
                         f'{root / training[0]} to use that folder alone.')
    if not folders or any(True for path in folders for _ in _pictures_directly(path)):
        return {}
    below = [_subfolders(path) for path in folders]
    if len(folders) == 1 and len(below[0]) > 1:
        raise InputError(f'{root}: has a single folder, {folders[0].name}, whose folders '
                         f'{_listed(below[0])} look like classes; set data.root to {folders[0]}.')
    if len(folders) < 2 or len(below[0]) < 2 or any(names != below[0] for names in below):
        return {}
    if all(NUMBERED.fullmatch(path.name) for path in folders):
        raise InputError(f'{root}: each of the folders {_listed([p.name for p in folders])} has '
                         f'the folders {_listed(below[0])}, which look like classes; set data.root '
                         f'to one of them, such as {folders[0]}, or to a CSV file of all pictures.')
    return {f'names of folders that all classes have ({_listed(below[0])})': len(below[0])}


def _pictures_directly(folder) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir()
                    if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError:         # may not be read
        return


def _subfolders(folder):
    """Sorted names of the subfolders with pictures."""
    try:
        return sorted(path.name for path in folder.iterdir()
                      if path.is_dir() and not _why_not_enter(path) and find_pictures(path)[0])
    except OSError:
        return []


def _listed(names):
    return ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')


def described(left_out: Counter[str]) -> str:
    """Says what was left out, for messages."""
    return ', '.join(f'{reason}: {n}' for reason, n in left_out.most_common())
