"""Checks the prerequisites of an experiment: environment, data set, weights."""
from dataclasses import replace
import importlib.metadata
import platform

import numpy
from packaging.requirements import Requirement

from finetune.checks import gpu, needs, picture_files
from finetune.compute import onednn
from finetune.config.catalogue import ANNOTATIONS, DATA_SETS
from finetune.config.config import read_config
from finetune.config.project import HERE
from finetune.data import cropping, pictures, readers
from finetune.data.layout import find_layout, folder_of_kind
from finetune.errors import InputError
from finetune.names import counted, shown
from finetune.parts import kind
from finetune.runs.folds import folder_of
from finetune.runs.opening import open_device

DISTRIBUTION = 'fisher-vector-layer'    # the name of this project in pyproject.toml

HAVE = 'image has', 'images have'
SIDEWAYS = 5    # from this EXIF orientation, width and height are swapped


def check(config_path=None, overrides=(), project=HERE):
    """Prints one line per finding, with a remedy if necessary.

    Args:
        config_path (str or None): YAML of an experiment, whose data and weights are also checked.
        overrides (list of str): ``section.name=value`` settings that win over the file.
        project (finetune.config.project.Project): What paths are relative to.

    Returns:
        int: 0 if training can start, else 2.

    """
    findings = list(_environment())
    if config_path is not None:
        findings += _experiment(config_path, overrides, project)
    for level, text in findings:
        print(f'{level:8s} {shown(text)}')
    can_start = all(level != 'error' for level, _ in findings)
    print('Training can start.' if can_start else 'Training cannot start: see the errors above.')
    return 0 if can_start else 2


def _environment():
    yield 'ok', f'Python {platform.python_version()} on {platform.platform()}'
    yield from _packages()
    if onednn.library() is not None:
        yield 'ok', f'{onednn.library().package} computes all CNNs but small_cnn on the CPU'
    yield from gpu.check()


def _packages():
    try:
        requirements = map(Requirement, importlib.metadata.requires(DISTRIBUTION))
    except importlib.metadata.PackageNotFoundError:
        yield 'warning', (f'{DISTRIBUTION} is not installed, so its requirements are unknown; pip '
                          "install -e '.[finetune]' in the clone")
        return
    for needed in requirements:
        if needed.marker is None or needed.marker.evaluate({'extra': 'finetune'}):
            try:
                yield 'ok', f'{needed.name} {importlib.metadata.version(needed.name)}'
            except importlib.metadata.PackageNotFoundError:
                yield 'error', f'{needed.name} is missing; pip install {needed.name}'


def _experiment(config_path, overrides, project):
    """Findings about a config: its settings; then data and what depends on them; then weights."""
    try:
        config = read_config(config_path, overrides, project)
        yield 'ok', f'{config_path}: all settings are known'
        device, folder = open_device(config.training.gpu), folder_of(config_path, config)
    except InputError as error:
        yield 'error', str(error)
        return
    if config.training.gpu > 0:
        yield from gpu.check(config.training.gpu)
    yield from _until_error(_of_data(config, device, folder))
    yield from _until_error(needs.weights(config))


def _until_error(findings):
    """Findings up to the first error that is raised: later ones rely on earlier ones."""
    try:
        yield from findings
    except InputError as error:
        yield 'error', str(error)


def _of_data(config, device, folder):
    yield from _sources(config.data)
    data_set = readers.load(config)
    try:
        data_set = kind.parts_of(config).provisional(data_set)
    except InputError as error:
        if not config.data.has_parts:
            raise
        yield 'error', str(error)
        whole = replace(config, data=replace(config.data, parts='GLOBAL'))
        whole.project = config.project
        yield from _data(whole, kind.parts_of(whole).provisional(data_set))
        return
    yield from _data(config, data_set)
    yield from needs.classifier(config, data_set)
    yield from needs.step_memory(config, data_set, device)
    yield from needs.places(config, folder)
    yield from needs.runs(config, device)


def _data(config, data_set):
    settings, layout, parts = config.data, find_layout(config), data_set.parts
    if parts.to_be_found:
        yield 'ok', (f'{parts.folder}: does not exist; training starts by finding parts with the '
                     f'CNN of {config.detector.cnn}')
    yield from _counts(config, data_set)
    yield from _agreement(settings, layout, data_set)
    records = data_set.train + data_set.test
    if settings.upright:
        yield from picture_files.check(data_set)
    yield from _images(records, parts, settings)
    if settings.has_parts:
        hidden = len(records) - int(records.visible.any(axis=1).sum())
        share = records.visible.mean()
        yield 'ok', (f'{len(data_set.part_names)} parts, {100 * share:.0f} % of them visible; '
                     f'{counted(hidden, "image", "images")} without visible parts')


