"""Layers of CNNs, computed by oneDNN if it is installed, else by Chainer."""
import chainer
from chainer import function_node
import chainer.functions as F
import chainer.links as L
import numpy

from finetune.compute import onednn, onednn_convolution, onednn_functions
from finetune.compute.convolution import Convolution2D


class ReLU6(function_node.FunctionNode):

    """Limits values to [0, 6]; it keeps its result, Chainer's function its input, and so two."""

    def forward(self, inputs):
        self.retain_outputs((0,))
        x, = inputs
        return x.clip(0, 6),

    def backward(self, indexes, grad_outputs):
        y, = self.get_retained_outputs()
        return grad_outputs[0] * ((0 < y.array) & (y.array < 6)),


# Functions by the names of activations.
ACTIVATIONS = {'relu': F.relu, 'relu6': lambda x: ReLU6().apply((x,))[0], None: lambda x: x}


class ConvBN(chainer.Chain):

    """Convolution without bias, batch normalisation, activation.

    In test mode, also when only batch normalisation is in test mode, oneDNN computes the three at
    once.

    Args:
        in_channels, out_channels, ksize, stride, pad: See
            :class:`finetune.compute.convolution.Convolution2D`.
        groups (int): Groups of channels.
        activation (str or None): ``'relu'``, ``'relu6'`` (at most 6), or nothing.
        use_onednn (bool): Whether oneDNN may compute.
        **batch_norm: Options of :class:`chainer.links.BatchNormalization`.

    """

    def __init__(self, in_channels, out_channels, ksize, stride=1, pad=0, groups=1,
                 activation='relu', use_onednn=True, **batch_norm):
        super().__init__()
        self.activation, self.use_onednn = activation, use_onednn
        with self.init_scope():
            self.conv = Convolution2D(
                in_channels, out_channels, ksize, stride, pad, groups=groups,
                use_onednn=use_onednn, initialW=chainer.initializers.HeNormal())
            self.bn = L.BatchNormalization(out_channels, **batch_norm)

    def forward(self, x):
        x = chainer.as_variable(x)
        # A batch normalisation of another class has statistics of several processes.
        if not (self.use_onednn and type(self.bn) is L.BatchNormalization and
                onednn.usable(x.array, self.bn.avg_mean)):
            return ACTIVATIONS[self.activation](self.bn(self.conv(x)))
        if chainer.config.train:
            return self._normalized(self.conv(x))
        return self._at_once(x)

    def _at_once(self, x):
        """Convolution and activation, with the statistics of the batch normalisation in the
        filters: they are constants."""
        conv, bn = self.conv, self.bn
        factor = 1 / numpy.sqrt(bn.avg_var + numpy.float32(bn.eps))
        if bn.gamma is not None:
            factor = bn.gamma * factor
        bias = -bn.avg_mean * factor
        if bn.beta is not None:
            bias = bn.beta + bias
        function = onednn_convolution.BiasedConvolution(
            conv.geometry(x.shape[2:]), self.activation)
        return function.apply((x, F.scale(conv.W, factor, axis=0), bias))[0]

    def _normalized(self, x):
        """Batch normalisation by the batch and activation of ConvMaps (N, C, H, W) by oneDNN."""
        link, n = self.bn, x.size // x.shape[1]         # n values per channel
        if n == 1:
            return ACTIVATIONS[self.activation](link(x))
        gamma = numpy.ones_like(link.avg_mean) if link.gamma is None else link.gamma
        beta = numpy.zeros_like(link.avg_mean) if link.beta is None else link.beta
        y, mean, var = onednn_functions.batch_norm(x, gamma, beta, link.eps, self.activation)
        if not chainer.config.in_recomputing:
            for running, value in ((link.avg_mean, mean), (link.avg_var, var * (n / (n - 1)))):
                running *= link.decay
                running += (1 - link.decay) * value
        return y


def average_pool(x, pad_value=None):
    """3 x 3 average pooling; ``None`` excludes the padding from the mean, as TF-Slim does."""
    x = chainer.as_variable(x)
    if onednn.usable(x.array):
        kind = (onednn_functions.MEAN if pad_value is None else
                onednn_functions.MEAN_WITH_PADDING)
        return onednn_functions.pool(x, kind, (3, 3), (1, 1), (1, 1))
    return F.average_pooling_nd(x, 3, stride=1, pad=1, pad_value=pad_value)


def max_pool(x):
    """3 x 3 maximum pooling with stride 2, without padding."""
    x = chainer.as_variable(x)
    if onednn.usable(x.array):
        return onednn_functions.pool(x, onednn_functions.MAX, (3, 3), (2, 2), (0, 0))
    return F.max_pooling_2d(x, 3, stride=2, cover_all=False)
