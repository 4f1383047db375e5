"""Encodings: the layers that turn the ConvMaps of an image's parts into one vector.

A row of :data:`finetune.config.catalogue.ENCODINGS` names two functions of this module or another.
``layer(settings, n_features, n_parts, seed)`` makes a link for the settings of the model, the
number C of channels, the number of parts and a seed; ``input(conv_map, visible, missing)`` makes
its arguments. The link gives vectors (N, out_size) and has two attributes: ``out_size``, and
``observation``, a dict of the scalars that it reports after a training step.
"""
from pkgutil import resolve_name

import chainer
import chainer.functions as F

from fve_layer import FVELayer, GradientFVELayer
from finetune.config.catalogue import ABLATIONS


class GAP(chainer.Link):

    """Global average pooling: the mean local feature of every part, in the order of the parts."""

    observation = {}

    def __init__(self, n_features, n_parts):
        super().__init__()
        self.out_size = n_parts * n_features

    def forward(self, conv_map, visible):
        return F.reshape(F.mean(conv_map, axis=(2, 3)), (len(visible), self.out_size))


def gap(settings, n_features, n_parts, seed):
    """Global average pooling."""
    return GAP(n_features, n_parts)


def fve(settings, n_features, n_parts, seed):
    """Fisher vectors of a mixture that is learned by EM."""
    layer = resolve_name(ABLATIONS[settings.ablation]) if settings.ablation else FVELayer
    return layer(n_features, settings.n_components, ema_decay=settings.ema_decay,
                 init=settings.init, resp_gradient=settings.resp_gradient,
                 **_common(settings, seed))


def gradient_fve(settings, n_features, n_parts, seed):
    """Fisher vectors of a mixture that is learned by back-propagation."""
    return GradientFVELayer(n_features, settings.n_components, **_common(settings, seed))


def _common(settings, seed):
    return dict(norm_filter=settings.norm_filter, normalization=settings.normalization,
                var_floor=settings.var_floor, seed=seed)


def conv_maps(conv_map, visible, missing):
    """ConvMaps as they are, shape (N P, C, h, w), and which parts are visible, (N, P)."""
    return conv_map, visible


def local_features(conv_map, visible, missing):
    """The local features of an image's parts, as one unordered set (Sect. 3.4).

    Args:
        conv_map (chainer.Variable): ConvMaps, shape (N P, C, h, w).
        visible (array): Visible parts, shape (N, P), bool.
        missing (str): ``'mask'``: features of hidden parts are left out; otherwise they count,
            but for images without any visible part, whose Fisher vector is zero.

    Returns:
        tuple: Features, a Variable of shape (N, P h w, C), and the mask of those that count, an
        array of shape (N, P h w), bool.

    """
    n, p = visible.shape
    c, h, w = conv_map.shape[1:]
    x = F.reshape(conv_map, (n, p, c, h * w))
    x = F.transpose(x, (0, 1, 3, 2))                # (N, P, h w, C)
    counts = visible if missing == 'mask' else visible.any(axis=1, keepdims=True)
    mask = counts.repeat(p * h * w // counts.shape[1], axis=1)
    return F.reshape(x, (n, p * h * w, c)), mask
