"""How the data sets of the catalogue are read."""
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

import numpy

from finetune.config.catalogue import ANNOTATIONS, DATA_SETS
from finetune.config.project import HERE
from finetune.data import cropping
from finetune.data.annotation_files import LOCATIONS, N_BOX_COLUMNS, read_authors, with_parts
from finetune.data.lines import n_columns
from finetune.errors import InputError

VALIDATION_STEP = 5     # every fifth training image of a class is in the validation split

# The authors' folders of annotations below a data set's folder: by kind of parts, and of all kinds.
# That of CS_PARTS is a setting.
GROUPED, OF_ALL_KINDS = 'GT_regrouped', ('ORIGINAL', 'RESIZED')


def located(config):
    """Settings of a data set with its folder as the working directory sees it."""
    return replace(config.data, root=str(config.project.path(_root(config.data))))


def load(settings, project=HERE):
    """Reads a data set; minibirds and digits are drawn on first use.

    Args:
        settings (finetune.config.settings.Data): Its name, folder and kind of parts.
        project (finetune.config.project.Project): What an archive of the data set is below.

    Returns:
        finetune.data.records.DataSet: Records of its training and test images.

    Raises:
        finetune.errors.InputError: If its files are missing or wrong.

    """
    known = DATA_SETS[settings.dataset]
    if known.prepare:
        options = {'pretraining': True} if settings.split == 'pretraining' else {}
        archive = [project.path(known.archive)] if known.archive else []
        resolve_name(known.prepare)(_root(settings), *archive, **settings.drawing, **options)
    root = folder(settings)
    if not root.exists():
        raise InputError(f'{root}: there is no such folder; {_get(root, known)}set data.root to '
                         + ('the folder that has a folder of pictures for each class.'
                            if known.upright else 'the folder that has images.txt in it.'))
    try:
        data_set = _with_parts(_read(root, known, settings), root, settings)
    except FileNotFoundError as error:
        path = Path(error.filename)
        if settings.parts == 'CS_PARTS' and path == boxes_folder(settings) / LOCATIONS:
            raise InputError(f'{path}: there is no such file; {_find_boxes(settings)}.')
        raise InputError(f'{path}: there is no such file; {_get(path, known)}set data.root to '
                         'the folder of a complete data set.')
    if settings.split == 'validation':
        data_set = _with_validation_split(data_set)
    return _first_of_classes(data_set, settings.train_per_class)


def is_to_be_drawn(settings):
    """Whether reading the data set draws it first."""
    return bool(DATA_SETS[settings.dataset].prepare) and not _root(settings).exists()


def folder(settings):
    """Folder of a data set's annotations: that of its kind of parts if there is one.

    It is below ``data.root`` or ``data/<data set>``, or that folder itself.
    """
    root = _root(settings)
    of_kind = _beside(root) / name_of_kind(settings)
    if name_of_kind(settings) and of_kind.is_dir():
        return of_kind
    return root if DATA_SETS[settings.dataset].prepare else _main_folder(root)


def name_of_kind(settings):
    """Name of the folder for the annotations of a kind of parts, empty if there is none."""
    if settings.parts == 'GT2' and not DATA_SETS[settings.dataset].prepare:
        return GROUPED
    return settings.boxes if settings.parts == 'CS_PARTS' else ''


def boxes_folder(settings):
    """Folder of the boxes of CS-Parts, beside the data set's images."""
    return _beside(_root(settings)) / settings.boxes


def has_boxes(settings):
    """Whether the boxes that ``data.parts CS_PARTS`` needs are there."""
    paths = (path / LOCATIONS for path in (boxes_folder(settings), _main_folder(_root(settings))))
    return any(path.exists() and n_columns(path) == N_BOX_COLUMNS for path in paths)


def _root(settings):
    name = settings.dataset + ('_pretraining' if settings.split == 'pretraining' else '')
    return Path(settings.root or Path('data') / name)


def _beside(root):
    """The folder that further files of a data set are in: its own, or that of its table."""
    return root.parent if root.is_file() else root


def _get(path, known):
    """Where to get a missing file, if that is known, for messages."""
    is_authors = set(path.parts) & {GROUPED, 'CS_parts', *OF_ALL_KINDS}
    source = ANNOTATIONS if is_authors else known.source
    return f'get it from {source}, or ' if source else ''


def _main_folder(root):
    """The folder with the lists of a data set's images: itself, or ORIGINAL or RESIZED in it."""
    paths = (root / name for name in ('', *OF_ALL_KINDS))
    return next((path for path in paths if (path / 'images.txt').exists()), root)


