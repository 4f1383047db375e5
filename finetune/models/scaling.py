"""Brings Fisher vectors to the size of average-pooled features."""
import chainer
import chainer.functions as F
import numpy


class Scaling(chainer.Link):

    """Multiplies vectors by a number that the first training batch determines.

    .. math::

        y = s x, \\quad s = \\mathrm{rms}(reference) / \\mathrm{rms}(x_1),

    where rms is the root mean square over all entries of the first batch. The norm of a Fisher
    vector depends on the number of local features, the number of components, the normalisation
    and the variances; a linear layer that starts as if its input had unit variance (He et al.)
    would turn vectors of norm 800 into scores with a deviation of 20, a start that is hard to
    unlearn, and RMSProp and Adam would move these scores by several units at every step. With the
    average-pooled features of the same ConvMaps as the reference, scores start like those of GAP.

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

    def forward(self, x, reference):
        """Scales vectors (N, size); a batch of zeros does not determine the scale.

        Args:
            x (chainer.Variable): Vectors, shape (N, size).
            reference (array): Features of any shape, whose size counts in the first training batch.

        Returns:
            chainer.Variable: Scaled vectors, shape (N, size).

        """
        if not self.is_set and chainer.config.train:
            rms, size = _rms(reference), _rms(x.array)
            scale = self.xp.where(size > 0, rms / self.xp.maximum(size, 1e-30), 0)
            self.scale = scale.astype(numpy.float32)
        if not self.is_set:
            return x
        return x * F.cast(chainer.as_variable(self.scale), x.dtype)


def _rms(x):
    """Root mean square, which would overflow in float16."""
    return (x.astype(numpy.float32) ** 2).mean() ** .5
