"""Checks what an experiment needs before it starts: environment, data set, weights."""
from dataclasses import replace
import hashlib
import importlib.metadata
from pathlib import Path
import platform

import numpy
from packaging.requirements import Requirement
from PIL import Image

from finetune.catalogue import ANNOTATIONS, DATA_SETS
from finetune.checks import gpu, pictures
from finetune.config import is_config, read_config
from finetune.cs_parts import detection
from finetune.data import cropping, data_sets, transforms
from finetune.errors import InputError
from finetune.models import onednn, pretrained
from finetune.models.part_classifier import build_classifier, PartClassifier
from finetune.runs import memory
from finetune.runs.opening import open_device

DISTRIBUTION = 'fisher-vector-layer'    # the name of this project in pyproject.toml

ORIENTATION = 0x0112    # EXIF tag; 1 is upright,
SIDEWAYS = 5            # and from 5 on width and height change places


def check(config_path=None, overrides=()):
    """Prints one line per finding, and how to fix it if necessary.

    Args:
        config_path (str or None): YAML of an experiment; its data and weights are checked, too.
        overrides (list of str): ``section.name=value`` settings that win over the file.

    Returns:
        int: 0 if training can start, else 2.

    """
    findings = list(_environment())
    if config_path is not None:
        findings += _experiment(config_path, overrides)
    for level, text in findings:
        print(f'{level:8s} {text}')
    can_start = all(level != 'error' for level, _ in findings)
    print('Training can start.' if can_start else 'Training cannot start: see the errors above.')
    return 0 if can_start else 2


def _environment():
    yield 'ok', f'Python {platform.python_version()} on {platform.platform()}'
    yield from _packages()
    if onednn.library() is not None:
        yield 'ok', f'{onednn.library().package} computes the CNNs on a CPU'
    yield from gpu.check()


def _packages():
    try:
        requirements = map(Requirement, importlib.metadata.requires(DISTRIBUTION))
    except importlib.metadata.PackageNotFoundError:
        yield 'warning', (f'{DISTRIBUTION} is not installed, so the packages it needs are not '
                          "known; pip install -e '.[finetune]' in the clone")
        return
    for needed in requirements:
        if needed.marker is None or needed.marker.evaluate({'extra': 'finetune'}):
            try:
                yield 'ok', f'{needed.name} {importlib.metadata.version(needed.name)}'
            except importlib.metadata.PackageNotFoundError:
                yield 'error', f'{needed.name} is missing; pip install {needed.name}'


def _experiment(config_path, overrides):
    """Findings about a config up to the first error, as later checks rely on earlier ones."""
    try:
        config = read_config(config_path, overrides)
        yield 'ok', f'{config_path}: all settings are known'
        device = open_device(config.training.gpu)
        if config.training.gpu > 0:
            yield from gpu.check(config.training.gpu)
        yield from _data(config)
        yield from _classifier(config) if config.model.classifier else _weights(config)
        if config.training.joint:
            yield from _memory(config, device)
    except InputError as error:
        yield 'error', str(error)


def _data(config):
    settings = config.data
    if settings.split == 'validation':
        settings = replace(settings, split='')      # the test images must be there, too
    yield from _sources(settings)
    lists, has_boxes = detection.load(replace(config, data=settings))
    if not has_boxes:
        read_config(config.detector.cnn)
        yield 'ok', (f'{data_sets.boxes_folder(settings)}: is not there; parts are found when '
                     f'training starts, by the CNN of {config.detector.cnn}')
    yield from _counts(settings, lists)
    yield from _agreement(settings, lists)
    records = lists.train + lists.test
    if settings.upright:
        yield from pictures.check(lists)
    yield from _images(records, settings)
    if settings.has_parts:
        hidden = len(records) - int(records.visible.any(axis=1).sum())
        share = records.visible.mean()
        yield 'ok', (f'{len(lists.part_names)} parts, {100 * share:.0f} % of them visible; '
                     f'{hidden} images without a visible part')


def _sources(settings):
    source = DATA_SETS[settings.dataset].source
    if source:
        yield 'ok', f'{DATA_SETS[settings.dataset].title} is at {source}'
        kind = data_sets.name_of_kind(settings)
        if kind:
            yield 'ok', f"the authors' folder {kind} is in {ANNOTATIONS}"


def _agreement(settings, lists):
    """Whether a folder of annotations has the classes and the split of the data set's own lists."""
    main = replace(settings, parts='GLOBAL')
    folder, main_folder = data_sets.folder(settings), data_sets.folder(main)
    if folder == main_folder or not (main_folder / 'images.txt').exists():
        return
    images, others = _classes_and_splits(lists), _classes_and_splits(data_sets.load(main))
    differing = [path for path in images if images[path] != others.get(path, images[path])]
    if differing:
        yield 'warning', (f'{len(differing)} images have another class or split in {folder} than '
                          f'in {main_folder}, the first is {"/".join(differing[0])}; use the lists '
                          'of one of them in both')


def _classes_and_splits(lists):
    """By the end of an image's path, which all layouts share."""
    return {record.path.parts[-2:]: (record.label, split)
            for split in ('train', 'test') for record in getattr(lists, split)}


