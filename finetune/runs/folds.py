"""Folders of runs that were asked to hold out a fold of the training images."""
from pathlib import Path

from finetune.config.settings import Config
from finetune.runs.folder import RunFolder

FOLDS = 'cross_validation'      # in the folder of a config's runs


def folder_of(config_path: str | Path, config: Config) -> RunFolder:
    """The default folder of a run: ``results/<config>/seed<k>``.

    If ``data.split=validation`` was given for the run, so that it is not the experiment of its
    file, it is ``results/<config>/cross_validation/fold<n>/seed<k>``.
    """
    run = RunFolder.of(config_path, config.training.seed, config.project)
    if config.data.split != 'validation' or 'data.split' not in config.replaced:
        return run
    return RunFolder(run.path.parent / FOLDS / f'fold{config.data.fold}' / run.path.name,
                     config.project)


def is_of_fold(run: RunFolder) -> bool:
    """Whether a run has the default folder of a fold."""
    return run.path.parent.parent.name == FOLDS
