"""One run, from its settings to its results."""
import contextlib
from pathlib import Path
import sys
import threading
from typing import Any, Protocol
from collections.abc import Iterable

import numpy

from finetune.compute.threads import one_thread
from finetune.config.config import (
    fingerprint, forget_expected, IMAGES_AND_PARTS, is_config, read_config)
from finetune.config.project import HERE, NEEDS, Project
from finetune.config.settings import Config
from finetune.config.streams import BESIDE
from finetune.data import readable, readers
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.experiments import card, estimate, prerequisites
from finetune.files import require_empty
from finetune.names import shown
from finetune.parts.kind import parts_of
from finetune.ranks import processes
from finetune.runs import longer
from finetune.runs.chosen import find_run, of_test
from finetune.runs.folder import NEW, REPORTED, RunFolder
from finetune.runs.folds import folder_of
from finetune.runs.opening import open_device, open_run, read_settings
from finetune.runs.predictions import iterate_test_images, n_test_views, predict, Predictions
from finetune.training.inputs import Inputs, inputs_of
from finetune.training.joint import JointLearning
from finetune.weights import packaged


BUSY = threading.RLock()        # held by the thread that runs an experiment


class Method(Protocol):
    """A training method, created with config, data set, device and start (initial weights)."""

    @staticmethod
    def needs_start(folder: RunFolder) -> bool:
        """Whether the run in a folder needs its start."""

    def learn(self, folder: RunFolder) -> None:
        """Trains, from a snapshot if one exists, and saves settings and weights."""

    def load(self, folder: RunFolder) -> None:
        """Loads the weights of a finished run."""

    def predict(self) -> tuple[Predictions, dict]:
        """Returns predictions for the test images and further numbers for the evaluation."""


def run(config_path: str | Path, overrides: Iterable[str] = (),
        out: str | Path | None = None, project: Project = HERE, is_told: bool = True
        ) -> RunFolder:
    """Runs an experiment, or resumes it if it was interrupted.

    Unfinished runs that ``model.pretrained``, ``model.checkpoint`` or ``detector.cnn`` names run
    first. A finished run is only evaluated again, or trained longer if ``training.epochs`` is
    larger than it was.

    Args:
        config_path (str or pathlib.Path): YAML file of the experiment, relative to the project.
        overrides (iterable of str): ``section.name=value``, settings that override the file.
        out (str, pathlib.Path or None): Folder of the run; ``None``: the default folder. What the
            run needs is in its folder, too, unless that lies in the folder of results of its data.
        project (Project): Project to which paths, also in settings, are relative.
        is_told (bool): Whether to say before how long it takes.

    Returns:
        RunFolder: Folder of the results.

    """
    config = read_config(config_path, overrides, project)
    prerequisites.check_circle(config_path, config)
    if out is None:
        folder = folder_of(config_path, config)
    else:
        config.project = project.of_run(out, config.data, is_new=True)
        folder = RunFolder(out, config.project)
    readers.require(config)
    folder.check(config, longer.allowed(folder, config))
    with _alone(folder):
        _run(config, folder, is_told=is_told)
    return folder


def evaluate(out: str | Path, gpu: int = -1, overrides: Iterable[str] = (),
             output: str | Path | None = None, project: Project = HERE) -> None:
    """Evaluates the model of a finished run again; prints and saves the results.

    Args:
        out (str or pathlib.Path): Folder of the run, relative to the project.
        gpu (int): GPU to compute on; -1: CPU.
        overrides (iterable of str): Settings of :data:`finetune.runs.opening.OF_EVALUATION`; with
            overrides the run's own results are kept.
        output (str, pathlib.Path or None): New folder for the results; ``None``: the run's folder,
            or with overrides nothing is saved.
        project (Project): Project to which paths, also in settings, are relative.

    """
    folder = find_run(out, project)
    folder.require_finished()
    overrides = [*of_test(folder), *overrides]
    if overrides or output is not None:
        _evaluate_apart(folder, gpu, overrides, output)
        return
    config = folder.read_config()
    config.training.gpu = gpu
    _run(config, folder, may_train=False)


