"""Runs that go on: they were interrupted, or get more epochs than they were begun with."""
import chainer

from finetune.config.settings import Config
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.runs import snapshot
from finetune.runs.folder import BEGUN, NEW, RunFolder

EPOCHS = 'training.epochs'


def allowed(folder: RunFolder, config: Config) -> list[str]:
    """Settings in which a config may differ from the run: more epochs, if nothing else differs.

    The result is then as if the run had begun with them.

    Raises:
        InputError: If the epochs done would have been others, no snapshot is left, or another run
            depends on the weights.

    """
    if not folder.is_run or folder.state == NEW:
        return []
    before, settings = folder.read_config().training.epochs, config.training
    if folder.differences(config) != [EPOCHS] or settings.epochs < before:
        return []
    to_do = (f'train with another --output, from these weights by --set model.checkpoint='
             f'{folder.model}' if folder.is_finished else 'train with another --output')
    if settings.lr_schedule == 'cosine':
        raise InputError(f'{folder}: has training.epochs {before}, on which all learning rates of '
                         f'training.lr_schedule cosine depend, so that it cannot be trained for '
                         f'{settings.epochs}; {to_do}.')
    if not snapshot.paths(folder.path):
        raise InputError(f'{folder}: has no snapshot from which to train longer than for '
                         f'training.epochs {before}; {to_do}.')
    if any(folder.path.glob(f'{folder.features().name}_*')):
        raise InputError(f'{folder}: a conventional pipeline depends on the features of this CNN, '
                         f'so that it cannot be trained longer than for training.epochs {before}; '
                         f'{to_do}.')
    return [EPOCHS]


def is_asked(folder: RunFolder, config: Config) -> bool:
    """Whether a finished run, for which they are allowed, is to have more epochs."""
    return folder.is_finished and EPOCHS in folder.differences(config)


def epochs_done(folder: RunFolder, config: Config, n_images: int) -> int | None:
    """Epochs after which a run goes on, from its newest snapshot; ``None``: it does not go on.

    Args:
        folder (finetune.runs.folder.RunFolder): The folder.
        config (finetune.config.settings.Config): Settings with which it is to go on.
        n_images (int): Number of training images.

    """
    if folder.state != BEGUN and not is_asked(folder, config):
        return None
    return max(snapshot.paths(folder.path)) * config.training.update_size // n_images


def replace_weights(folder: RunFolder, model: chainer.Link, config: Config, data_set: DataSet
                    ) -> None:
    """Replaces the weights and the settings of a finished run, whose evaluation is removed."""
    folder.evaluation.unlink(missing_ok=True)
    folder.save_model(model)
    folder.write_settings(config, data_set)
