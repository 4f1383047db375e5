"""Device and seeds of a run, and models of finished runs."""
import random
from typing import Any, NamedTuple

import chainer
import numpy

from finetune.data import data_sets
from finetune.data.file_lists import FileLists
from finetune.errors import InputError
from finetune.models.part_classifier import build_classifier, PartClassifier
from finetune.models.pretrained import load_classifier
from finetune.settings import Config


class FinishedRun(NamedTuple):
    """A finished run of joint learning."""

    model: PartClassifier
    config: Config
    lists: FileLists
    device: Any


def open_device(gpu):
    """Chainer's device of a GPU id, -1 for the CPU; makes it the current one."""
    try:
        device = chainer.get_device('@numpy' if gpu < 0 else f'@cupy:{gpu}')
        device.use()
    except Exception as error:      # CuPy, the driver and Chainer each raise their own
        reason = ' '.join(str(error).split())
        raise InputError(f'training.gpu is {gpu}, but that GPU cannot be used ({reason}); use -1 '
                         'for the CPU.')
    return device


def seed_generators(seed, device):
    """Seeds the generators of initial weights; data and mixture have their own."""
    random.seed(seed)
    numpy.random.seed(seed)
    if device.xp is not numpy:
        device.xp.random.seed(seed)
        chainer.global_config.cudnn_deterministic = True


def open_run(folder, gpu=-1):
    """Opens the folder of a finished run of joint learning.

    Args:
        folder (finetune.runs.folder.RunFolder): The folder.
        gpu (int): GPU to put the model on; -1: CPU.

    Returns:
        FinishedRun: Its classifier, settings, data set and device.

    """
    folder.require_finished()
    config = folder.read_config()
    if not config.training.joint:
        raise InputError(f'{folder}: holds a conventional pipeline, which has no network of its '
                         f'own; name the run of its CNN, {config.model.pretrained}.')
    lists = data_sets.load(config.data)
    device = open_device(gpu)
    return FinishedRun(load_model(folder, config, lists, device), config, lists, device)


def load_model(folder, config, lists, device):
    """The trained classifier of a finished run."""
    model = build_classifier(config, lists)
    load_classifier(model, folder.model)
    model.to_device(device)
    return model
