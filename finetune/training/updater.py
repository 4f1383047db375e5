"""Updates of the weights by gradients that are accumulated over smaller batches."""
import collections

import chainer
from chainer.training import updaters

from finetune.data.dataset import collate


class AccumulatingUpdater(updaters.StandardUpdater):

    """Updates the weights with the mean gradient over a batch that is processed piece by piece.

    The iterator's batch is cut into pieces of ``batch_size`` images (the last may be shorter),
    each weighted by its share of images, and so are the values that the model reports. For a model
    without batch statistics that is the gradient of the whole batch. Batch normalisation and the
    mixture see the pieces.

    Differs from the authors' code, which sums gradients, so that the step grows with their number.

    Args:
        iterator (chainer.dataset.Iterator): Yields all images of one update.
        optimizer (chainer.Optimizer): Optimizer of the model.
        batch_size (int): Images per forward and backward pass.
        loss_func (callable): Loss of the arrays of one piece.
        device: Where to compute.
        converter (callable): Makes arrays from a list of examples.

    """

    def __init__(self, iterator, optimizer, batch_size, loss_func, device, converter=collate):
        super().__init__(iterator, optimizer, converter, device=device, loss_func=loss_func)
        self.images_per_pass = batch_size

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
        chainer.report(reported)
        optimizer.update()

    def _accumulate(self, piece, share):
        """Adds the gradient of one piece; returns what the model reported."""
        observation = {}
        with chainer.report_scope(observation):
            loss = self.loss_func(*self.converter(piece, self.device))
        (share * loss).backward()
        return {name: getattr(value, 'array', value) for name, value in observation.items()}
