"""Trainer extensions that Chainer lacks."""
import math
import resource
import sys
import time

import chainer
from chainer.training import extension, extensions, triggers
import numpy

from finetune.errors import InputError
from finetune.progress import clear_line, draw_bar, duration
from finetune.ranks import batch_statistics
from finetune.runs.predictions import predict
from finetune.runs.saved_files import TEST_ACCURACY

# Entries of the log that are printed, and their formats.
SHOWN = {'epoch': 'epoch {:3d}', 'main/loss': 'loss {:.4f}',
         'main/accuracy/both': 'accuracy {:.4f}', 'validation/main/loss': 'test loss {:.4f}',
         TEST_ACCURACY: 'test accuracy {:.4f}', 'lr': 'lr {:.2e}', 'elapsed_time': '{:.0f} s'}


class Evaluator(extensions.Evaluator):

    """Chainer's evaluator, but it averages over images instead of batches.

    Scores that are not finite stop the run before it saves anything.

    Args:
        iterator (chainer.dataset.Iterator): One pass over the test images.
        model (finetune.models.part_classifier.PartClassifier): Classifier to evaluate.
        device: Device that computes.
        comm: ChainerMN's communicator if each rank has a share of the images, or ``None``.
        n_views (int): Number of consecutive examples that show the same image.

    """

    def __init__(self, iterator, model, device, comm=None, n_views=1):
        super().__init__(iterator, model, device=device)
        self.comm, self.n_views = comm, n_views
        self._place = 'the model'

    def __call__(self, trainer=None):
        if trainer is not None:
            self._place = (f'{trainer.out}: iteration {trainer.updater.iteration}, which is not '
                           'saved')
        return super().__call__(trainer)

    def evaluate(self):
        model, iterator = self.get_target('main'), self.get_iterator('main')
        iterator.reset()
        predictions = predict(model, iterator, self.device, self._place, self.n_views)
        means = {'loss': predictions.loss, **{f'accuracy/{stream}': accuracy for stream, accuracy
                                              in predictions.accuracies.items()}}
        if self.comm is not None:
            n = len(predictions.label)
            *sums, n_all = self.comm.allreduce(n * numpy.array([*means.values(), 1.]))
            means = {name: sum_ / n_all for name, sum_ in zip(means, sums)}
        observation = {}
        with chainer.report_scope(observation):
            chainer.report(means, model)
        return observation


def average_batch_norm(comm):
    """Extension that averages the running statistics of batch normalisation over all ranks.

    It runs before evaluation and snapshot, so that any number of ranks can resume.
    """
    @extension.make_extension(trigger=(1, 'epoch'), priority=extension.PRIORITY_WRITER + 2)
    def average(trainer):
        batch_statistics.average(trainer.updater.get_optimizer('main').target, comm)
    return average


def drop_non_numbers(entry):
    """Drops the means of an epoch that an overflow in one of its batches made infinite.

    Loss scaling skips the updates of such batches, so that the run goes on.
    """
    for name in [name for name, value in entry.items() if not _is_finite(value)]:
        del entry[name]


def show_progress(trainer):
    """Prints a line per epoch and, on a terminal, a progress bar."""
    trainer.extend(print_epoch, trigger=(1, 'epoch'), priority=extension.PRIORITY_READER)
    if sys.stderr.isatty():     # also where the lines go to a file
        # A trigger without state: a snapshot is the same with a bar and without.
        trainer.extend(ProgressBar(), trigger=lambda trainer: True)


class ProgressBar(extension.Extension):

    """Draws on the terminal how far the training is, and about how long it still takes.

    Chainer's own bar writes to the standard output, also where it is a file.
    """

    def __init__(self):
        self._begun = None      # time and epoch of the first call, before which there is no pace

    def __call__(self, trainer):
        epoch, now = trainer.updater.epoch_detail, time.monotonic()
        n_epochs, _ = trainer.stop_trigger.get_training_length()
        text = f'epoch {min(math.ceil(epoch), n_epochs)} of {n_epochs}'
        if self._begun is None:
            self._begun = now, epoch
        else:
            left = (now - self._begun[0]) * (n_epochs - epoch) / (epoch - self._begun[1])
            text += f', about {duration(max(left, 0))} left'
        draw_bar(min(epoch / n_epochs, 1), text)

    def finalize(self):
        clear_line()


