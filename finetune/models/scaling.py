"""Scales Fisher vectors to the magnitude of average-pooled features."""
from typing import Any

import chainer
import chainer.functions as F
import numpy

from fve_layer.communication import total
from finetune.config.settings import Model

# Mean of max(0, z) for a standard normal z: the size of average-pooled features after batch
# normalisation and ReLU.
MEAN_RECTIFIED = (2 * numpy.pi) ** -.5


class Scaling(chainer.Link):

    """Multiplies vectors by a factor that the first training batches determine.

    .. math::

        y = s \\, fv, \\quad s_t = \\mathrm{rms}(pooled_t) / \\mathrm{rms}(fv_t)

    where rms is the root mean square over all entries of batch t, and pooled are its average-pooled
    ConvMaps. After the first n batches, s is the geometric mean of s_1, ..., s_n. The norm of a
    Fisher vector depends on the number of local features, the number of components, the
    normalisation and the variances. A linear layer with He initialisation assumes unit variance: it
    would turn vectors of norm 800 into scores with a deviation of 20, and RMSProp and Adam would
    move these scores by several units at every step. With this scale, initial scores are like those
    of GAP.

    The mixture is seeded with the features of the first batch and fits them best: Fisher vectors of
    the next batches are up to a hundred times as long. The effect grows with the number K of
    components, so the classifier uses n = K batches.

    With a ``norm``, the numerator is norm / sqrt(size) for vectors of this size, so that neither
    the scale of the features nor the number of components affects the norm of y. RMSProp and Adam
    change every weight by about the learning rate, so that a step moves the scores in proportion
    to the sum of the entries of y. With equal root mean squares, that is 2 K times as far as with
    pooled features of D dimensions; with equal norms, sqrt(2 K) times.

    Differs from the paper and the authors' code, which do not scale Fisher vectors.

    Args:
        n_batches (int): Number n of batches.
        norm (float or None): L2 norm to which vectors are scaled, the root mean square of those of
            a batch. ``None``: to the size of average-pooled features.

    Attributes:
        scale (array): Factor s, a scalar; 0 before the first training batch.

    """

    def __init__(self, n_batches: int = 1, norm: float | None = None) -> None:
        super().__init__()
        self.n_batches, self.norm = n_batches, norm
        self.comm = None        # ChainerMN's communicator, if the batches of all ranks count
        self._factor = None     # of the last batch; None: 1
        self.add_persistent('scale', numpy.zeros((), numpy.float32))
        self.add_persistent('n_seen', 0)

    def forward(self, fv: chainer.Variable, conv_map: chainer.Variable) -> chainer.Variable:
        """Scales Fisher vectors (N, size); batches of zeros do not affect the scale.

        ``conv_map`` (M, C, h, w) gives the average-pooled features of the batch.
        """
        if not chainer.config.in_recomputing:       # F.forget repeats the last batch
            self._factor = self._next_factor(fv.array, conv_map.array)
        if self._factor is None:
            return fv
        return fv * F.cast(chainer.as_variable(self._factor), fv.dtype)

    def add_to(self, graph: Any, fv: str) -> str:
        """Adds the multiplication to a :class:`finetune.export.graph.Graph`."""
        return graph.add('Mul', fv, numpy.asarray(self.scale, 'f')) if self.n_seen > 0 else fv

    def _next_factor(self, fv, conv_map):
        """Returns the factor for a batch, its own ratio if that has been added to ``scale``."""
        if chainer.config.train and self.n_seen < self.n_batches:
            ratio = self._ratio(fv, conv_map)
            if ratio > 0:       # waits for a GPU
                self._add(ratio)
                return ratio
        return self.scale if self.n_seen > 0 else None

    def _ratio(self, fv, conv_map):
        size = _rms(fv, self.comm)
        rms = (_rms(conv_map.mean(axis=(2, 3)), self.comm) if self.norm is None
               else self.norm / fv.shape[1] ** .5)
        ratio = self.xp.where(size > 0, rms / self.xp.maximum(size, 1e-30), 0)
        return self.xp.asarray(ratio, numpy.float32)

    def _add(self, ratio):
        """Updates ``scale``, a geometric mean, with a ratio."""
        if self.n_seen > 0:
            logs = self.n_seen * self.xp.log(self.scale) + self.xp.log(ratio)
            ratio = self.xp.exp(logs / (self.n_seen + 1))
        self.scale = self.xp.asarray(ratio, numpy.float32)
        self.n_seen += 1


def build_scaling(settings: Model, in_size: int) -> Scaling:
    """Makes a step after the encoding: see :mod:`finetune.models.steps`."""
    n_blocks = settings.n_components * (1 if settings.only_mean else 2)
    norm = (in_size / n_blocks) ** .5 * MEAN_RECTIFIED
    return Scaling(settings.n_components, norm if settings.scaled_to == 'norm' else None)


def _rms(x, comm):
    """Root mean square in at least float32, as float16 would overflow."""
    square = x.astype(numpy.promote_types(x.dtype, numpy.float32)) ** 2
    if comm is None:
        return square.mean() ** .5
    sum_ = square.sum(dtype=numpy.float64)
    sum_, n = total([sum_, chainer.backend.get_array_module(x).full((), float(x.size))], comm)
    return (sum_ / n) ** .5
