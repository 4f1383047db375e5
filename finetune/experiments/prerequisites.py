"""Prerequisites of a run.

They are the run that pre-trains its weights, trains its CNN or classifier, or trains the CNN that
finds its parts.
"""
import copy
from pathlib import Path
from typing import NamedTuple
from collections.abc import Iterable

from finetune.config.config import (
    active_names, get, IMAGES, is_config, OF_CLASSIFIER, read_config)
from finetune.config.schema import fill_override, override_of
from finetune.config.settings import Config
from finetune.data import readers
from finetune.data.layout import find_layout
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.parts.kind import parts_of
from finetune.runs.folder import NEW, RunFolder
from finetune.runs.folds import folder_of

# Settings that a run and those that it needs have in common: how images are given to the CNN, the
# CNN, and how fast and in how much memory they compute.
OF_IMAGES = 'data.input_size', 'data.interpolation'
CNN = 'model.architecture', 'model.pretrained'
PACE = 'training.workers', 'training.recompute'
MEMORY = 'training.batch_size', 'training.dtype'


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
    """A prerequisite, with the settings that it inherits (:func:`_inherited`)."""
    own = read_config(source, project=config.project)
    overrides = [*overrides, f'training.gpu={config.training.gpu}',
                 *_inherited(config, own, source)]
    required = read_config(source, overrides, project=config.project)
    folder = folder_of(source, required)
    if folder.is_run and folder.state != NEW:   # what only has to fit into memory stays as it was
        there = folder.read_config()
        overrides += [override_of(name, get(there, name)) for name in MEMORY
                      if name in config.replaced and name in active_names(there)]
        required = read_config(source, overrides, project=config.project)
    return Required(stage, source, tuple(overrides), required, folder)


def _inherited(config, own, source):
    """Overrides that hand on settings of a run to a run that it needs, whose file has ``own``.

    On the same data set, other than for pre-training, they are the settings that determine the
    images. Beyond these, a setting given by ``--set`` also holds for the needed run if this run
    reads it, both files had the same value, and it is about the images, the CNN, or how fast and
    in how much memory both compute; if the needed run trains the classifier, all settings of
    images, parts and network.
    """
    is_classifier = source == config.model.checkpoint
    is_same_data = (own.data.split != 'pretraining' and own.data.dataset
                    == config.replaced.get('data.dataset', config.data.dataset))
    changed = copy.deepcopy(own)
    values = {name: get(config, name) for name in IMAGES
              if is_same_data and get(config, name) != get(own, name)}
    for name, before in config.replaced.items():
        section, value = name.partition('.')[0], get(config, name)
        is_common = get(own, name) == before or is_classifier and name in OF_CLASSIFIER
        if name == 'model.pretrained':
            is_common = not is_config(value) and (is_common or before == source)
        is_about = name in (*CNN, *PACE, *MEMORY) or is_same_data and name in OF_IMAGES
        if is_classifier:
            is_about |= (section in ('data', 'detector', 'model') and name not in IMAGES
                         and name != 'model.checkpoint' or name in OF_CLASSIFIER)
        if is_common and is_about:
            values[name] = value
    overrides = [override_of(name, value) for name, value in values.items()]
    for override in overrides:
        fill_override(changed, override)
    active = active_names(changed)
    return [override for name, override in zip(values, overrides) if name in active]


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
