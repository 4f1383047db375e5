"""Encodings: the layers that turn the ConvMaps of an image's parts into one vector.

A row of :data:`finetune.config.catalogue.ENCODINGS` names two functions.
``layer(n_features, n_parts, seed, **settings)`` makes a link for the number C of channels, the
number of parts, a seed and the settings that the row lists. ``input(conv_map, visible, missing)``
makes the link's arguments. The link returns vectors (N, out_size) and has two attributes:
``out_size``, and ``observation``, a dict of the scalars that it reports after a training step. For
``export``, a link without a mixture has ``add_to(graph, ...)``, which takes the names of its
arguments in a :class:`finetune.export.graph.Graph`.
"""
from pkgutil import resolve_name
from typing import Any

import chainer
import chainer.functions as F

from fve_layer import FVELayer, GradientFVELayer
from fve_layer.arrays import Array
from finetune.config.catalogue import ABLATIONS


class GAP(chainer.Link):

    """Global average pooling: the concatenated mean local features of all parts."""

    observation: dict[str, Array] = {}

    def __init__(self, n_features: int, n_parts: int, seed: int | None = None) -> None:
        super().__init__()
        self.out_size = n_parts * n_features

    def forward(self, conv_map: chainer.Variable, visible: Array) -> chainer.Variable:
        return F.reshape(F.mean(conv_map, axis=(2, 3)), (len(visible), self.out_size))

    def add_to(self, graph: Any, conv_map: str, visible: str) -> str:
        return graph.add('Reshape', graph.pooled(conv_map), graph.integers(-1, self.out_size))


def fve(n_features: int, n_parts: int, seed: int, ablation: str = '',
        **settings: Any) -> FVELayer:
    """Fisher vector layer with a mixture learned by EM."""
    layer = resolve_name(ABLATIONS[ablation]) if ablation else FVELayer
    return layer(n_features, seed=seed, **settings)


def gradient_fve(n_features: int, n_parts: int, seed: int, **settings: Any) -> GradientFVELayer:
    """Fisher vector layer with a mixture learned by back-propagation."""
    return GradientFVELayer(n_features, seed=seed, **settings)


def conv_maps(conv_map: chainer.Variable, visible: Array, missing: str
              ) -> tuple[chainer.Variable, Array]:
    """Unchanged ConvMaps (N P, C, h, w) and visible parts (N, P)."""
    return conv_map, visible


def local_features(conv_map: chainer.Variable, visible: Array, missing: str
                   ) -> tuple[chainer.Variable, Array]:
    """The local features of an image's parts, as one unordered set (Sect. 3.4).

    Args:
        conv_map (chainer.Variable): ConvMaps, shape (N P, C, h, w).
        visible (array): Visible parts, shape (N, P), bool.
        missing (str): ``'mask'``: features of hidden parts do not count; otherwise they count,
            except in images without visible parts, whose Fisher vector is zero.

    Returns:
        tuple: Features, a Variable of shape (N, P h w, C), and the mask of the features that
        count, an array of shape (N, P h w), bool.

    """
    n, p = visible.shape
    c, h, w = conv_map.shape[1:]
    x = F.reshape(conv_map, (n, p, c, h * w))
    x = F.transpose(x, (0, 1, 3, 2))                # (N, P, h w, C)
    counts = visible if missing == 'mask' else visible.any(axis=1, keepdims=True)
    mask = counts.repeat(p * h * w // counts.shape[1], axis=1)
    return F.reshape(x, (n, p * h * w, c)), mask
