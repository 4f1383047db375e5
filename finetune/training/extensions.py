"""What a run shows and checks while it trains. All else is Chainer's own."""
import sys

import chainer
from chainer.training import extension, extensions
import numpy

from finetune.errors import InputError

COLUMNS = ['epoch', 'main/loss', 'main/accuracy', 'validation/main/loss',
           'validation/main/accuracy', 'lr', 'elapsed_time']


def show_progress(trainer):
    """A table and a progress bar on a terminal, one plain line per epoch otherwise."""
    if sys.stdout.isatty():
        trainer.extend(extensions.PrintReport(COLUMNS))
        trainer.extend(extensions.ProgressBar(update_interval=1))
    else:
        trainer.extend(print_epoch, trigger=(1, 'epoch'), priority=extension.PRIORITY_READER)


def print_epoch(trainer):
    """Prints what the log says of the epoch that has ended."""
    entry = trainer.get_extension('LogReport').log[-1]
    print('epoch {epoch:3d}   loss {main/loss:.4f}   accuracy {main/accuracy:.4f}   '
          'test loss {validation/main/loss:.4f}   test accuracy {validation/main/accuracy:.4f}   '
          'lr {lr:.2e}   {elapsed_time:.0f} s'.format(**entry), flush=True)


@extension.make_extension(trigger=(1, 'epoch'), priority=extension.PRIORITY_WRITER + 1)
def stop_on_non_number(trainer):
    """Stops the run before anything is saved if the loss or an array of the model is not finite.

    In place of Chainer's ``FailOnNonNumber``, which does not say which array it was.
    """
    model = trainer.updater.get_optimizer('main').target
    loss = trainer.observation.get('main/loss')
    arrays = [(name, param.array) for name, param in sorted(model.namedparams())]
    arrays += [(f'{name}/{key}', getattr(link, key)) for name, link in sorted(model.namedlinks())
               for key in sorted(link._persistent)]
    for name, array in arrays:
        if not _is_finite(array):
            raise InputError(f'{name.lstrip("/")} is not finite any more after iteration '
                             f'{trainer.updater.iteration}; the last snapshot is intact, lower '
                             'training.learning_rate and write to another --output.')
    if loss is not None and not _is_finite(loss):
        raise InputError(f'the loss is not finite any more after iteration '
                         f'{trainer.updater.iteration}; the last snapshot is intact, lower '
                         'training.learning_rate and write to another --output.')


def _is_finite(value):
    array = chainer.backend.get_array_module(value).asarray(value)
    return array.dtype.kind != 'f' or bool(numpy.isfinite(array).all())