def print_epoch(trainer):
    """Prints the last entry of the log in a line."""
    entry = trainer.get_extension('LogReport').log[-1]
    clear_line()
    print('   '.join(words.format(entry[name]) for name, words in SHOWN.items() if name in entry),
          flush=True)


def peak_memory(trainer):
    """Peak memory in MiB: of the process, or of CuPy's pool on a GPU."""
    if trainer.updater.device.xp is numpy:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 10
    return chainer.backends.cuda.memory_pool.total_bytes() / 2 ** 20


def keep_best(folder):
    """Extension that saves the weights after an evaluation with the best accuracy so far."""
    @extension.make_extension(priority=extension.PRIORITY_READER)
    def save_if_best(trainer):
        *before, now = (entry[TEST_ACCURACY] for entry in trainer.get_extension('LogReport').log
                        if TEST_ACCURACY in entry)
        if now > max(before, default=-1):
            folder.save_model(trainer.updater.get_optimizer('main').target, folder.best)
    return save_if_best


def best_epoch(log):
    """The first epoch with the highest accuracy, and the last one of a log."""
    evaluated = [entry for entry in log if TEST_ACCURACY in entry]
    return max(evaluated, key=lambda entry: entry[TEST_ACCURACY])['epoch'], log[-1]['epoch']


class StopWhenStale(triggers.IntervalTrigger):

    """Trigger that stops training after some epochs, or if the accuracy no longer rises.

    The log is its only state, so that a resumed run stops after the same epoch.

    Args:
        n_epochs (int): Largest number of epochs.
        patience (int): Number of evaluations without a higher accuracy than before.

    """

    def __init__(self, n_epochs, patience):
        super().__init__(n_epochs, 'epoch')
        self.patience = patience

    def __call__(self, trainer):
        accuracies = [entry[TEST_ACCURACY] for entry in trainer.get_extension('LogReport').log
                      if TEST_ACCURACY in entry]
        is_stale = accuracies and (
            len(accuracies) - 1 - int(numpy.argmax(accuracies)) >= self.patience)
        return super().__call__(trainer) or bool(is_stale)


def tensorboard(folder):
    """Extension that writes the log for TensorBoard into the run's folder."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError('training.tensorboard: the package tensorboardX is missing; '
                         'pip install tensorboardX.')
    writer = None

    @extension.make_extension(trigger=(1, 'epoch'), priority=extension.PRIORITY_READER)
    def write(trainer):
        nonlocal writer
        entry = trainer.get_extension('LogReport').log[-1]
        if writer is None:      # drops what an interrupted run wrote from this epoch on
            writer = SummaryWriter(str(folder.path / 'tensorboard'), purge_step=entry['epoch'])
        for name, value in entry.items():
            writer.add_scalar(name, value, entry['epoch'])
        writer.flush()
    return write


@extension.make_extension(trigger=(1, 'epoch'), priority=extension.PRIORITY_WRITER + 1)
def stop_on_non_number(trainer):
    """Stops the run before saving if the loss or an array of the model is not finite.

    It replaces Chainer's ``FailOnNonNumber``, which does not name the array.
    """
    model = trainer.updater.get_optimizer('main').target
    loss = trainer.observation.get('main/loss')
    arrays = [(name, param.array) for name, param in sorted(model.namedparams())]
    arrays += [(f'{name}/{key}', getattr(link, key)) for name, link in sorted(model.namedlinks())
               for key in sorted(link._persistent)]
    if loss is not None:
        arrays.append(('the loss', loss))
    for name, array in arrays:
        if not _is_finite(array):
            raise InputError(f'{name.lstrip("/")} is not finite after iteration '
                             f'{trainer.updater.iteration}, which is not saved; lower '
                             'training.learning_rate and give another --output.')


def _is_finite(value):
    array = chainer.backend.get_array_module(value).asarray(value)
    return array.dtype.kind != 'f' or bool(numpy.isfinite(array).all())
