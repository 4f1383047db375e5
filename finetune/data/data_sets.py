"""How the data sets of the catalogue are read."""
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

from finetune.catalogue import DATA_SETS
from finetune.data import cropping
from finetune.data.file_lists import read_authors
from finetune.errors import InputError

VALIDATION_STEP = 5     # every fifth training image of a class is in the validation split

# The authors' folders of annotations by kind of parts, below a data set's folder.
ANNOTATIONS = {'CS_PARTS': ['CS_parts'], 'GT2': ['GT_regrouped', 'ORIGINAL', 'RESIZED'],
               'GT': ['ORIGINAL', 'RESIZED'], 'GLOBAL': ['ORIGINAL', 'RESIZED']}


def load(settings):
    """Reads a data set; minibirds and digits are drawn on first use.

    Args:
        settings (finetune.config.Data): Its name, folder and kind of parts.

    Returns:
        finetune.data.file_lists.FileLists: Records of its training and test images.

    Raises:
        finetune.errors.InputError: If its files are missing or wrong.

    """
    root, data_set = folder(settings), DATA_SETS[settings.dataset]
    if data_set.prepare:
        options = {'pretraining': True} if settings.split == 'pretraining' else {}
        resolve_name(data_set.prepare)(root, **settings.drawing, **options)
    if not root.is_dir():
        source = f'get it from {data_set.source}' if data_set.source else 'get it'
        raise InputError(f'{root}: there is no such folder; {source} and put it there, or set '
                         'data.root to the folder that has images.txt in it.')
    in_authors_layout = (root / 'tr_ID.txt').exists()
    read = read_authors if in_authors_layout else resolve_name(data_set.read)
    lists = _with_parts(read(root), root, settings)
    return _with_validation_split(lists) if settings.split == 'validation' else lists


def folder(settings):
    """Folder of a data set: ``data.root`` or ``data/<data set>``, or its annotation folder."""
    name = settings.dataset + ('_pretraining' if settings.split == 'pretraining' else '')
    root = Path(settings.root or Path('data') / name)
    if (root / 'images.txt').exists():
        return root
    paths = (root / annotations for annotations in ANNOTATIONS[settings.parts])
    return next((path for path in paths if path.is_dir()), root)


def _with_parts(lists, root, settings):
    """The data set with the requested kind of parts: points, groups of points, or boxes."""
    if not settings.has_parts:
        return lists
    kind, path = settings.parts, root / 'parts' / 'part_locs.txt'
    if not lists.part_names:
        raise InputError(f'{path}: there is no such file; set data.root to a folder with part '
                         'annotations, or data.parts to GLOBAL.')
    has_boxes = lists.train[0].locations.shape[1] == 4
    if has_boxes != (kind == 'CS_PARTS'):
        has, needs = ('boxes', 'points') if has_boxes else ('points', 'boxes')
        raise InputError(f'{path}: has {has}, but data.parts {kind} needs {needs}; set data.root '
                         f'to the folder whose annotations are {needs}.')
    if kind == 'GT2' and lists.part_names != list(cropping.GROUPS):
        return _grouped(lists, root)
    return lists


def _with_validation_split(lists):
    """Training images of each class in place of the test images, which stay unseen."""
    n_seen = [0] * len(lists.class_names)
    train, validation = [], []
    for record in lists.train:
        n_seen[record.label] += 1
        is_held_out = n_seen[record.label] % VALIDATION_STEP == 0
        (validation if is_held_out else train).append(record)
    if not validation:
        raise InputError(f'data.split validation: no class has {VALIDATION_STEP} training images, '
                         'so there is none to spare; use a larger data set.')
    return replace(lists, train=train, test=validation)


def _grouped(lists, root):
    groups = list(map(cropping.group_of, lists.part_names))
    for name, group in zip(lists.part_names, groups):
        if group is None:
            raise InputError(f'{root}: data.parts GT2 groups the parts of birds, but there is '
                             f'{name!r}; use GT.')

    def regroup(record):
        locations, visible = cropping.group_points(
            record.locations, record.visible, lists.part_names)
        return record._replace(locations=locations, visible=visible)

    return replace(lists, part_names=[group for group in cropping.GROUPS if group in groups],
                   train=list(map(regroup, lists.train)), test=list(map(regroup, lists.test)))
