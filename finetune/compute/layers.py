"""Layers of CNNs, computed by oneDNN if it is installed, else by Chainer."""
import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from finetune.compute import onednn, onednn_functions
from finetune.compute.convolution import Convolution2D


class ConvBN(chainer.Chain):

    """Convolution without bias, batch normalisation, ReLU.

    Args:
        in_channels, out_channels, ksize, stride, pad: See :class:`chainer.links.Convolution2D`.
        **batch_norm: Options of :class:`chainer.links.BatchNormalization`.

    """

    def __init__(self, in_channels, out_channels, ksize, stride=1, pad=0, **batch_norm):
        super().__init__()
        with self.init_scope():
            self.conv = Convolution2D(in_channels, out_channels, ksize, stride, pad, nobias=True,
                                      initialW=chainer.initializers.HeNormal())
            self.bn = L.BatchNormalization(out_channels, **batch_norm)

    def forward(self, x):
        return bn_relu(self.bn, self.conv(x))


def bn_relu(link, x):
    """Applies a :class:`~chainer.links.BatchNormalization` and ReLU to ConvMaps (N, C, H, W)."""
    n = x.size // x.shape[1]            # values per channel
    if n == 1 or type(link) is not L.BatchNormalization or not onednn.usable(
            x.array, link.avg_mean):
        return F.relu(link(x))
    gamma = numpy.ones_like(link.avg_mean) if link.gamma is None else link.gamma
    beta = numpy.zeros_like(link.avg_mean) if link.beta is None else link.beta
    if not chainer.config.train:
        statistics = link.avg_mean, link.avg_var
        return onednn_functions.batch_norm_relu(x, gamma, beta, link.eps, statistics)[0]
    y, mean, var = onednn_functions.batch_norm_relu(x, gamma, beta, link.eps)
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
