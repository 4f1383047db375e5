"""The runs that a run needs first: pre-training, its CNN or classifier, a CNN that finds parts."""
from pathlib import Path
from typing import NamedTuple
from collections.abc import Iterable

import yaml

from finetune.config.config import get, is_config, read_config
from finetune.config.settings import Config
from finetune.errors import InputError
from finetune.parts.kind import parts_of
from finetune.runs.folder import RunFolder

# Settings of the data that a run shares with those it needs, if they use the same data set.
IMAGES = ('data.root', 'data.split', 'data.drawing', 'data.test_share', 'data.split_seed',
          'data.train_per_class')


class Required(NamedTuple):
    """A run that another one needs."""

    stage: str              # what it is, in words
    path: str               # its config
    overrides: tuple
    config: Config
    folder: RunFolder


def start(config: Config) -> Required | None:
    """The run that a run starts from; ``None`` if that is weights, or nothing."""
    source = config.model.classifier or config.model.pretrained
    if not is_config(source):
        return None
    stage = ('Fine-tuning of the CNN' if not config.training.joint else
             'Training of the classifier' if config.model.classifier else 'Pre-training')
    # Each seed has a start of its own, so that deviations contain those of the start.
    return _required(config, source, [f'training.seed={config.training.seed}'], stage)


def finder(config: Config) -> Required:
    """The run whose CNN finds the parts of a data set; all seeds have the same parts."""
    return _required(config, config.detector.cnn, [], 'Training of the CNN that finds parts')


def of(config: Config) -> list[Required]:
    """All runs that a run needs."""
    return [required for required in (
        start(config), finder(config) if parts_of(config).to_be_found else None) if required]


def _required(config: Config, source: str, overrides: Iterable[str], stage: str) -> Required:
    """On the same data set it has the same images."""
    overrides = [*overrides, f'training.gpu={config.training.gpu}']
    project = config.project
    data = read_config(source, project=project).data
    if data.dataset == config.data.dataset and data.split != 'pretraining':
        overrides += [f'{name}={yaml.safe_dump(get(config, name), default_flow_style=True)}'
                      for name in IMAGES if get(config, name) != getattr(data, name[5:])]
    required = read_config(source, overrides, project)
    return Required(stage, source, tuple(overrides), required,
                    RunFolder.of(source, required.training.seed, project))


def check_circle(config_path: str | Path, config: Config) -> None:
    """Raises an error if a run would need itself, perhaps by way of others."""
    _check_circle(config, [config.project.path(config_path).resolve()])


def _check_circle(config, chain):
    for source in (config.model.classifier, config.model.pretrained, config.detector.cnn):
        path = config.project.path(source).resolve()
        if is_config(source) and path in chain:
            raise InputError(f'{source}: this run would need itself first; correct '
                             'model.pretrained, model.classifier or detector.cnn.')
        if is_config(source) and config.project.find(source).exists():
            _check_circle(read_config(source, project=config.project), [*chain, path])