def _read(root, known, settings):
    """The images of a folder with their parts; what it lacks is that of the folder above."""
    kind = name_of_kind(settings)
    is_below = kind and root == _beside(_root(settings)) / kind
    main = _main_folder(_root(settings) if is_below else root.parent)
    if (root / 'tr_ID.txt').exists():
        image_folders = [path / 'images' for path in (root, root.parent, main)]
        return read_authors(root, next(filter(Path.is_dir, image_folders), image_folders[0]))
    if root.name in (GROUPED, settings.boxes) and not (root / 'images.txt').exists():
        return with_parts(_read(main, known, settings), root)
    options = {name: getattr(settings, name) for name in known.settings}
    return resolve_name(known.read)(root, **options)


def _with_parts(data_set, root, settings):
    """The data set with the requested kind of parts: points, groups of points, boxes or tiles."""
    if not settings.has_parts:
        return data_set
    return _first_parts(_with_all_parts(data_set, root, settings), settings.n_parts)


def _first_parts(data_set, n_parts):
    """The same without the other parts, if there are more."""
    if n_parts == 0:
        return data_set
    train, test = (records.with_parts(records.locations[:, :n_parts], records.visible[:, :n_parts])
                   for records in (data_set.train, data_set.test))
    return replace(data_set, part_names=data_set.part_names[:n_parts], train=train, test=test)


def _with_all_parts(data_set, root, settings):
    if settings.parts == 'GRID':
        return _with_tiles(data_set, *settings.grid)
    kind, path = settings.parts, root / LOCATIONS
    needs, others = ('boxes', 'points') if kind == 'CS_PARTS' else ('points', 'boxes')
    to_do = (_find_boxes(settings) if kind == 'CS_PARTS' else
             f'set data.root to a folder whose annotations are {needs}')
    if not data_set.part_names:
        raise InputError(f'{path}: there is no such file; {to_do}, or data.parts to GLOBAL.')
    n_coordinates = data_set.train.locations.shape[2]
    if n_coordinates != (4 if kind == 'CS_PARTS' else 2):
        raise InputError(f'{path}: has {others}, but data.parts {kind} needs {needs}; {to_do}.')
    if kind == 'GT2' and root.name != GROUPED and data_set.part_names != list(cropping.GROUPS):
        return _grouped(data_set, root)
    return data_set


def _with_tiles(data_set, n_rows, n_columns):
    names = [f'tile {row},{column}' for row in range(1, n_rows + 1)
             for column in range(1, n_columns + 1)]
    locations = numpy.zeros((len(names), 4), numpy.float32)     # they depend on the image's size
    visible = numpy.ones(len(names), bool)
    return replace(data_set, part_names=names, train=data_set.train.with_parts(locations, visible),
                   test=data_set.test.with_parts(locations, visible))


def _find_boxes(settings):
    to_do = 'set detector.cnn to the config of a run whose CNN finds parts when training starts'
    if not DATA_SETS[settings.dataset].source:
        return to_do
    return f"{to_do}, or put the authors' folder CS_parts of {ANNOTATIONS} into {_root(settings)}"


def _with_validation_split(data_set):
    """Training images of each class in place of the test images, which stay unseen."""
    is_held_out = (_numbers_in_class(data_set.train) + 1) % VALIDATION_STEP == 0
    if not is_held_out.any():
        raise InputError(f'data.split validation: no class has {VALIDATION_STEP} training images, '
                         'so there is none to spare; use a larger data set.')
    return replace(data_set, train=data_set.train[~is_held_out], test=data_set.train[is_held_out])


def _first_of_classes(data_set, n):
    """The same without the other training images, if there are more."""
    if n == 0:
        return data_set
    return replace(data_set, train=data_set.train[_numbers_in_class(data_set.train) < n])


def _numbers_in_class(records):
    """Number of each image among those of its class: 0, 1, ..."""
    by_class = numpy.argsort(records.labels, kind='stable')
    counts = numpy.bincount(records.labels)
    numbers = numpy.empty(len(records), int)
    numbers[by_class] = numpy.arange(len(records)) - numpy.repeat(
        numpy.cumsum(counts) - counts, counts)
    return numbers


def _grouped(data_set, root):
    groups = list(map(cropping.group_of, data_set.part_names))
    for name, group in zip(data_set.part_names, groups):
        if group is None:
            raise InputError(f'{root}: data.parts GT2 groups the parts of birds, but there is '
                             f'{name!r}; use GT.')

    train, test = (records.with_parts(*cropping.group_points(
        records.locations, records.visible, data_set.part_names))
        for records in (data_set.train, data_set.test))
    return replace(data_set, part_names=[group for group in cropping.GROUPS if group in groups],
                   train=train, test=test)
