"""Updates of the weights by gradients accumulated over pieces of a batch."""
import collections
import contextlib
import warnings

import chainer
from chainer.training import updaters
import numpy

from fve_layer.communication import total
from finetune.data.dataset import collate


class WeightDecay(chainer.optimizer_hooks.WeightDecay):

    """Chainer's weight decay without the weights that do not learn, which saves time."""

    def __call__(self, rule, param):
        if rule.enabled:
            super().__call__(rule, param)


class AccumulatingUpdater(updaters.StandardUpdater):

    """Updates the weights with the mean gradient over a batch that is processed piece by piece.

    The iterator's batch is cut into pieces of ``batch_size`` images (the last may be shorter).
    Gradients and reported values are weighted by each piece's share of images. For a model without
    batch statistics the result is the gradient of the whole batch. Batch normalisation and the
    mixture use the statistics of each piece.

    Chainer's loss scaling is applied if it is set on the optimizer: the scale doubles until a
    gradient overflows; then the update is skipped and the scale halved.

    Differs from the authors' code, which sums gradients, so that the step grows with the number of
    pieces, and does not apply its (static) loss scaling to accumulated gradients.

    Args:
        iterator (chainer.dataset.Iterator): Yields all images of one update.
        optimizer (chainer.Optimizer): Optimizer of the model.
        batch_size (int): Images per forward and backward pass.
        loss_func (callable): Loss of the arrays of one piece.
        device: Device that computes.
        converter (callable): Converts a list of examples into arrays.
        comm: ChainerMN's communicator of several ranks with equal numbers of images, over which
            gradients and reported values are averaged; ``None``: a single rank.

    """

    def __init__(self, iterator, optimizer, batch_size, loss_func, device, converter=collate,
                 comm=None):
        super().__init__(iterator, optimizer, converter, device=device, loss_func=loss_func)
        self.images_per_pass, self.comm = batch_size, comm

    def update_core(self):
        batch = self.get_iterator('main').next()
        optimizer = self.get_optimizer('main')
        for param in optimizer.target.params():
            if param.update_rule.enabled:       # Chainer would allocate other gradients again
                param.cleargrad()
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
        """Adds the gradient of one piece; returns the values that the model reported."""
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
        """Adds the gradients of a loss to the weights' gradients."""
        optimizer = self.get_optimizer('main')
        with _overflow_expected(optimizer):
            loss.backward(loss_scale=optimizer._loss_scale)

    def update_weights(self):
        """Takes one step of the optimizer with the accumulated gradients."""
        optimizer = self.get_optimizer('main')
        if self.comm is not None:
            # A rank without visible parts has no gradient of the part CNN. If no rank has visible
            # parts, weight decay and momentum still move the part CNN, unlike on a single rank.
            self.comm.multi_node_mean_grad(optimizer.target, zero_fill=True)
        if optimizer._loss_scale is not None:
            for param in optimizer.target.params():     # divides its gradient by this scale
                param._loss_scale = optimizer._loss_scale
        with _overflow_expected(optimizer):
            optimizer.update()

    def serialize(self, serializer):
        """Also saves and loads the state of the loss scaling, which the optimizer omits."""
        super().serialize(serializer)
        optimizer = self.get_optimizer('main')
        if optimizer._loss_scale is not None:
            for name in '_loss_scale', '_loss_scaling_isnan_ever':
                setattr(optimizer, name, serializer(name, getattr(optimizer, name)))


@contextlib.contextmanager
def _overflow_expected(optimizer):
    """Silences warnings of overflowing gradients, which loss scaling handles."""
    if optimizer._loss_scale is None:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'overflow|invalid value|Non finite number')
        yield
