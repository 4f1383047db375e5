"""Steps between the encoding and the class layer.

A row of :data:`finetune.config.catalogue.STEPS` names a class or function:
``step(settings, in_size)`` makes a link from the settings of the model and the size of the vectors.
The link is called with vectors (N, in_size) and the ConvMaps that they encode. A link that changes
the size of the vectors has an attribute ``out_size``. For ``export``, ``add_to(graph, fv)`` adds
the link, in test mode, to a :class:`finetune.export.graph.Graph`.
"""
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from finetune.config.settings import Model

EPSILON = 1e-5          # is added to norms
ROOT_EPSILON = 1e-2     # is added to absolute values under the root


class MeanPart(chainer.Link):

    """Keeps the first half of Fisher vectors, the mean part."""

    def __init__(self, settings: Model, in_size: int) -> None:
        super().__init__()
        self.out_size = in_size // 2

    def forward(self, fv: chainer.Variable, conv_map: chainer.Variable) -> chainer.Variable:
        return fv[:, :self.out_size]

    def add_to(self, graph: Any, fv: str) -> str:
        return graph.add('Slice', fv, graph.integers(0), graph.integers(self.out_size),
                         graph.integers(1))


class SignedRoot(chainer.Link):

    """Signed square roots of all entries (Perronnin et al., ECCV 2010), with a finite gradient.

    .. math::

        y = x / \\sqrt{|x| + \\epsilon}

    The gradient of the exact root is infinite at 0, the value of all entries of a component to
    which no feature belongs; that of y is at most 1 / sqrt(epsilon). With epsilon = 0.01, this is
    10, and y differs from the exact root by less than one per cent for entries of order one. Those
    of ``normalization: mean`` are smaller.

    Differs from :func:`fve_layer.encoding.power_normalize`, the exact root, by less than 0.031.
    """

    def __init__(self, settings: Model, in_size: int) -> None:
        super().__init__()

    def forward(self, fv: chainer.Variable, conv_map: chainer.Variable) -> chainer.Variable:
        return fv / F.sqrt(F.absolute(fv) + ROOT_EPSILON)

    def add_to(self, graph: Any, fv: str) -> str:
        size = graph.add('Add', graph.add('Abs', fv), numpy.asarray(ROOT_EPSILON, 'f'))
        return graph.add('Div', fv, graph.add('Sqrt', size))


class UnitComponents(chainer.Link):

    """Divides the mean part and the sigma part of each component by their L2 norms.

    See :func:`fve_layer.encoding.component_normalize`.
    """

    def __init__(self, settings: Model, in_size: int) -> None:
        super().__init__()
        n_blocks = settings.n_components * (1 if settings.only_mean else 2)
        self.shape = n_blocks, in_size // n_blocks

    def forward(self, fv: chainer.Variable, conv_map: chainer.Variable) -> chainer.Variable:
        blocks = F.reshape(fv, (len(fv), *self.shape))
        return F.reshape(F.normalize(blocks, eps=EPSILON, axis=2), fv.shape)

    def add_to(self, graph: Any, fv: str) -> str:
        blocks = graph.add('Reshape', fv, graph.integers(0, *self.shape))   # 0: any number
        return graph.add('Flatten', _unit_length(graph, blocks, axis=2))


class UnitLength(chainer.Link):

    """Divides vectors by their L2 norms."""

    def __init__(self, settings: Model, in_size: int) -> None:
        super().__init__()

    def forward(self, fv: chainer.Variable, conv_map: chainer.Variable) -> chainer.Variable:
        return F.normalize(fv, eps=EPSILON)

    def add_to(self, graph: Any, fv: str) -> str:
        return _unit_length(graph, fv, axis=1)


class HiddenLayer(L.Linear):

    """A linear layer with ``post_fve_size`` units and ReLU."""

    def __init__(self, settings: Model, in_size: int) -> None:
        size = in_size if settings.post_fve_size < 0 else settings.post_fve_size
        super().__init__(in_size, size, initialW=chainer.initializers.HeNormal())

    def forward(self, fv: chainer.Variable, conv_map: chainer.Variable) -> chainer.Variable:
        return F.relu(super().forward(fv))

    def add_to(self, graph: Any, fv: str) -> str:
        return graph.add('Relu', graph.linear(self, fv))


def _unit_length(graph, x, axis):
    """Adds the division of vectors along an axis by their norms, as :func:`F.normalize`."""
    norm = graph.add('ReduceL2', x, axes=[axis], keepdims=1)
    return graph.add('Div', x, graph.add('Add', norm, numpy.asarray(EPSILON, 'f')))
