"""About how long a run will take on this machine, measured on a few of its pictures."""
from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import copy
from dataclasses import replace
import math
from pkgutil import resolve_name
import random
import time
from typing import NamedTuple
import warnings

import chainer
from chainer.backends import cuda
import numpy

from finetune.compute.threads import one_thread
from finetune.config.catalogue import ARCHITECTURES
from finetune.config.conditions import CLASS_FREE
from finetune.config.config import fingerprint, IMAGES, is_config
from finetune.config.settings import Config
from finetune.data import readers
from finetune.data.dataset import collate, PartDataset
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.experiments import prerequisites
from finetune.models.part_classifier import build_classifier
from finetune.parts.cs_parts import detector
from finetune.parts.cs_parts.selection import AllFeatures
from finetune.parts.kind import parts_of
from finetune.parts.whole import WholeImage
from finetune.progress import in_words
from finetune.runs.folder import NEW, RunFolder
from finetune.runs.longer import epochs_done
from finetune.runs.predictions import n_test_views
from finetune.training.inputs import n_stored
from finetune.training import robustness
from finetune.training.trainer import build_updater

N_LOADED, N_LOOKED_AT = 5, 2        # pictures that are loaded, and first given to the CNN
QUICK_SECONDS = .5      # what takes longer is measured once; whole batches only if they do not
MAX_REPETITIONS = 4
BACKWARD = 3            # time of a forward and backward pass, relative to the forward pass
SILENT_SECONDS = 15     # shorter runs start without a word


class Stage(NamedTuple):
    """A stage of a run."""

    name: str           # in words
    seconds: float


def tell(config: Config, data_set: DataSet, device: chainer.backend.Device, folder: RunFolder
         ) -> None:
    """Prints the stages of a run and of those that it needs, and about how long they take.

    Of a run that goes on, it is what remains. Prints nothing if that is a matter of seconds, or
    cannot be measured.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        data_set (finetune.data.records.DataSet): Its data set, as it is read.
        device (chainer.backend.Device): Device that computes.
        folder (finetune.runs.folder.RunFolder): Its folder.

    """
    try:
        if folder.state == NEW:
            stages = list(of_needed(config, data_set, device)) + seconds(config, data_set, device)
        else:
            stages = remaining(config, data_set, device, folder)
    except (InputError, MemoryError, OSError, ValueError):      # which the run itself reports
        return
    print_stages(stages)


def print_stages(stages: list[Stage]) -> None:
    """Prints stages and about how long they take, unless that is a matter of seconds."""
    total = sum(stage.seconds for stage in stages)
    if not stages or total < SILENT_SECONDS:
        return
    print('This will be done, and takes about as long here:')
    for stage in stages:
        print(f'  {in_words(stage.seconds):12s} {stage.name}')
    print(f'  {in_words(total):12s} in all', flush=True)


def of_needed(config: Config, data_set: DataSet, device: chainer.backend.Device
              ) -> Iterator[Stage]:
    """Stages of the unfinished runs that a run needs, in their order."""
    for required in prerequisites.of(config):
        if required.folder.is_finished or readers.is_to_be_drawn(required.config):
            continue
        is_same = fingerprint(required.config, names=IMAGES) == fingerprint(config, names=IMAGES)
        images = data_set if is_same else readers.load(required.config)
        yield from of_needed(required.config, images, device)
        for stage in seconds(required.config, images, device):
            yield Stage(f'{required.path}: {stage.name}', stage.seconds)


def remaining(config: Config, data_set: DataSet, device: chainer.backend.Device,
              folder: RunFolder) -> list[Stage]:
    """Stages of a run that goes on; none if it is finished.

    Its epochs take as long as those in its log, or as measured if there is none.
    """
    done, n_epochs = epochs_done(folder, config, len(data_set.train)), config.training.epochs
    if done is None:
        return []
    *_, training, evaluation = seconds(config, data_set, device)
    times = [0, *(entry['elapsed_time'] for entry in folder.read_log())]
    of_epoch = (float(numpy.median(numpy.diff(times))) if len(times) > 1
                else training.seconds / n_epochs)
    name = f'training, epochs {done + 1} to {n_epochs} of {len(data_set.train)} images'
    return [*([Stage(name, (n_epochs - done) * of_epoch)] if done < n_epochs else []), evaluation]


def seconds(config: Config, data_set: DataSet, device: chainer.backend.Device) -> list[Stage]:
    """Measures the stages of a run on a few pictures, without those that it needs.

    The weights are random ones of a model of its own, and the state of the random generators is
    restored, so that the run's results stay the same.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        data_set (finetune.data.records.DataSet): Its data set, as it is read.
        device (chainer.backend.Device): Device that computes.

    """
    with _same_random_numbers(), one_thread():
        parts = parts_of(config)
        stages = [_search(config, data_set, device)] if parts.to_be_found else []
        return stages + _learning(config, parts.provisional(data_set), device)


@contextlib.contextmanager
def _same_random_numbers():
    states = random.getstate(), numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])


