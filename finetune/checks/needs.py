"""Checks what a run needs: weights, memory, places to write to, and other runs."""
import hashlib
import os

from finetune.config.config import is_config, read_config
from finetune.data import readers
from finetune.errors import InputError
from finetune.experiments import prerequisites
from finetune.models.part_classifier import build_classifier, PartClassifier
from finetune.parts import kind
from finetune.parts.cs_parts import detector
from finetune.training import memory
from finetune.training.conv_maps import size_of
from finetune.weights import packaged, pretrained


def weights(config):
    """Findings, levels and texts, about the weights of the CNNs that a run starts from.

    Args:
        config (finetune.config.settings.Config): Settings of the run.

    """
    if not config.model.checkpoint:
        yield from _cnn(config)
    if kind.parts_of(config).to_be_found and not is_config(config.detector.cnn):
        path = packaged.path_of(config.detector.cnn, config.project, 'detector.cnn')
        detector.load_cnn(detector.architecture_of(config), path)
        yield 'ok', f'{path}: weights fit the CNN that finds parts'


def classifier(config, data_set):
    """Findings about the classifier that a run starts from, whose layers depend on the data set.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        data_set (finetune.data.records.DataSet): Its data set, with classes and parts.

    """
    source = config.model.checkpoint
    if is_config(source):
        read_config(source, project=config.project)
        yield 'ok', f'{source} trains the initial classifier when it is needed'
    elif source:
        pretrained.load_classifier(build_classifier(config, data_set),
                                   config.project.path(source))
        yield 'ok', f'{source}: is a classifier that fits these settings'


def _cnn(config):
    source = config.model.pretrained
    model = PartClassifier(config.model, n_classes=2, n_parts=0)    # packages that it needs
    if not source:
        yield 'warning', 'model.pretrained is empty: the networks start from random weights'
    elif is_config(source):
        read_config(source, project=config.project)
        yield 'ok', f'{source} trains the initial weights when they are needed'
    else:
        path = packaged.path_of(source, config.project)
        pretrained.load_backbones(model, path)
        yield 'ok', (f'{path}: weights fit {config.model.architecture}, SHA-256 '
                     f'{hashlib.sha256(path.read_bytes()).hexdigest()}')


def step_memory(config, data_set, device):
    """Whether a training step fits into memory, assuming the image with the most parts."""
    if not config.training.is_joint:
        return
    free, visible = memory.free(device), data_set.train.visible
    n_parts = (visible.shape[1] if config.data.missing == 'centre'
               else int(visible.sum(axis=1).max()))
    per_image = memory.of_image(config, n_parts)
    if free is None or per_image is None:
        return
    of_weights = memory.of_weights(config, build_classifier(config, data_set).count_params())
    n_images = config.training.batch_size
    needed = n_images * per_image + of_weights
    text = (f'a training step of {n_images} images needs up to {size_of(needed)}, '
            f'{size_of(free)} are free')
    if needed <= free:
        yield 'ok', text
    else:
        fits = max(int((free - of_weights) / per_image), 0)
        yield 'warning', f'{text}, enough for a batch of {fits}; {memory.advice(config)}'


def places(config, folder):
    """Whether results, and parts that have yet to be found, can be written.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        folder (finetune.runs.folder.RunFolder): Its folder, which need not exist.

    """
    parts = kind.parts_of(config)
    for what, path in [('results', folder.path),
                       *([('found parts', parts.folder)] if parts.to_be_found else [])]:
        there = next((above for above in (path, *path.parents) if above.exists()), path)
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            yield 'error', (f'{path}: {what} cannot be written there; make {there} a folder that '
                            'can be written to, or give another folder with --output')


def runs(config, device=None):
    """Findings about the runs that a run needs, and those that these need.

    Settings, data, weights, boxes and, with a device, memory are checked as for the run itself;
    the first problem is an :class:`~finetune.errors.InputError`.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        device (chainer.backend.Device or None): Device that trains.

    """
    for required in prerequisites.of(config):
        yield from _required(required, device)


def _required(required, device):
    config, folder = required.config, required.folder
    folder.check(config)
    if folder.is_finished:
        data_set = prerequisites.data_of(config)
        if data_set is not None:
            folder.check_data(data_set)
        yield 'ok', f'{required.path}: is finished, in {folder} ({required.stage})'
        return
    yield 'ok', f'{required.path}: runs first, in {folder} ({required.stage})'
    try:
        if not readers.is_to_be_drawn(config):
            data_set = kind.load(config, provisional=True)
            for level, text in [*weights(config), *classifier(config, data_set),
                                *(step_memory(config, data_set, device) if device else ())]:
                yield level, f'{required.path}: {text}'
        yield from runs(config, device)
    except InputError as error:
        raise InputError(f'{error} ({required.path} needs it.)')
