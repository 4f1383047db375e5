"""Batch statistics that are computed over the batches of all ranks."""
import chainer
from chainer import function_node
import chainer.links as L
import numpy

import fve_layer
from fve_layer.communication import total


class MultiNodeBatchNormalization(L.BatchNormalization):

    """Batch normalisation with statistics over the batches of all ranks.

    It replaces ChainerMN's link of the same name, which averages the ranks' statistics although
    hidden parts give ranks different numbers of crops.

    Args:
        link (chainer.links.BatchNormalization): Link whose arrays and options are copied.
        comm: ChainerMN's communicator.

    """

    def __init__(self, link, comm):
        super().__init__(link.avg_mean.shape, link.decay, link.eps, link.avg_mean.dtype,
                         use_gamma=link.gamma is not None, use_beta=link.beta is not None)
        self.comm = comm
        self.copyparams(link)
        for name in link._persistent:
            setattr(self, name, getattr(link, name))

    def forward(self, x):
        if not chainer.config.train:
            return super().forward(x)
        gamma = self.xp.ones_like(self.avg_mean) if self.gamma is None else self.gamma
        beta = self.xp.zeros_like(self.avg_mean) if self.beta is None else self.beta
        function = _BatchNormalization(self.comm, self.eps)
        y, = function.apply((x, gamma, beta))
        if not chainer.config.in_recomputing:
            n = function.n
            for running, value in ((self.avg_mean, function.mean),
                                   (self.avg_var, function.var * n / (n - 1).clip(1, None))):
                running *= self.decay
                running += (1 - self.decay) * value.astype(running.dtype)
        return y


class _BatchNormalization(function_node.FunctionNode):

    def __init__(self, comm, eps):
        self.comm, self.eps = comm, eps
        # A rank without images for a CNN takes part with a placeholder that does not count.
        self.counts = bool(getattr(chainer.config, 'in_batch_statistics', True))

    def _sums(self, *arrays):
        """Sums arrays (N, C, H, W) by channel, float64; zeros if they do not count."""
        return [self.counts * array.sum(axis=(0, 2, 3), dtype=numpy.float64) for array in arrays]

    def forward(self, inputs):
        self.retain_inputs((0, 1))
        x, gamma, beta = inputs
        xp = chainer.backend.get_array_module(x)
        n_own = x.size // x.shape[1]
        mean = x.mean(axis=(0, 2, 3), dtype=numpy.float64)
        deviation, = self._sums((x - _channels(mean, x)) ** 2)
        own = self.counts * n_own * mean
        n, first, second = total([xp.full(1, float(self.counts * n_own)), own,
                                  deviation + own * mean], self.comm)
        self.n = n.clip(1, None)
        self.mean = first / self.n
        self.var = (second / self.n - self.mean ** 2).clip(0, None)
        self.inv_std = (self.var + self.eps) ** -.5
        return self._normalized(x) * _channels(gamma, x) + _channels(beta, x),

    def _normalized(self, x):
        return (x - _channels(self.mean, x)) * _channels(self.inv_std, x)

    def backward(self, indexes, grad_outputs):
        x, gamma = self.get_retained_inputs()
        gradients = _BatchNormalizationGrad(self).apply((x, gamma, grad_outputs[0]))
        return tuple(gradients[i] for i in indexes)


class _BatchNormalizationGrad(function_node.FunctionNode):

    """Gradients, which cannot be differentiated again.

    The gradients of scale and shift cover this rank's images: the updater averages them over ranks.
    """

    def __init__(self, function):
        self.function = function

    def forward(self, inputs):
        x, gamma, gy = inputs
        f = self.function
        normalized = f._normalized(x)
        gbeta, ggamma = (array.sum(axis=(0, 2, 3), dtype=numpy.float64)
                         for array in (gy, gy * normalized))
        all_gbeta, all_ggamma = total([f.counts * gbeta, f.counts * ggamma], f.comm)
        mean = _channels(all_gbeta / f.n, x) + normalized * _channels(all_ggamma / f.n, x)
        gx = f.counts * (gy - mean) * _channels(gamma * f.inv_std, x)
        return gx, ggamma.astype(gamma.dtype), gbeta.astype(gamma.dtype)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError('this batch normalisation has no second derivative')


def _channels(values, x):
    """Reshapes values (C,) for arrays (N, C, H, W) like ``x``."""
    return values.astype(x.dtype)[:, None, None]


def connect(model, comm, batch_norm):
    """Makes mixture and scaling use the batches of all ranks, and optionally batch normalisation.

    Args:
        model (finetune.models.part_classifier.PartClassifier): The classifier.
        comm: ChainerMN's communicator.
        batch_norm (bool): Whether to include batch normalisation.

    """
    fve_layer.multi_node(model, comm)
    if hasattr(model, 'scaling'):
        model.scaling.comm = comm
    if not batch_norm:
        return
    model.synchronized = True
    for chain in [link for link in model.links() if isinstance(link, chainer.Chain)]:
        for name in sorted(chain._children):
            link = chain[name]
            if type(link) is L.BatchNormalization:
                delattr(chain, name)
                with chain.init_scope():
                    setattr(chain, name, MultiNodeBatchNormalization(link, comm))


def average(model, comm):
    """Averages the running statistics of batch normalisation over all ranks."""
    links = [link for _, link in sorted(model.namedlinks())
             if isinstance(link, L.BatchNormalization)]
    arrays = [array for link in links for array in (link.avg_mean, link.avg_var)]
    for array, sum_ in zip(arrays, total([a.astype(numpy.float64) for a in arrays], comm)):
        array[...] = sum_ / comm.size
