"""Opens devices and the models of finished runs, and seeds random generators."""
from collections.abc import Iterable
import itertools
import random
from typing import NamedTuple

import chainer
from chainer.backends import cuda
import numpy

from finetune.compute.gpu_errors import explained
from finetune.config.catalogue import ENCODINGS
from finetune.config.config import change
from finetune.config.settings import Config
from finetune.data.layout import find_layout
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.models.part_classifier import PartClassifier
from finetune.names import composed
from finetune.parts import kind
from finetune.runs.folder import RunFolder
from finetune.weights.pretrained import load_trained


# Settings that an evaluation of a finished run may change.
OF_EVALUATION = ('data.dataset', 'data.root', 'data.split', 'data.fold', 'data.drawing',
                 'data.test_share', 'data.split_seed', 'data.boxes', 'data.box_frame',
                 'data.box_frame_fit', 'data.test_flip', 'training.batch_size', 'training.workers')


class FinishedRun(NamedTuple):
    """A finished run of joint learning, opened."""

    model: PartClassifier
    config: Config
    data_set: DataSet
    device: chainer.backend.Device


def open_device(gpu: int) -> chainer.backend.Device:
    """Returns Chainer's device of a GPU id, -1: CPU, and makes it the current device."""
    try:
        device = chainer.get_device('@numpy' if gpu < 0 else f'@cupy:{gpu}')
        device.use()
    except Exception as error:      # CuPy, the driver and Chainer raise errors of their own
        cause = cuda._resolution_error if gpu >= 0 and not cuda.available else error
        raise InputError(f'training.gpu is {gpu}, but that GPU cannot be used '
                         f'({explained(cause or error)}); use -1 for the CPU.')
    return device


def seed_generators(seed: int, device: chainer.backend.Device) -> None:
    """Seeds the generators of initial weights; data and mixture have separate generators."""
    random.seed(seed)
    numpy.random.seed(seed)
    if device.xp is not numpy:
        device.xp.random.seed(seed)
        chainer.global_config.cudnn_deterministic = True


def read_settings(folder: RunFolder, gpu: int = -1, overrides: Iterable[str] = ()) -> Config:
    """Reads the settings of a finished run of joint learning.

    Args:
        folder (finetune.runs.folder.RunFolder): The folder.
        gpu (int): GPU to compute on; -1: CPU.
        overrides (iterable of str): ``section.name=value``, settings of :data:`OF_EVALUATION`.

    """
    folder.require_finished()
    config = folder.read_config()
    if not config.training.is_joint:
        raise InputError(f'{folder}: holds a conventional pipeline, which has no network of its '
                         f'own; give the run of its CNN, {config.model.pretrained}.')
    data = config.data.dataset, config.data.root
    change(config, overrides, OF_EVALUATION)
    if (config.data.dataset, config.data.root) != data:     # what is found in them is not the run's
        config.project = folder.project.of(config.data)
    config.training.gpu = gpu
    return config


def open_run(folder: RunFolder, config: Config | None = None, data_set: DataSet | None = None
             ) -> FinishedRun:
    """Opens a finished run with its data set.

    Raises an error if the classes of the data set differ from the run's, or the parts if the
    encoding needs all of them in order.

    Args:
        folder (finetune.runs.folder.RunFolder): The folder.
        config (finetune.config.settings.Config or None): Result of :func:`read_settings`; ``None``:
            the run's settings, on the CPU.
        data_set (finetune.data.records.DataSet or None): The data set; ``None``: it is read.

    """
    config = config or read_settings(folder)
    names = folder.read_names()
    if data_set is None:
        data_set = kind.load(config)
        folder.check_data(data_set)
    where = find_layout(config).parts
    _check_same(where, 'class', data_set.class_names, names.class_names)
    if config.data.has_parts and ENCODINGS[config.model.encoding].needs_all_parts:
        _check_same(where, 'part', data_set.part_names, names.part_names)
    return open_model(folder, config, names)._replace(data_set=data_set)


def open_model(folder: RunFolder, config: Config, names: DataSet | None = None) -> FinishedRun:
    """Opens a finished run without images: its data set only has names of classes and parts."""
    names, device = names or folder.read_names(), open_device(config.training.gpu)
    model = load_trained(folder.model, config, names, device)
    return FinishedRun(model, config, names, device)


def _check_same(where, what, names, of_run):
    """Raises an error with the first name that differs from the run's."""
    pairs = itertools.zip_longest(map(composed, names), map(composed, of_run))
    for i, pair in enumerate(pairs, 1):
        if pair[0] != pair[1]:
            name, other = (repr(name) if name else 'none' for name in pair)
            raise InputError(f'{where}: {what} {i} is {name}, but {other} in the run; set '
                             f'data.root to a data set with the {what} names of the run, in their '
                             'order.')
