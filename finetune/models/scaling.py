"""Brings Fisher vectors to the size of average-pooled features."""
import chainer
import chainer.functions as F
import numpy


class Scaling(chainer.Link):

    """Multiplies vectors by a number that the first training batch determines.

    .. math::

        y = s \\, fv, \\quad s = \\mathrm{rms}(pooled) / \\mathrm{rms}(fv),

    where rms is the root mean square over all entries of the first batch, and pooled are its
    average-pooled ConvMaps. The norm of a Fisher vector depends on the number of local features,
    the number of components, the normalisation and the variances; a linear layer that starts as if
    its input had unit variance (He et al.) would turn vectors of norm 800 into scores with a
    deviation of 20, a start that is hard to unlearn, and RMSProp and Adam would move these scores
    by several units at every step. With the average-pooled features of the same ConvMaps as the
    reference, scores start like those of GAP.

    Differs from the paper and the authors' code, which do not say or do anything about it.

    Attributes:
        scale (array): s, a scalar; 0 before the first training batch.

    """

    def __init__(self):
        super().__init__()
        self.add_persistent('scale', numpy.zeros((), numpy.float32))
        self._is_set = False

    def serialize(self, serializer):
        super().serialize(serializer)
        self._is_set = False        # depends on the state loaded

    @property
    def is_set(self):
        """Whether there was a training batch; asking waits for a GPU until there was."""
        if not self._is_set:
            self._is_set = bool(self.scale > 0)
        return self._is_set

    def forward(self, fv, conv_map):
        """Scales Fisher vectors; a batch of zeros does not determine the scale.

        Args:
            fv (chainer.Variable): Fisher vectors, shape (N, size).
            conv_map (chainer.Variable): ConvMaps (M, C, h, w), of which the average-pooled features
                count in the first training batch.

        Returns:
            chainer.Variable: Scaled vectors, shape (N, size).

        """
        if chainer.config.train and not self.is_set:
            rms, size = _rms(conv_map.array.mean(axis=(2, 3))), _rms(fv.array)
            scale = self.xp.where(size > 0, rms / self.xp.maximum(size, 1e-30), 0)
            self.scale = scale.astype(numpy.float32)
        return fv * F.cast(chainer.as_variable(self.scale), fv.dtype) if self.is_set else fv


def _rms(x):
    """Root mean square, which would overflow in float16."""
    return (x.astype(numpy.float32) ** 2).mean() ** .5
