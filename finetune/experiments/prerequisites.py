"""Prerequisites of a run.

They are the run that pre-trains its weights, trains its CNN or classifier, or trains the CNN that
finds its parts.
"""
from pathlib import Path
from typing import NamedTuple
from collections.abc import Iterable

from finetune.config.config import get, IMAGES, is_config, read_config
from finetune.config.schema import override_of
from finetune.config.settings import Config
from finetune.data import readers
from finetune.data.layout import find_layout
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.parts.kind import parts_of
from finetune.runs.folder import RunFolder


class Required(NamedTuple):
    """A run that another run needs."""

    stage: str              # in words, for the printed lines
    path: str               # of the config
    overrides: tuple
    config: Config
    folder: RunFolder


def start(config: Config) -> Required | None:
    """The run whose weights a run starts from; ``None``: it starts from a file or at random."""
    source = config.model.checkpoint or config.model.pretrained
    if not is_config(source):
        return None
    stage = ('Fine-tuning of the CNN' if not config.training.is_joint else
             'Training of the classifier' if config.model.checkpoint else 'Pre-training')
    # Each seed has its own start, so that standard deviations include the variation of the start.
    return _required(config, source, [f'training.seed={config.training.seed}'], stage)


def finder(config: Config) -> Required:
    """The run whose CNN finds the parts of a data set; all seeds share its parts."""
    return _required(config, config.detector.cnn, [], 'Training of the CNN that finds parts')


def of(config: Config) -> list[Required]:
    """All prerequisites of a run."""
    finds = is_config(config.detector.cnn) and parts_of(config).to_be_found
    return [required for required in (
        start(config), finder(config) if finds else None) if required]


def _required(config: Config, source: str, overrides: Iterable[str], stage: str) -> Required:
    """A prerequisite.

    If it uses the run's data set, other than for pre-training, it inherits the settings that
    determine the images.
    """
    overrides = [*overrides, f'training.gpu={config.training.gpu}']
    project = config.project
    data = read_config(source, project=project).data
    if data.dataset == config.data.dataset and data.split != 'pretraining':
        overrides += [override_of(name, get(config, name))
                      for name in IMAGES if get(config, name) != getattr(data, name[5:])]
    required = read_config(source, overrides, project)
    return Required(stage, source, tuple(overrides), required,
                    RunFolder.of(source, required.training.seed, project))


def data_of(config: Config) -> DataSet | None:
    """The data set of an earlier run as it is now; parts that are to be found are left out.

    ``None``: it is not there, so that nothing can be mixed with it.
    """
    if readers.is_to_be_drawn(config) or not find_layout(config).lists.exists():
        return None
    data_set, parts = readers.load(config), parts_of(config)
    return data_set if parts.to_be_found else parts.add_to(data_set)


def check_circle(config_path: str | Path, config: Config) -> None:
    """Raises an error if a run is a direct or indirect prerequisite of itself."""
    _check_circle(config, [config.project.path(config_path).resolve()])


def _check_circle(config, chain):
    for source in (config.model.checkpoint, config.model.pretrained, config.detector.cnn):
        path = config.project.path(source).resolve()
        if is_config(source) and path in chain:
            raise InputError(f'{source}: this run is a prerequisite of itself; correct '
                             'model.pretrained, model.checkpoint or detector.cnn.')
        if is_config(source) and config.project.find(source).exists():
            _check_circle(read_config(source, project=config.project), [*chain, path])