def _sources(settings):
    source = DATA_SETS[settings.dataset].source
    if source:
        yield 'ok', f'{DATA_SETS[settings.dataset].title} comes from {source}'
        folder = folder_of_kind(settings)
        if folder:
            yield 'ok', f"the authors' folder {folder} is in {ANNOTATIONS}"


def _agreement(settings, layout, data_set):
    """Compares classes and split of a folder of annotations with the data set's own lists."""
    if layout.lists == layout.main or not (layout.main / 'images.txt').exists():
        return
    main = readers.read(layout._replace(lists=layout.main, parts=layout.main), settings)
    images, others = _classes_and_splits(data_set), _classes_and_splits(main)
    differing = [path for path in images if images[path] != others.get(path, images[path])]
    if differing:
        yield 'warning', (f'{counted(len(differing), "image differs", "images differ")} in class '
                          f'or split between {layout.lists} and {layout.main}, the first is '
                          f'{"/".join(differing[0])}; use the same lists in both')


def _classes_and_splits(data_set):
    """Class and split by the end of the image's path, which all layouts share."""
    return {record.path.parts[-2:]: (record.label, split)
            for split in ('train', 'test') for record in getattr(data_set, split)}


def _counts(config, data_set):
    """Compares the numbers of classes, images and parts with the published ones."""
    settings, folder = config.data, find_layout(config).parts
    known = None if settings.split else DATA_SETS[settings.dataset].counts
    counts = len(data_set.class_names), len(data_set.train), len(data_set.test)
    text, *others = readers.describe(config, data_set)
    if known is None or counts == known[:3]:
        yield 'ok', text
    elif DATA_SETS[settings.dataset].is_complete:
        yield 'error', (f'{text} instead of {known.n_classes}, {known.n_train} and '
                        f'{known.n_test}; get the complete data set')
    else:
        yield 'warning', (f'{text}, of {known.n_classes}, {known.n_train} and {known.n_test}; '
                          'many of its links are dead, so accuracies on other downloads differ')
    for other in others:
        yield 'warning', other
    n_parts = known and data_set.parts.n_published(known)
    if n_parts not in (None, len(data_set.part_names)):
        yield 'error', (f'{folder}: {len(data_set.part_names)} parts instead of {n_parts}; get the '
                        'complete annotations')


def _images(records, parts, settings):
    """Checks that images exist, that one per class can be decoded, and that boxes are inside."""
    missing = [record.path for record in records if not record.path.is_file()]
    if missing:
        yield 'error', (f'{counted(len(missing), "image is", "images are")} missing, the first is '
                        f'{missing[0]}; copy what is missing')
        return
    yield 'ok', f'all {len(records)} images exist'
    if not settings.upright:        # otherwise picture_files.check reads all images
        samples = {record.label: record for record in reversed(records)}
        for record in samples.values():
            pictures.read_image(record.path)
        yield 'ok', f'one image of each of {len(samples)} classes decoded'
    rotated, protruding, outside, oversized = [], [], [], []
    for record in records:
        size, orientation = pictures.size_and_orientation(record.path)
        if settings.upright:
            size = size[::-1] if orientation >= SIDEWAYS else size
        elif orientation != 1:
            rotated.append(record.image_id)
        if not settings.has_parts:
            continue
        locations = record.locations[record.visible]
        boxes = parts.boxes(record.locations, record.visible, size)
        boxes = boxes[record.visible]
        inside = locations if locations.shape[1] == 2 else boxes
        if ((inside < 0) | (inside > size * (inside.shape[1] // 2))).any():
            protruding.append(record.image_id)
        if ((boxes[:, 2:] <= numpy.maximum(boxes[:, :2], 0)) | (boxes[:, :2] >= size)).any():
            outside.append(record.image_id)
        if cropping.is_oversized(boxes, size).any():
            oversized.append(record.image_id)
    yield from _summary(rotated, protruding, outside, oversized)


def _summary(rotated, protruding, outside, oversized):
    if rotated:
        yield 'warning', (f'{counted(len(rotated), *HAVE)} an EXIF rotation, which is ignored, the '
                          f'first is image {rotated[0]}; check with visualize parts that their '
                          'parts are annotated in pixels as stored')
    if protruding:
        yield 'warning', (f'{counted(len(protruding), *HAVE)} visible parts that extend beyond the '
                          f'image, the first is image {protruding[0]}; their crops are padded with '
                          'replicated edges')
    if outside:
        yield 'error', (f'{counted(len(outside), *HAVE)} parts whose crops are empty or entirely '
                        f'outside, the first is image {outside[0]}; correct parts/part_locs.txt')
    if oversized:
        yield 'error', (f'{counted(len(oversized), *HAVE)} parts whose crops are far larger than '
                        f'the image, the first is image {oversized[0]}; correct '
                        'parts/part_locs.txt')
