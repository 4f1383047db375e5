"""Reads the data sets of the catalogue: names, training and test images, annotated parts."""
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import numpy

from finetune.config.catalogue import ANNOTATIONS, DATA_SETS, PARTS
from finetune.config.settings import Config, Data
from finetune.data import splits
from finetune.data.annotation_files import LOCATIONS, read_authors, read_parts
from finetune.data.contents import identify
from finetune.data.layout import find_layout, Layout, OF_ALL_KINDS, ORIGIN
from finetune.data.records import DataSet, Records
from finetune.errors import InputError
from finetune.names import counted


def load(config: Config) -> DataSet:
    """Reads the data set of an experiment; minibirds, digits and animals are created on first use.

    Parts are as annotated; :func:`finetune.parts.kind.load` converts them into the experiment's
    kind of parts.
    """
    settings, known = config.data, DATA_SETS[config.data.dataset]
    if known.prepare:
        options = {'pretraining': True} if settings.split == 'pretraining' else {}
        archive = [config.project.path(known.archive)] if known.archive else []
        resolve_name(known.prepare)(find_layout(config).root, *archive, **settings.drawing,
                                    **options)
    require(config)
    data_set = read(find_layout(config), settings)
    if settings.split == 'validation':
        data_set = splits.hold_out(data_set, folds_of(data_set.train, settings) == settings.fold)
    return splits.first_of_classes(data_set, settings.train_per_class)


def require(config: Config) -> None:
    """Raises an error if the data set has no folder; those that are drawn need none."""
    layout, known = find_layout(config), DATA_SETS[config.data.dataset]
    if not known.prepare and not layout.lists.exists():
        needs = ('the folder that has one folder of pictures per class.' if known.upright else
                 'the folder that contains images.txt. docs/data.md says which files.')
        raise InputError(f'{layout.lists}: there is no such folder; {_get(layout.lists, known)}set '
                         f'data.root to {needs}')


def folds_of(train: Records, settings: Data, n_folds: int = splits.N_FOLDS) -> numpy.ndarray:
    """Numbers the folds (N,) in which training images are held out, as for validation.

    An image that is in no fold has -1: the only image of its class need not be in one, and without
    folds no image is.
    """
    if n_folds == 0:
        return numpy.full(len(train), -1)
    if 'split_seed' not in DATA_SETS[settings.dataset].settings:
        return splits.every_nth(train, n_folds)
    return splits.balanced_folds(train.image_ids, train.labels, identify(train.paths), train.groups,
                                 n_folds, f'validation {settings.split_seed}')


def describe(config: Config, data_set: DataSet) -> Iterator[str]:
    """Says what was found: numbers of classes and images, then what was left out, and why."""
    folder, n_classes = find_layout(config).parts, len(data_set.class_names)
    yield (f'{folder}: {counted(n_classes, "class", "classes")}, {len(data_set.train)} training '
           f'and {counted(len(data_set.test), "test image", "test images")}')
    for reason, n in data_set.left_out.most_common():
        yield f'{folder}: left out: {reason}: {n}'
    divided = sorted({*data_set.train.groups} & {*data_set.test.groups} - {''})
    if divided:
        what = (f'{len(divided)} groups, such as {divided[0]}, have' if len(divided) > 1 else
                f'group {divided[0]} has')
        yield (f'{folder}: {what} training and test images, so that the test accuracy may be too '
               'high; give all images of a group the same split')
    untested = set(range(n_classes)) - set(data_set.test.labels.tolist())
    if untested:
        name = data_set.class_names[min(untested)]
        yield (f'{folder}: {len(untested)} classes have no test image, such as {name}'
               if len(untested) > 1 else f'{folder}: class {name} has no test image')


def is_to_be_drawn(config: Config) -> bool:
    """Whether reading the data set generates it first."""
    return bool(DATA_SETS[config.data.dataset].prepare) and not find_layout(config).root.exists()


def read(layout: Layout, settings: Data) -> DataSet:
    """Reads the annotation files, without applying the settings for splits."""
    known = DATA_SETS[settings.dataset]
    try:
        if (layout.lists / 'tr_ID.txt').exists():
            data_set = read_authors(layout.lists, layout.image_folder)
        else:
            options = {name: getattr(settings, name) for name in known.settings}
            data_set = resolve_name(known.read)(layout.lists, **options)
        if layout.parts == layout.lists:
            return data_set
        is_found = (layout.parts / ORIGIN).exists()     # read by finetune.parts.found
        if (layout.parts / LOCATIONS).exists() and not is_found:
            return read_parts(data_set, layout.parts)
    except FileNotFoundError as error:
        path = Path(error.filename)
        raise InputError(f'{path}: there is no such file; {_get(path, known)}set data.root to '
                         'the folder of a complete data set.')
    return data_set.without_parts()


def _get(path, known):
    """Says in a message where to get a missing file, if that is known."""
    folders = {*OF_ALL_KINDS, *(kind.folder for kind in PARTS.values())}
    source = ANNOTATIONS if set(path.parts) & folders else known.source
    return f'get it from {source}, or ' if source else ''