def _learning(config, data_set, device):
    """Stages of training, or of features, mixture and SVM, and of evaluation."""
    n_train, n_test, settings = len(data_set.train), len(data_set.test), config.training
    model = build_classifier(config, data_set)
    model.to_device(device)
    loading, examples = _load(PartDataset(data_set.train, data_set.parts, config.data,
                                          train=True, seed=0))
    looking = _time_looking(config, model, loading, examples, device)
    if not settings.is_joint:
        return [Stage(f'features of {n_train + n_test} images, mixture and SVM',
                      (n_train + n_test) * looking)]
    stages = []
    if settings.keeps_conv_maps:
        n_views, _ = n_stored(config, data_set)
        stages.append(Stage(f'ConvMaps of {n_views} views of images', n_views * looking))
        loading, examples = 0, _conv_maps(model, examples, device)
        looking = _time_looking(config, model, loading, examples, device)
    step, update = _time_training(config, data_set, model, examples, device)
    n_updates = math.ceil(n_train / settings.update_size)
    learning = n_train * _overlapped(config, loading, step) + n_updates * update
    n_evaluations = math.ceil(settings.epochs / settings.evaluate_every)
    n_last = 1 + (robustness.n_passes(config) if config.data.has_parts else 0)
    looking *= n_test_views(config)
    return [*stages,
            Stage(f'training, {settings.epochs} epochs of {n_train} images',
                  settings.epochs * learning + n_evaluations * n_test * looking),
            Stage(f'evaluation on {n_test} images', n_last * n_test * looking)]


def _load(dataset):
    """Seconds to load an example, and a few of them.

    The median, as the first one of a file format takes longer.
    """
    examples, times = [], []
    for i in range(0, len(dataset), max(len(dataset) // N_LOADED, 1)):
        start = time.perf_counter()
        examples.append(dataset[i])
        times.append(time.perf_counter() - start)
    return float(numpy.median(times)), examples


def _overlapped(config, loading, computing):
    """Seconds per image: threads load images beside the computation."""
    n = config.training.workers
    return max(loading / n, computing) if n else loading + computing


def _conv_maps(model, examples, device):
    """Examples with ConvMaps in place of images and crops, which the model takes from now on."""
    def compute(cnn, images):
        with chainer.no_backprop_mode(), chainer.using_config('train', False):
            return cuda.to_cpu(model.computed_conv_maps(cnn, device.send(images)).array)

    model.given_conv_maps = True
    usable = [example for example in examples if len(example[1])] or examples
    return [(compute(model.global_cnn, image[None])[0],
             compute(model.part_cnn, crops) if len(crops) else crops, visible, label)
            for image, crops, visible, label in usable]


def _time_looking(config, model, loading, examples, device):
    """Seconds to load and classify an image in test mode."""
    return _overlapped(config, loading, _per_image(
        lambda n: _look(model, examples, n, device), config.training.batch_size, device))


def _time_training(config, data_set, model, examples, device):
    """Seconds of a training step per image, and of an update of the weights."""
    config = _copy(config, training=replace(config.training, workers=0))
    updater = build_updater(model, config, data_set, device)

    def step(n):
        model.cleargrads()
        updater.differentiate(updater.loss_func(*collate(_repeated(examples, n), device)))

    try:
        per_image = _per_image(step, config.training.batch_size, device)
        return per_image, _timed(lambda n: updater.update_weights(), 1, device)
    finally:
        updater.finalize()


def _look(model, examples, n, device):
    img, parts, visible, _ = collate(_repeated(examples, n), device)
    with chainer.using_config('train', False), chainer.no_backprop_mode(), \
            warnings.catch_warnings():
        warnings.simplefilter('ignore')     # the mixture has seen nothing
        model.scores(img, parts, visible)


def _search(config, data_set, device):
    """The stage in which parts are found."""
    settings = config.detector
    architecture = (prerequisites.finder(config).config.model.architecture
                    if is_config(settings.cnn) else detector.architecture_of(config))
    cnn = resolve_name(ARCHITECTURES[architecture].cnn)()
    found_by = detector.Detector(settings, architecture, cnn, AllFeatures(), device)
    of_whole = _copy(config, data=replace(config.data, input_size=settings.input_size))
    images = WholeImage(of_whole).add_to(data_set)
    dataset = PartDataset(images.train, images.parts, of_whole.data, train=False, seed=0)
    loading, examples = _load(dataset)
    img = collate(_repeated(examples, detector.BATCH_SIZE))[0]

    def features(n):
        with chainer.no_backprop_mode():
            detector.pooled_features(cnn, img, device)

    of_features = _timed(features, detector.BATCH_SIZE, device)
    of_looks = (BACKWARD * of_features if of_features > 2 * QUICK_SECONDS else
                _timed(lambda n: found_by.look(img), detector.BATCH_SIZE, device))
    n = len(data_set.train) + len(data_set.test)
    n_train = 0 if settings.features in CLASS_FREE else len(data_set.train)
    return Stage(f'finding parts in {n} images', sum(
        n_images * _overlapped(config, loading, seconds / detector.BATCH_SIZE)
        for n_images, seconds in ((n_train, of_features), (n, of_looks))))


def _copy(config, **sections):
    changed = copy.copy(config)
    for name, section in sections.items():
        setattr(changed, name, section)
    return changed


def _repeated(examples, n):
    return [examples[i % len(examples)] for i in range(n)]


def _per_image(work: Callable[[int], None], batch_size: int, device) -> float:
    """Seconds per image of ``work(n)``, which computes n images."""
    n = min(N_LOOKED_AT, batch_size)
    taken = _timed(work, n, device) / n
    return _timed(work, batch_size, device) / batch_size if (
        n < batch_size and taken * batch_size < QUICK_SECONDS) else taken


def _timed(work: Callable[[int], None], n: int, device: chainer.backend.Device) -> float:
    """Seconds of ``work(n)``: the shortest of some times, as other programs take their share.

    The first time, in which libraries choose algorithms, only counts if it is long.
    """
    times = []
    while not times or len(times) < MAX_REPETITIONS and sum(times) < QUICK_SECONDS:
        start = time.perf_counter()
        work(n)
        if device.xp is not numpy:
            cuda.Stream.null.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
