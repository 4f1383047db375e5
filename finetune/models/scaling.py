"""Brings Fisher vectors to the size of average-pooled features."""
import chainer
import chainer.functions as F
import numpy

from fve_layer.communication import total


class Scaling(chainer.Link):

    """Multiplies vectors by a number that the first training batches determine.

    .. math::

        y = s \\, fv, \\quad s_t = \\mathrm{rms}(pooled_t) / \\mathrm{rms}(fv_t)

    in the first batches t = 1, ..., n, where rms is the root mean square over all entries of a
    batch, and pooled are its average-pooled ConvMaps; from then on, s is the geometric mean of
    these. The norm of a Fisher vector depends on the number of local features, the number of
    components, the normalisation and the variances; a linear layer that starts as if its input had
    unit variance (He et al.) would turn vectors of norm 800 into scores with a deviation of 20, a
    start that is hard to unlearn, and RMSProp and Adam would move these scores by several units at
    every step. With the average-pooled features of the same ConvMaps as the reference, scores
    start like those of GAP.

    A mixture that was seeded with the features of the first batch fits these better than those of
    the next ones, whose Fisher vectors are up to a hundred times as long; the more components, the
    fewer features each of them has. With K components the classifier takes n = K batches.

    Differs from the paper and the authors' code, which do not say or do anything about it.

    Args:
        n_batches (int): Number n of batches.

    Attributes:
        scale (array): s, a scalar; 0 before the first training batch.

    """

    def __init__(self, n_batches=1):
        super().__init__()
        self.n_batches = n_batches
        self.comm = None        # ChainerMN's, if the batches of all ranks count
        self.add_persistent('scale', numpy.zeros((), numpy.float32))
        self.add_persistent('n_seen', 0)

    def forward(self, fv, conv_map):
        """Scales Fisher vectors; a batch of zeros does not determine the scale.

        Args:
            fv (chainer.Variable): Fisher vectors, shape (N, size).
            conv_map (chainer.Variable): ConvMaps (M, C, h, w), of which the average-pooled features
                count in the first training batches.

        Returns:
            chainer.Variable: Scaled vectors, shape (N, size).

        """
        scale = self.scale
        if chainer.config.train and self.n_seen < self.n_batches:
            ratio = self._ratio(fv.array, conv_map.array)
            if ratio > 0:       # waits for a GPU
                scale = ratio
                self._add(ratio)
        return fv * F.cast(chainer.as_variable(scale), fv.dtype) if self.n_seen > 0 else fv

    def add_to(self, graph, fv):
        """Adds a multiplication to a :class:`finetune.export.graph.Graph`."""
        return graph.add('Mul', fv, numpy.asarray(self.scale, 'f')) if self.n_seen > 0 else fv

    def _ratio(self, fv, conv_map):
        rms, size = (_rms(x, self.comm) for x in (conv_map.mean(axis=(2, 3)), fv))
        ratio = self.xp.where(size > 0, rms / self.xp.maximum(size, 1e-30), 0)
        return self.xp.asarray(ratio, numpy.float32)

    def _add(self, ratio):
        """Makes ``scale`` the geometric mean of one ratio more."""
        if self.n_seen > 0:
            logs = self.n_seen * self.xp.log(self.scale) + self.xp.log(ratio)
            ratio = self.xp.exp(logs / (self.n_seen + 1))
        self.scale = self.xp.asarray(ratio, numpy.float32)
        self.n_seen += 1


def scaling(settings, in_size):
    """Step after the encoding: see :mod:`finetune.models.steps`."""
    return Scaling(settings.n_components)


def _rms(x, comm):
    """Root mean square, which would overflow in float16."""
    square = x.astype(numpy.promote_types(x.dtype, numpy.float32)) ** 2
    if comm is None:
        return square.mean() ** .5
    sum_ = square.sum(dtype=numpy.float64)
    sum_, n = total([sum_, chainer.backend.get_array_module(x).full((), float(x.size))], comm)
    return (sum_ / n) ** .5
