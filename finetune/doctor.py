"""Checks what an experiment needs, before it starts: environment, data set, weights."""
import importlib.metadata
import platform

import chainer
import numpy
from PIL import Image

from finetune import config as configuration
from finetune.data import data_sets, transforms
from finetune.data import parts as part_boxes
from finetune.errors import InputError
from finetune.models import pretrained
from finetune.models.part_classifier import PartClassifier
from finetune.training import trainer

PACKAGES = ('chainer', 'chainercv', 'numpy', 'scipy', 'scikit-learn', 'pyyaml', 'matplotlib',
            'Pillow')

# (classes, training images, test images) as published with the data set
KNOWN_COUNTS = {'cub200': (200, 5994, 5794), 'digits': (10, 1198, 599)}


def check(config_path=None, overrides=()):
    """Prints one line per finding, each with what to do about it.

    Args:
        config_path (str or None): YAML of an experiment whose data and weights to check, too.
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
    for package in PACKAGES:
        try:
            yield 'ok', f'{package} {importlib.metadata.version(package)}'
        except importlib.metadata.PackageNotFoundError:
            yield 'error', f'{package} is missing; start through ./train.sh, which installs it'
    if chainer.backends.cuda.available:
        cupy = chainer.backends.cuda.cupy
        name = cupy.cuda.runtime.getDeviceProperties(0)['name'].decode()
        yield 'ok', f'CuPy {cupy.__version__}, GPU 0 is {name}'
        if not chainer.backends.cuda.cudnn_enabled:
            yield 'warning', 'no cuDNN: convolutions are slower; CuPy 13.6 with cuDNN 8.9 has it'
    else:
        yield 'ok', 'no GPU in use; with one, install the extra cuda12 or cuda13 and give --gpu 0'


def _experiment(config_path, overrides):
    """Findings about a config; the first error ends them, as later checks build on it."""
    try:
        config = configuration.load(config_path, overrides)
        yield 'ok', f'{config_path}: all settings are known'
        trainer.open_device(config.training.gpu)
        yield from _data(config)
        yield from _weights(config)
    except InputError as error:
        yield 'error', str(error)


def _data(config):
    lists = data_sets.load(config.data)
    folder = data_sets.folder(config.data)
    counts = len(lists.class_names), len(lists.train), len(lists.test)
    expected = KNOWN_COUNTS.get(config.data.dataset)
    text = '{}: {} classes, {} training and {} test images'.format(folder, *counts)
    if expected and counts != expected:
        yield 'error', f'{text} instead of {expected}; get the complete data set'
    else:
        yield 'ok', text
    records = lists.train + lists.test
    yield from _images(records, config.data.part_ratio)
    hidden = sum(not record.visible.any() for record in records)
    share = numpy.mean([record.visible.mean() for record in records])
    yield 'ok', (f'{len(lists.part_names)} parts, {100 * share:.0f} % of them visible; '
                 f'{hidden} images without a visible part')


def _images(records, ratio):
    """Every image is there; one per class is decoded; part points lie inside their images."""
    missing = [record.path for record in records if not record.path.is_file()]
    if missing:
        yield 'error', f'{len(missing)} images are missing, the first is {missing[0]}; copy them'
        return
    yield 'ok', f'all {len(records)} images are there'
    first = {record.label: record for record in reversed(records)}
    for record in first.values():
        transforms.read_image(record.path)
    yield 'ok', f'one image of each of {len(first)} classes decoded'
    outside, beside = [], []
    for record in records:
        height, width = _image_size(record.path)
        points = record.points[record.visible]
        if ((points < 0) | (points > (height, width))).any():
            outside.append(record.image_id)
        boxes = part_boxes.point_boxes(points, record.visible[record.visible], (height, width),
                                       ratio)
        if ((boxes[:, 2:] <= 0) | (boxes[:, :2] >= (height, width))).any():
            beside.append(record.image_id)
    if outside:
        yield 'warning', (f'{len(outside)} images have visible parts outside of them, the first is '
                          f'image {outside[0]}; their crops are cut from replicated edges')
    if beside:
        yield 'error', (f'{len(beside)} images have parts so far outside that their crops are '
                        f'empty, the first is image {beside[0]}; correct parts/part_locs.txt')


def _image_size(path):
    """Height and width; only the head of the file is read."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise InputError(f'{path}: is not an image ({error}); copy it again.')


def _weights(config):
    source = config.model.pretrained
    if not source:
        yield 'warning', 'model.pretrained is empty: the networks start from random weights'
    elif source.endswith(('.yml', '.yaml')):
        configuration.load(source)
        yield 'ok', f'{source} makes the pre-trained weights when they are needed'
    else:
        model = PartClassifier(config.model, n_classes=2, n_parts=0)
        pretrained.load_backbones(model, source)
        yield 'ok', f'{source}: weights fit {config.model.architecture}'
