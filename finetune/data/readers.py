"""Reads the data sets of the catalogue: names, training and test images, annotated parts."""
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

import numpy

from finetune.config.catalogue import ANNOTATIONS, DATA_SETS, PARTS
from finetune.config.settings import Config, Data
from finetune.data.annotation_files import LOCATIONS, read_authors, read_parts
from finetune.data.layout import find_layout, Layout, OF_ALL_KINDS
from finetune.data.records import DataSet
from finetune.errors import InputError

VALIDATION_STEP = 5     # every fifth training image of a class is in the validation split


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
    layout = find_layout(config)
    if not layout.lists.exists():
        needs = ('the folder that has one folder of pictures per class.' if known.upright else
                 'the folder that contains images.txt.')
        raise InputError(f'{layout.lists}: there is no such folder; {_get(layout.lists, known)}set '
                         f'data.root to {needs}')
    data_set = read(layout, settings)
    if settings.split == 'validation':
        data_set = _with_validation_split(data_set)
    return _first_of_classes(data_set, settings.train_per_class)


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
        if (layout.parts / LOCATIONS).exists():
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


def _with_validation_split(data_set):
    """Replaces the test images by held-out training images of each class."""
    is_held_out = (_numbers_in_class(data_set.train) + 1) % VALIDATION_STEP == 0
    if not is_held_out.any():
        raise InputError(f'data.split validation: no class has {VALIDATION_STEP} training images, '
                         'so that none can be held out; use a larger data set.')
    return replace(data_set, train=data_set.train[~is_held_out], test=data_set.train[is_held_out])


def _first_of_classes(data_set, n):
    """Keeps the first n training images of each class; 0: all."""
    if n == 0:
        return data_set
    return replace(data_set, train=data_set.train[_numbers_in_class(data_set.train) < n])


def _numbers_in_class(records):
    """Numbers the images of each class from 0."""
    by_class = numpy.argsort(records.labels, kind='stable')
    counts = numpy.bincount(records.labels)
    numbers = numpy.empty(len(records), int)
    numbers[by_class] = numpy.arange(len(records)) - numpy.repeat(
        numpy.cumsum(counts) - counts, counts)
    return numbers
