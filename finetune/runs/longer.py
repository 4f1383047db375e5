"""Training a run for more epochs than it was begun with."""
from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import chainer

from finetune.config.settings import Config
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.runs import snapshot

if TYPE_CHECKING:
    from finetune.runs.folder import RunFolder

EPOCHS = 'training.epochs'


def is_possible(folder: RunFolder, config: Config) -> bool:
    """Whether a begun run can go on for more epochs, with a result as if it had begun with them.

    The number of epochs must be all that differs.

    Raises:
        InputError: If it is, but the epochs done would have been others, or no snapshot is left.

    """
    before, settings = folder.read_config().training.epochs, config.training
    if folder.differences(config) != [EPOCHS] or settings.epochs < before:
        return False
    to_do = (f'train with another --output, from these weights by --set model.checkpoint='
             f'{folder.model}' if folder.is_finished else 'train with another --output')
    if settings.lr_schedule == 'cosine':
        raise InputError(f'{folder}: has training.epochs {before}, on which all learning rates of '
                         f'training.lr_schedule cosine depend, so that it cannot be trained for '
                         f'{settings.epochs}; {to_do}.')
    if not snapshot.paths(folder.path):
        raise InputError(f'{folder}: has no snapshot from which to train longer than for '
                         f'training.epochs {before}; {to_do}.')
    return True


def is_asked(folder: RunFolder, config: Config) -> bool:
    """Whether a finished run, for which it is possible, is to have more epochs."""
    return folder.is_finished and EPOCHS in folder.differences(config)


def replace_weights(folder: RunFolder, model: chainer.Link, config: Config, data_set: DataSet
                    ) -> None:
    """Replaces the weights and the settings of a finished run, and removes what depends on them."""
    folder.evaluation.unlink(missing_ok=True)
    for path in folder.path.glob(f'{folder.features().name}*'):
        shutil.rmtree(path)
    folder.save_model(model)
    folder.write_settings(config, data_set)
