"""The data sets an experiment can name: what is known of them, and how they are read."""
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from finetune.data import digits, minibirds, parts
from finetune.data.birdsnap import read_birdsnap
from finetune.data.file_lists import read_authors, read_cub
from finetune.errors import InputError


class Facts(NamedTuple):
    """What is known of a data set, as published with it."""

    n_classes: int
    n_train: int
    n_test: int
    n_parts: int
    source: str
    is_complete: bool = True        # whether everybody has all of its images


FACTS = {
    'cub200': Facts(200, 5994, 5794, 15, 'https://www.vision.caltech.edu/datasets/cub_200_2011/'),
    'nabirds': Facts(555, 23929, 24633, 11, 'https://dl.allaboutbirds.org/nabirds'),
    'birdsnap': Facts(500, 47386, 2443, 17, 'https://thomasberg.org', is_complete=False),
    'digits': Facts(10, 1198, 599, 4, 'scikit-learn'),
}

TUNING_STEP = 5     # one of so many training images is held out for tuning

# Where the authors of the paper have the annotations of a kind of parts, below a data set's folder.
ANNOTATIONS = {'CS_PARTS': ['CS_parts'], 'GT2': ['GT_regrouped', 'ORIGINAL', 'RESIZED'],
               'GT': ['ORIGINAL', 'RESIZED'], 'GLOBAL': ['ORIGINAL', 'RESIZED']}


def load(settings):
    """Records of a data set; the embedded ones are drawn on first use.

    Args:
        settings (finetune.config.Data): Which one, where it is, and which parts.

    Returns:
        finetune.data.file_lists.FileLists: Its training and test images.

    Raises:
        finetune.errors.InputError: For whatever is wrong with its files.

    """
    root = folder(settings)
    if settings.dataset == 'minibirds':
        minibirds.prepare(root, pretraining=settings.split == 'pretraining', **settings.drawing)
    elif settings.dataset == 'digits':
        digits.prepare(root, **settings.drawing)
    lists = _with_parts(_read(root, settings.dataset), root, settings.parts)
    return _for_tuning(lists) if settings.split == 'tuning' else lists


def folder(settings):
    """Where the data set is: ``data.root``, or ``data/<data set>``, or an annotation folder there.
    """
    name = settings.dataset + ('_pretraining' if settings.split == 'pretraining' else '')
    root = Path(settings.root or Path('data') / name)
    if (root / 'images.txt').exists():
        return root
    return next((root / name for name in ANNOTATIONS[settings.parts] if (root / name).is_dir()),
                root)


def _read(root, dataset):
    """Reads a data set in the layout that its files show."""
    if not root.is_dir():
        source = f'get it from {FACTS[dataset].source}' if dataset in FACTS else 'get it'
        raise InputError(f'{root}: there is no such folder; {source} and put it there, or set '
                         'data.root to the folder that has images.txt in it.')
    if (root / 'tr_ID.txt').exists():
        return read_authors(root)
    if (root / 'species.txt').exists():
        return read_birdsnap(root)
    return read_cub(root, unused_classes=dataset == 'nabirds')


def _with_parts(lists, root, kind):
    """The data set with the kind of parts asked for: points, groups of points, or boxes."""
    if kind == 'GLOBAL':
        return lists
    path = root / 'parts' / 'part_locs.txt'
    if not lists.part_names:
        raise InputError(f'{path}: there is no such file; set data.root to a folder with part '
                         'annotations, or data.parts to GLOBAL.')
    has_boxes = lists.train[0].locations.shape[1] == 4
    if has_boxes != (kind == 'CS_PARTS'):
        has, needs = ('boxes', 'points') if has_boxes else ('points', 'boxes')
        raise InputError(f'{path}: has {has}, but data.parts {kind} needs {needs}; set data.root '
                         f'to the folder whose annotations are {needs}.')
    if kind == 'GT2' and lists.part_names != list(parts.GROUPS):
        return _grouped(lists, root)
    return lists


def _for_tuning(lists):
    """Every fifth training image of each class in place of the test images: nobody sees those."""
    n_seen = [0] * len(lists.class_names)
    train, test = [], []
    for record in lists.train:
        n_seen[record.label] += 1
        (test if n_seen[record.label] % TUNING_STEP == 0 else train).append(record)
    if not test:
        raise InputError(f'data.split tuning: no class has {TUNING_STEP} training images, so '
                         'there is none to spare; use a larger data set.')
    return replace(lists, train=train, test=test)


def _grouped(lists, root):
    unknown = [name for name in lists.part_names if parts.group_of(name) is None]
    if unknown:
        raise InputError(f'{root}: data.parts GT2 groups the parts of birds, but there is '
                         f'{unknown[0]!r}; use GT.')
    names = [group for group in parts.GROUPS
             if group in map(parts.group_of, lists.part_names)]

    def regroup(records):
        return [record._replace(**dict(zip(('locations', 'visible'), parts.group_points(
            record.locations, record.visible, lists.part_names)))) for record in records]

    return replace(lists, part_names=names, train=regroup(lists.train), test=regroup(lists.test))