@contextlib.contextmanager
def _alone(folder):
    """Context of one thread at a time: runs share the generators of random numbers."""
    if not BUSY.acquire(blocking=False):
        raise InputError(f'{folder}: another run is in progress in this process; start a process '
                         'for each run.')
    try:
        yield
    finally:
        BUSY.release()


def _evaluate_apart(folder, gpu, overrides, output):
    """Evaluates a model; the results in the run's own folder stay as they are."""
    if output is not None:
        require_empty(output, '--output')
    config = read_settings(folder, gpu, overrides)
    if output is not None and config.project.results != folder.read_config().project.results:
        config.project = config.project.with_results(Path(output, NEEDS))
    is_same = not any(override.lstrip().startswith('data') for override in overrides
                      if not override.lstrip().startswith('data.test_flip'))
    data_set = _load(config, folder, open_device(gpu), may_train=False, is_same=is_same)
    model, _, _, device = open_run(folder, config, data_set)
    n_trained_on = folder.n_trained_on(data_set)
    if n_trained_on is None or n_trained_on > 0:
        told = ('an unknown number of these test images' if n_trained_on is None else
                f'{n_trained_on} of these {len(data_set.test)} test images, so the accuracy is too '
                'high')
        print(f'{folder}: was trained on {told}', file=sys.stderr)
    inputs = inputs_of(config, data_set) if is_same else Inputs()
    model.given_conv_maps = inputs.are_conv_maps
    with one_thread(), iterate_test_images(config, data_set, make=inputs) as iterator:
        inputs.prepare(model, with_training=False)
        predictions = predict(model, iterator, device, folder, n_test_views(config))
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
        RunFolder(output).write_results(
            {'run': str(folder), 'settings': list(overrides), 'accuracy': predictions.accuracies,
             'loss': predictions.loss}, predictions, data_set)
    forget_expected(config)     # it only holds for the run's own test images
    _print_accuracies(folder, predictions.accuracies, config)


def _run(config: Config, folder: RunFolder, may_train: bool = True, is_told: bool = False) -> None:
    """Trains or loads the model, and evaluates it; ``is_told``: says before how long it takes."""
    device = open_device(config.training.gpu)
    data_set = _load(config, folder, device, may_train, is_told=is_told)
    method = _method(config)
    start = _find_start(config, may_train, data_set) if method.needs_start(folder) else None
    with one_thread():
        learner = method(config, data_set, device, start)
        with folder.opened(config, data_set, longer.allowed(folder, config)):
            if folder.is_finished and not longer.is_asked(folder, config):
                learner.load(folder)
            else:
                data_set.parts.keep_detector(folder.detector)
                learner.learn(folder)
            predictions, numbers = learner.predict()
            folder.check_data(data_set)     # pictures may change during a long training
            folder.write_results({'accuracy': predictions.accuracies, **numbers}, predictions,
                                 data_set)
            if config.training.is_joint:
                card.write(folder.path, folder)
    _print_accuracies(folder, predictions.accuracies, config)


def _method(config: Config) -> type[Method]:
    if config.training.is_joint:
        return JointLearning
    from finetune.training.conventional import ConventionalPipeline
    return ConventionalPipeline     # imports scikit-learn, which takes a second


def _load(config: Config, folder: RunFolder, device: Any, may_train: bool, is_same: bool = True,
          is_told: bool = False) -> DataSet:
    """Reads the data set with its parts; finds the parts first if the config names a detector.

    If ``is_same``, it must be what the run in the folder was trained on.
    """
    parts, data_set = parts_of(config), readers.load(config)
    if may_train and not folder.is_finished:
        print(*map(shown, readers.describe(config, data_set)), sep='\n', flush=True)
    if is_same:
        folder.check_data(data_set, config)     # before parts are found for hours
    if is_told and processes.size() == 1:
        if folder.state == NEW and config.data.upright:
            readable.require(config, data_set)
        estimate.tell(config, data_set, device, folder)
    if parts.to_be_found:
        is_own = folder.state != NEW and folder.detector.is_dir()
        source = folder if is_own else _find_cnn(config, may_train, data_set)
        parts.find(data_set, source, device)
    data_set = parts.add_to(data_set)
    if is_same:
        folder.check_data(data_set)
    return data_set