def _counts(settings, lists):
    """Classes, images and parts, compared with the published counts."""
    folder, data_set = data_sets.folder(settings), DATA_SETS[settings.dataset]
    known = data_set.counts
    counts = len(lists.class_names), len(lists.train), len(lists.test)
    text = '{}: {} classes, {} training and {} test images'.format(folder, *counts)
    if lists.n_missing:
        text += f'; {lists.n_missing} listed images do not exist and are left out'
    if lists.n_ignored:
        text += (f'; {lists.n_ignored} other files are ignored' if settings.upright else
                 f'; {lists.n_ignored} lines of part_locs.txt are for other images and ignored')
    if known is None or counts == known[:3]:
        yield 'ok', text
    elif data_set.is_complete:
        yield 'error', (f'{text} instead of {known.n_classes}, {known.n_train} and '
                        f'{known.n_test}; get the complete data set')
    else:
        yield 'warning', (f'{text}, of {known.n_classes}, {known.n_train} and {known.n_test}; '
                          'many of its links are dead, accuracies differ from those on other '
                          'downloads')
    if known and settings.parts == 'GT' and len(lists.part_names) != known.n_parts:
        yield 'error', (f'{folder}: {len(lists.part_names)} parts instead of {known.n_parts}; '
                        'get the complete annotations')


def _images(records, settings):
    """Whether every image exists, one per class can be decoded, and part boxes are inside."""
    missing = [record.path for record in records if not record.path.is_file()]
    if missing:
        yield 'error', f'{len(missing)} images are missing, the first is {missing[0]}; copy them'
        return
    yield 'ok', f'all {len(records)} images are there'
    if not settings.upright:        # else all are read
        samples = {record.label: record for record in reversed(records)}
        for record in samples.values():
            transforms.read_image(record.path)
        yield 'ok', f'one image of each of {len(samples)} classes decoded'
    rotated, protruding, outside = [], [], []
    for record in records:
        size, orientation = _size_and_orientation(record.path)
        if settings.upright:
            size = size[::-1] if orientation >= SIDEWAYS else size
        elif orientation != 1:
            rotated.append(record.image_id)
        if not settings.has_parts:
            continue
        locations = record.locations[record.visible]
        boxes = cropping.part_boxes(record.locations, record.visible, size, settings)
        boxes = boxes[record.visible]
        inside = locations if locations.shape[1] == 2 else boxes
        if ((inside < 0) | (inside > size * (inside.shape[1] // 2))).any():
            protruding.append(record.image_id)
        if ((boxes[:, 2:] <= numpy.maximum(boxes[:, :2], 0)) | (boxes[:, :2] >= size)).any():
            outside.append(record.image_id)
    yield from _summary(rotated, protruding, outside)


def _summary(rotated, protruding, outside):
    if rotated:
        yield 'warning', (f'{len(rotated)} images have a rotation in their EXIF data, which is '
                          f'ignored, the first is image {rotated[0]}; check with visualize parts '
                          'that their parts are annotated in pixels as stored')
    if protruding:
        yield 'warning', (f'{len(protruding)} images have visible parts that reach outside, the '
                          f'first is image {protruding[0]}; their crops are padded with '
                          'replicated edges')
    if outside:
        yield 'error', (f'{len(outside)} images have parts whose crops are empty or wholly '
                        f'outside, the first is image {outside[0]}; correct parts/part_locs.txt')


def _size_and_orientation(path):
    """(height, width) of an image as stored, and its EXIF orientation, from the file's header."""
    try:
        with Image.open(path) as image:
            return (image.height, image.width), image.getexif().get(ORIENTATION, 1)
    except OSError as error:
        raise InputError(f'{path}: is not an image ({error}); copy it again.')


def _classifier(config):
    source = config.model.classifier
    if is_config(source):
        read_config(source)
        yield 'ok', f'{source} trains the classifier to go on from when it is needed'
    else:
        pretrained.load_classifier(build_classifier(config, detection.load(config)[0]), source)
        yield 'ok', f'{source}: is a classifier with these settings'


def _weights(config):
    source = config.model.pretrained
    if not source:
        yield 'warning', 'model.pretrained is empty: the networks start from random weights'
    elif is_config(source):
        read_config(source)
        yield 'ok', f'{source} trains the initial weights when they are needed'
    else:
        model = PartClassifier(config.model, n_classes=2, n_parts=0)
        pretrained.load_backbones(model, source)
        yield 'ok', (f'{source}: weights fit {config.model.architecture}, SHA-256 '
                     f'{hashlib.sha256(Path(source).read_bytes()).hexdigest()}')


def _memory(config, device):
    """Whether a training step fits, by the image with the most visible parts."""
    free, (lists, _) = memory.free(device), detection.load(config)
    n_parts = 0
    if config.data.has_parts:
        visible = lists.train.visible
        n_parts = (visible.shape[1] if config.data.missing == 'centre'
                   else int(visible.sum(axis=1).max()))
    per_image = memory.of_image(config, n_parts)
    if free is None or per_image is None:
        return
    weights = memory.of_weights(config, build_classifier(config, lists).count_params())
    n_images = config.training.batch_size
    needed = n_images * per_image + weights
    text = (f'a training step of {n_images} images needs up to {needed / 1e9:.1f} GB, '
            f'{free / 1e9:.1f} GB are free')
    if needed <= free:
        yield 'ok', text
    else:
        fits = max(int((free - weights) / per_image), 0)
        yield 'warning', f'{text}, enough for {fits}; {memory.advice(config)}'
