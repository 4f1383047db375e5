"""Table 3 of the paper on this machine: how a training step spends its time."""
from dataclasses import replace
import contextlib
import time

import chainer
from chainer.backends import cuda
import numpy

from fve_layer.function import FisherVector, FisherVectorGrad
from finetune.compute.threads import N_THREADS, one_thread
from finetune.config.config import read_config
from finetune.config.project import HERE
from finetune.models.part_classifier import build_classifier
from finetune.parts import kind
from finetune.progress import progress_bar
from finetune.report import published
from finetune.runs.opening import open_device, seed_generators
from finetune.training.trainer import build_updater

WARM_UP = 3     # steps in which the mixture is seeded and libraries choose algorithms

STEP, LOADING, FORWARD, BACKWARD, WEIGHTS = (
    'training step', 'waiting for images', 'forward pass', 'backward pass', 'update of the weights')
LAYER, FV, FV_GRAD = 'layer, forward', 'Fisher vector, forward', 'Fisher vector, backward'
MIXTURE, WHOLE_LAYER = 'update of the mixture', 'layer in all'

# Rows of the table and their indentation.
ROWS = ((STEP, 0), (LOADING, 1), (FORWARD, 1), (LAYER, 2), (MIXTURE, 3), (FV, 3), (BACKWARD, 1),
        (FV_GRAD, 2), (WEIGHTS, 1), (WHOLE_LAYER, 0))


class Stopwatch:

    """Sums up the time of named spans, step by step.

    On a GPU, spans are timed by events of the device, so that the CPU does not wait.
    """

    def __init__(self, device):
        self.on_gpu = device.xp is not numpy
        self.steps = []

    @contextlib.contextmanager
    def step(self):
        """Context of a training step, in which spans are summed up."""
        self.steps.append([])
        with self.span(STEP):
            yield

    @contextlib.contextmanager
    def span(self, name):
        """Context whose time is added to a span."""
        start = self.now()
        yield
        self.add(name, start)

    def now(self):
        """The current time, as :meth:`add` takes it."""
        if not self.on_gpu:
            return time.perf_counter()
        event = cuda.Event()
        event.record()
        return event

    def add(self, name, start):
        """Adds the time since ``start`` to a span."""
        self.steps[-1].append((name, start, self.now()))

    def milliseconds(self):
        """Time of every span by name: arrays (number of steps,)."""
        if self.on_gpu:
            cuda.Stream.null.synchronize()
        names = {name for step in self.steps for name, _, _ in step}
        return {name: numpy.array([sum(self._between(*times) for span, *times in step
                                       if span == name) for step in self.steps])
                for name in names}

    def _between(self, start, stop):
        return cuda.cupy.cuda.get_elapsed_time(start, stop) if self.on_gpu \
            else 1000 * (stop - start)


class _LayerTimes(chainer.LinkHook):

    name = 'finetune.runtime.layer'

    def __init__(self, link, stopwatch):
        super().__init__()
        self.link, self.stopwatch = link, stopwatch

    def forward_preprocess(self, args):
        if args.link is self.link:
            self.start = self.stopwatch.now()

    def forward_postprocess(self, args):
        if args.link is self.link:
            self.stopwatch.add(LAYER, self.start)


class _FisherVectorTimes(chainer.FunctionHook):

    name = 'finetune.runtime.fisher_vector'
    spans = {FisherVector: FV, FisherVectorGrad: FV_GRAD}

    def __init__(self, stopwatch):
        super().__init__()
        self.stopwatch = stopwatch

    def forward_preprocess(self, function, in_data):
        if type(function) in self.spans:
            self.start = self.stopwatch.now()

    def forward_postprocess(self, function, in_data):
        if type(function) in self.spans:
            self.stopwatch.add(self.spans[type(function)], self.start)


def measure(config_path, overrides, n_steps, project=HERE):
    """Trains for some steps with random weights and prints how the time was spent.

    A step is one forward and backward pass of ``training.batch_size`` images and an update of the
    weights. Nothing is saved.

    Args:
        config_path (str): YAML file of the experiment.
        overrides (list of str): ``section.name=value`` settings that win over the file.
        n_steps (int): Number of timed steps.
        project (finetune.config.project.Project): What paths are relative to.

    """
    config = read_config(config_path, overrides, project)
    config.training = replace(config.training, update_size=config.training.batch_size)
    data_set = kind.load(config, provisional=True)
    device = open_device(config.training.gpu)
    seed_generators(config.training.seed, device)
    model = build_classifier(config, data_set)
    model.to_device(device)
    stopwatch = Stopwatch(device)
    updater = build_updater(model, config, data_set, device)
    n_total = WARM_UP + n_steps
    try:
        with one_thread():
            for _ in progress_bar(range(n_total), n_total, 'Training steps'):
                _step(updater, model, stopwatch)
    finally:
        updater.finalize()
    times = {name: steps[WARM_UP:] for name, steps in stopwatch.milliseconds().items()}
    print(f'{n_steps} steps of {config.training.batch_size} images with up to {model.n_parts} '
          f'parts on {_name(device)}: mean and standard deviation')
    _print_table(_with_differences(times), _published())


def _step(updater, model, stopwatch):
    """Does the same as :class:`~finetune.training.updater.AccumulatingUpdater` with one batch."""
    iterator = updater.get_iterator('main')
    with stopwatch.step():
        with stopwatch.span(LOADING):
            arrays = updater.converter(iterator.next(), updater.device)
        model.cleargrads()
        with _LayerTimes(getattr(model, 'encoder', None), stopwatch), _FisherVectorTimes(stopwatch):
            with stopwatch.span(FORWARD):
                loss = updater.loss_func(*arrays)
            with stopwatch.span(BACKWARD):
                updater.differentiate(loss)
        with stopwatch.span(WEIGHTS):
            updater.update_weights()


def _name(device):
    if device.xp is numpy:
        return f'the CPU, {N_THREADS} threads'
    return cuda.cupy.cuda.runtime.getDeviceProperties(device.device.id)['name'].decode()


def _with_differences(times):
    """Adds the times of the whole layer and of the mixture (layer without encoding)."""
    if FV in times:
        times[MIXTURE] = times[LAYER] - times[FV]
        times[WHOLE_LAYER] = times[LAYER] + times[FV_GRAD]
    return times


def _published():
    """Milliseconds of the paper's Table 3 by the names of our rows."""
    times = published.read().run_time
    times = {row['step']: row['milliseconds'] for row in times['rows']}
    times[FV] = times.pop('Fisher vector')
    return {**times, WHOLE_LAYER: times[MIXTURE] + times[FV]}


def _print_table(times, published_times):
    print(f'{"":28s}{"ms":>20s}{"%":>9s}{"published: ms":>17s}{"%":>9s}')
    for name, indent in ROWS:
        if name not in times:
            continue
        share = 100 * times[name].mean() / times[STEP].mean()
        line = (f'{2 * indent * " " + name:28s}{times[name].mean():10.2f} +- '
                f'{times[name].std(ddof=1):6.2f}{share:9.2f}')
        if name in published_times:
            milliseconds = published_times[name]
            line += f'{milliseconds:17.1f}{100 * milliseconds / published_times[STEP]:9.2f}'
        print(line)
    print('Published: Table 3 of the paper; CUB-200-2011, InceptionV3, GTX 1080 Ti.')