def _find_cnn(config: Config, may_train: bool, data_set: DataSet) -> RunFolder | Path | None:
    """Finds the CNN that finds parts: the folder of a finished run, or a file of weights."""
    if is_config(config.detector.cnn):
        return _finished(prerequisites.finder(config), config, may_train, data_set)
    return packaged.path_of(config.detector.cnn, config.project, 'detector.cnn')


def _find_start(config: Config, may_train: bool, data_set: DataSet) -> RunFolder | Path | None:
    """Finds the start of a run: the folder of a finished run, a file of weights, or ``None``."""
    required = prerequisites.start(config)
    if required is None:
        if config.model.checkpoint:
            return config.project.path(config.model.checkpoint)
        return packaged.path_of(config.model.pretrained, config.project)
    return _finished(required, config, may_train, data_set)


def _finished(required: prerequisites.Required, config: Config, may_train: bool,
              data_set: DataSet) -> RunFolder:
    """Returns the folder of a prerequisite; if it is unfinished, trains it or raises an error."""
    folder = required.folder
    if not may_train:
        folder.require_finished()
    # A finished CNN of the conventional pipeline is checked by the pipeline itself.
    elif config.training.is_joint or not folder.is_finished:
        folder.check(required.config)
    if folder.is_finished:
        of_required = required.config if may_train else folder.read_config()
        _check_data(folder, of_required, config, data_set)
    if may_train and folder.state != REPORTED:
        print(f'{required.stage}: {required.path}', flush=True)
        _run(required.config, folder)
        print(f'{required.stage} is done.', flush=True)
    return folder


def _check_data(folder, config, of_run, data_set):
    """Raises an error if the data of a finished prerequisite are there and have changed."""
    if fingerprint(config, names=IMAGES_AND_PARTS) != fingerprint(of_run, names=IMAGES_AND_PARTS):
        data_set = prerequisites.data_of(config)
    if data_set is not None:
        folder.check_data(data_set, of_run)


def _print_accuracies(folder, accuracies, config):
    streams = ''.join(f', {BESIDE[stream]} {100 * accuracy:.1f} %'
                      for stream, accuracy in accuracies.items() if stream != config.headline)
    of_what = 'validation' if config.data.split == 'validation' else 'test'
    print(f'{folder}: {of_what} accuracy {100 * accuracies[config.headline]:.1f} %{streams}',
          flush=True)
    if config.expect:
        print(f'Expected: {config.expect}', flush=True)
    verdict = _verdict(config, 100 * accuracies[config.headline])
    if verdict:
        print(verdict, flush=True)


def _verdict(config, accuracy):
    """Compares a result in per cent with the results of the same settings elsewhere."""
    seed, expected = config.training.seed, config.expect_of_seeds.get(str(config.training.seed))
    known = [*config.expect_of_seeds.values(), *config.expect_elsewhere.values()]
    if expected is None or len(known) < 2:
        return ''
    if abs(accuracy - expected) < .05:
        return f'As expected: {expected:.1f} % is the result of seed {seed}.'
    usual = abs(accuracy - numpy.mean(known)) <= 2 * numpy.std(known, ddof=1)
    text = (f'seed {seed} had {expected:.1f} % on the CPU of the reports; on others, which round '
            f'differently, and with other seeds it was {min(known):.1f} to {max(known):.1f} %')
    return f'As expected: {text}.' if usual else (
        f'Not as expected: {text}. Check the installation by tests/run.sh.')
