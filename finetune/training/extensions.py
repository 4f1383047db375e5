"""Trainer extensions that Chainer lacks."""
import sys

import chainer
from chainer.training import extension, extensions
import numpy

from finetune.errors import InputError
from finetune.runs.predictions import predict

COLUMNS = ['epoch', 'main/loss', 'main/accuracy/both', 'validation/main/loss',
           'validation/main/accuracy/both', 'lr', 'elapsed_time']


class Evaluator(extensions.Evaluator):

    """Chainer's evaluator with a mean over images, whatever the size of the last batch.

    Args:
        iterator (chainer.dataset.Iterator): One pass over the test images.
        model (finetune.models.part_classifier.PartClassifier): Classifier to evaluate.
        device: Where to compute.

    """

    def __init__(self, iterator, model, device):
        super().__init__(iterator, model, device=device)

    def evaluate(self):
        model, iterator = self.get_target('main'), self.get_iterator('main')
        iterator.reset()
        predictions = predict(model, iterator, self.device)
        observation = {}
        with chainer.report_scope(observation):
            chainer.report({'loss': predictions.loss, **{
                f'accuracy/{stream}': accuracy
                for stream, accuracy in predictions.accuracies.items()}}, model)
        return observation


class Steps(extension.Extension):

    """Multiplies a value, such as the learning rate, by a factor after each of some epochs.

    In place of Chainer's ``ExponentialShift`` with a ``ManualScheduleTrigger``, which forgets the
    value of a run that is resumed after the last step.

    Args:
        target: Has the value, as an optimizer has its learning rate.
        attribute (str): Name of the value.
        initial (float): Value at the beginning.
        factor (float): Multiplies the value at every step.
        epochs (iterable of int): The epochs after which there is a step.
        smallest (float): Lower bound of the value.

    """

    trigger = 1, 'epoch'

    def __init__(self, target, attribute, initial, factor, epochs, smallest=0.):
        self.target = target
        self.attribute = attribute
        self.initial = initial
        self.factor = factor
        self.epochs = epochs
        self.smallest = smallest

    def __call__(self, trainer):
        n_steps = sum(epoch <= trainer.updater.epoch for epoch in self.epochs)
        value = self.initial * self.factor ** n_steps
        setattr(self.target, self.attribute, max(value, self.smallest))

    def initialize(self, trainer):
        self(trainer)


def show_progress(trainer):
    """Shows a table and a progress bar on a terminal, one line per epoch otherwise."""
    if sys.stdout.isatty():
        trainer.extend(extensions.PrintReport(COLUMNS))
        trainer.extend(extensions.ProgressBar(update_interval=1))
    else:
        trainer.extend(print_epoch, trigger=(1, 'epoch'), priority=extension.PRIORITY_READER)


def print_epoch(trainer):
    """Prints the last entry of the log in a line."""
    entry = trainer.get_extension('LogReport').log[-1]
    print('epoch {epoch:3d}   loss {main/loss:.4f}   accuracy {main/accuracy/both:.4f}   '
          'test loss {validation/main/loss:.4f}   '
          'test accuracy {validation/main/accuracy/both:.4f}   '
          'lr {lr:.2e}   {elapsed_time:.0f} s'.format(**entry), flush=True)


@extension.make_extension(trigger=(1, 'epoch'), priority=extension.PRIORITY_WRITER + 1)
def stop_on_non_number(trainer):
    """Stops the run before anything is saved if the loss or an array of the model is not finite.

    In place of Chainer's ``FailOnNonNumber``, which does not name the array.
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
                             'training.learning_rate and write to another --output.')


def _is_finite(value):
    array = chainer.backend.get_array_module(value).asarray(value)
    return array.dtype.kind != 'f' or bool(numpy.isfinite(array).all())
