"""A run from its settings to its results: everything that a run does, in the order it does it."""
from pathlib import Path
from typing import Optional, Union
from collections.abc import Iterable

from finetune.config import Config, is_config, read_config
from finetune.conventional.pipeline import ConventionalPipeline
from finetune.data import data_sets
from finetune.runs.folder import REPORTED, RunFolder
from finetune.runs.opening import open_device
from finetune.threads import one_thread
from finetune.training.joint import JointLearning


def run(config_path: Union[str, Path], overrides: Iterable[str] = (),
        out: Optional[Union[str, Path]] = None) -> RunFolder:
    """Runs an experiment, or goes on with it if it was interrupted.

    The run that ``model.pretrained`` names comes first if it is not there. A finished run is
    evaluated again, no more.

    Args:
        config_path (str or pathlib.Path): YAML file of the experiment.
        overrides (iterable of str): ``section.name=value`` settings that win over the file.
        out (str, pathlib.Path or None): Folder for the results, if another one.

    Returns:
        RunFolder: Folder of the results.

    Raises:
        finetune.errors.InputError: For whatever the user has to mend.

    """
    config = read_config(config_path, overrides)
    folder = RunFolder.of(config_path, config.training.seed) if out is None else RunFolder(out)
    folder.check(config)
    _go_on(config, folder)
    return folder


def evaluate(out: Union[str, Path], gpu: int = -1) -> None:
    """Evaluates the model of a finished run again, and prints and saves what comes out."""
    folder = RunFolder(out)
    folder.require_finished()
    config = folder.read_config()
    config.training.gpu = gpu
    _go_on(config, folder)


def _go_on(config: Config, folder: RunFolder) -> None:
    """Learns or loads, predicts and reports."""
    lists = data_sets.load(config.data)
    device = open_device(config.training.gpu)
    method = JointLearning if config.training.joint else ConventionalPipeline
    start = _start(config) if method.needs_start(folder) else None
    with one_thread():
        learner = method(config, lists, device, start)
        with folder.opened(config):
            if folder.is_finished:
                learner.load(folder)
            else:
                learner.learn(folder)
            predictions, numbers = learner.predict()
            folder.write_results({'accuracy': predictions.accuracies, **numbers}, predictions,
                                 [record.image_id for record in lists.test], lists.class_names)
    _print_accuracies(folder, predictions.accuracies, config.expect)


def _start(config: Config) -> Optional[Union[RunFolder, str]]:
    """What the run starts from: the folder of the run before, a file of weights, or nothing."""
    source = config.model.pretrained
    if not is_config(source):
        return source or None
    overrides = [f'training.gpu={config.training.gpu}']
    if not config.training.joint:       # the pipeline's CNN is fine-tuned, with the same seed
        overrides.append(f'training.seed={config.training.seed}')
    before = read_config(source, overrides)
    folder = RunFolder.of(source, before.training.seed)
    folder.check(before)
    if folder.state != REPORTED:
        what = 'Pre-training' if config.training.joint else 'Fine-tuning of the CNN'
        print(f'{what}: {source}', flush=True)
        _go_on(before, folder)
        print(f'{what} is done.', flush=True)
    return folder


def _print_accuracies(folder, accuracies, expect):
    alone = ''.join(f', {stream} stream alone {100 * accuracy:.1f} %'
                    for stream, accuracy in accuracies.items() if stream != 'both')
    print(f'{folder}: test accuracy {100 * accuracies["both"]:.1f} %{alone}', flush=True)
    if expect:
        print(f'To expect: {expect}', flush=True)
