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

EPSILON = 1e-5      # is added to norms


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


class UnitLength(chainer.Link):

    """Divides vectors by their L2 norms."""

    def __init__(self, settings: Model, in_size: int) -> None:
        super().__init__()

    def forward(self, fv: chainer.Variable, conv_map: chainer.Variable) -> chainer.Variable:
        return F.normalize(fv, eps=EPSILON)

    def add_to(self, graph: Any, fv: str) -> str:
        norm = graph.add('ReduceL2', fv, axes=[1], keepdims=1)
        return graph.add('Div', fv, graph.add('Add', norm, numpy.asarray(EPSILON, 'f')))


class HiddenLayer(L.Linear):

    """A linear layer with ``post_fve_size`` units and ReLU."""

    def __init__(self, settings: Model, in_size: int) -> None:
        size = in_size if settings.post_fve_size < 0 else settings.post_fve_size
        super().__init__(in_size, size, initialW=chainer.initializers.HeNormal())

    def forward(self, fv: chainer.Variable, conv_map: chainer.Variable) -> chainer.Variable:
        return F.relu(super().forward(fv))

    def add_to(self, graph: Any, fv: str) -> str:
        return graph.add('Relu', graph.linear(self, fv))
