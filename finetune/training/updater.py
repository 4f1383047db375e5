"""Updates of the weights by gradients that are accumulated over smaller batches."""
import collections
import contextlib
import warnings

import chainer
from chainer.training import updaters
import numpy

from fve_layer.communication import total
from finetune.data.dataset import collate


class AccumulatingUpdater(updaters.StandardUpdater):

    """Updates the weights with the mean gradient over a batch that is processed piece by piece.

    The iterator's batch is cut into pieces of ``batch_size`` images (the last may be shorter),
    each weighted by its share of images, and so are the values that the model reports. For a model
    without batch statistics that is the gradient of the whole batch. Batch normalisation and the
    mixture see the pieces.

    Chainer's loss scaling is applied if it is set on the optimizer: its scale doubles until a
    gradient overflows; then the update is left out and the scale halved.

    Differs from the authors' code, which sums gradients, so that the step grows with their number,
    and does not apply its (static) loss scaling to them.

    Args:
        iterator (chainer.dataset.Iterator): Yields all images of one update.
        optimizer (chainer.Optimizer): Optimizer of the model.
        batch_size (int): Images per forward and backward pass.
        loss_func (callable): Loss of the arrays of one piece.
        device: Where to compute.
        converter (callable): Makes arrays from a list of examples.
        comm: ChainerMN's communicator if there are several ranks, each with as many images:
            gradients, and what the model reports, are the means over all. ``None``: there is one.

    """

    def __init__(self, iterator, optimizer, batch_size, loss_func, device, converter=collate,
                 comm=None):
        super().__init__(iterator, optimizer, converter, device=device, loss_func=loss_func)
        self.images_per_pass, self.comm = batch_size, comm

    def update_core(self):
        batch = self.get_iterator('main').next()
        optimizer = self.get_optimizer('main')
        optimizer.target.cleargrads()
        reported = collections.defaultdict(float)
        for start in range(0, len(batch), self.images_per_pass):
            piece = batch[start:start + self.images_per_pass]
            share = len(piece) / len(batch)
            for name, value in self._accumulate(piece, share).items():
                reported[name] += share * value
        if self.comm is not None:
            reported = self._mean_over_ranks(reported)
        if optimizer._loss_scale is not None:
            reported['loss_scale'] = optimizer._loss_scale
        chainer.report(reported)
        self.update_weights()

    def _accumulate(self, piece, share):
        """Adds the gradient of one piece; returns what the model reported."""
        observation = {}
        with chainer.report_scope(observation):
            loss = self.loss_func(*self.converter(piece, self.device))
        self.differentiate(share * loss)
        return {name: getattr(value, 'array', value) for name, value in observation.items()}

    def _mean_over_ranks(self, reported):
        xp, names = self.device.xp, sorted(reported)
        values = [xp.asarray(reported[name], numpy.float64) for name in names]
        return {name: value / self.comm.size
                for name, value in zip(names, total(values, self.comm))}

    def differentiate(self, loss):
        """Adds the gradients of a loss to those of the weights."""
        optimizer = self.get_optimizer('main')
        with _overflow_expected(optimizer):
            loss.backward(loss_scale=optimizer._loss_scale)

    def update_weights(self):
        """One step of the optimizer by the gradients that were added up."""
        optimizer = self.get_optimizer('main')
        if self.comm is not None:
            # A rank without visible parts has no gradient of their CNN. If none has any, weight
            # decay and momentum move it all the same, unlike in a process alone.
            self.comm.multi_node_mean_grad(optimizer.target, zero_fill=True)
        if optimizer._loss_scale is not None:
            for param in optimizer.target.params():     # it divides its gradient by this
                param._loss_scale = optimizer._loss_scale
        with _overflow_expected(optimizer):
            optimizer.update()

    def serialize(self, serializer):
        """Saves and loads the state of the loss scaling, too, which the optimizer leaves out."""
        super().serialize(serializer)
        optimizer = self.get_optimizer('main')
        if optimizer._loss_scale is not None:
            for name in '_loss_scale', '_loss_scaling_isnan_ever':
                setattr(optimizer, name, serializer(name, getattr(optimizer, name)))


@contextlib.contextmanager
def _overflow_expected(optimizer):
    """With loss scaling NumPy and Chainer need not warn of gradients that overflow."""
    if optimizer._loss_scale is None:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'overflow|invalid value|Non finite number')
        yield
