"""The baseline: a Fisher vector layer whose mixture is learned by backpropagation."""
from typing import Any

import chainer
import chainer.functions as F

from fve_layer import em
from fve_layer import function
from fve_layer.arrays import Array, ArrayOrVariable
from fve_layer.encoding import count_normalizer, weight_normalizer
from fve_layer.mixture import MixtureLayer, parameter_dtype


class GradientFVELayer(MixtureLayer):

    """Fisher vector encoding with a mixture that is learned by backpropagation.

    The encoding is that of :class:`~fve_layer.FVELayer`, but means, variances and weights are
    parameters trained with the loss of the network; there is no clustering objective. This is the
    approach the paper argues against (Sect. 2.1), included as a baseline. Weight decay applies to
    these parameters, too, unless it is disabled for them. Variances are positive and weights sum
    to one by construction:

    .. math::

        \\sigma_k^2 = var\\_floor + \\exp(v_k), \\quad
        \\alpha_k = \\mathrm{softmax}_k(a).

    As in :class:`~fve_layer.FVELayer` the first training batch seeds the mixture.

    Differs from the authors' code, whose weights are sigmoids divided by their sum.

    Args:
        in_size (int): Dimension D of the features.
        n_components (int): Number of components K.
        norm_filter (bool): Whether only features with a norm above the mean norm of their image
            count (Sect. 3.4).
        normalization (str): ``'sqrt'`` or ``'mean'``, see :func:`~fve_layer.fisher_vector`.
        var_floor (float): Smallest variance.
        seed (int or None): Seed of the initial mixture. ``None``: drawn from NumPy's global state.
        comm: Communicator of ``chainermn.create_communicator``, or ``None``: the first batches of
            all its ranks seed the mixture together. Gradients are averaged by the multi-node
            optimizer, as those of the rest of the model.

    Attributes:
        mean (~chainer.Parameter): Means, shape (K, D).
        raw_var (~chainer.Parameter): v above, shape (K, D).
        raw_weight (~chainer.Parameter): a above, shape (K,).
        seed (array): Seed in use; scalar int64.
        is_seeded (bool): Whether a batch has seeded the mixture.

    See: Wieschollek et al., Backpropagation training for Fisher vectors within neural networks,
    2017; Tang et al., Deep FisherNet for image classification, 2019.

    """

    normalization: str

    def __init__(self, in_size: int, n_components: int, *, norm_filter: bool = False,
                 normalization: str = 'sqrt', var_floor: float = 1e-3,
                 seed: int | None = None, comm: Any = None) -> None:
        super().__init__(in_size, n_components, norm_filter, var_floor, seed, comm)
        em.check_normalization(normalization)
        self.normalization = normalization
        self.add_persistent('is_seeded', False)
        shape = n_components, in_size
        zero = chainer.initializers.Constant(0, parameter_dtype())
        with self.init_scope():
            self.mean = chainer.Parameter(zero, shape)
            self.raw_var = chainer.Parameter(zero, shape)
            self.raw_weight = chainer.Parameter(zero, n_components)

    @property
    def var(self) -> chainer.Variable:
        """Variances, a Variable of shape (K, D)."""
        return self.var_floor + F.exp(self.raw_var)

    @property
    def weight(self) -> chainer.Variable:
        """Mixture weights, a Variable of shape (K,)."""
        return F.softmax(self.raw_weight, axis=0)

    def forward(self, x: ArrayOrVariable, mask: Array | None = None) -> chainer.Variable:
        """Encodes the features; gradients flow to the features and to the mixture.

        Args:
            x (:class:`~chainer.Variable` or array): Local features, shape (N, T, D).
            mask (array or None): Visible features, shape (N, T), bool. ``None``: all are.

        Returns:
            ~chainer.Variable: Fisher vectors, shape (N, 2KD), dtype of ``x``.

        """
        x = chainer.as_variable(x)
        mask = self._select(x.array, mask)
        if mask is None:
            mask = self.xp.ones(x.shape[:2], dtype=bool)
        fv = self._encode(F.cast(x, self.mean.dtype), mask)
        return F.cast(fv, x.dtype)

    def _reset(self):
        self.is_seeded = False      # Chainer has set the parameters

    def _assign(self, mean, var, weight):
        xp = self.xp
        self.mean.array[...] = mean
        self.raw_var.array[...] = xp.log(xp.maximum(var - self.var_floor, 1e-3 * self.var_floor))
        self.raw_weight.array[...] = xp.log(weight)
        self.is_seeded = True

    def _encode(self, x, mask):
        """Eqs. 13 and 14, differentiable in the features and in the mixture."""
        var, weight = self.var, self.weight
        centre = (weight.array @ self.mean.array).astype(x.dtype)
        offset = self.mean - centre
        z = function.shift(x, centre, mask)
        z2 = z * z
        resp = self._responsibilities(z, z2, offset, var) * mask[:, None].astype(x.dtype)
        mean_part, sigma_part = function.scores(resp, z, z2, offset, var)
        fv = F.stack((mean_part, sigma_part / 2 ** .5), axis=1) * self._scale(mask, weight)
        return F.reshape(fv, (len(x), self.out_size))

    def _responsibilities(self, z, z2, offset, var):
        """Eq. 1, components in rows: (N, K, T)."""
        linear = offset / var
        const = F.log_softmax(self.raw_weight[None])[0]     # finite even if a weight underflows
        const -= .5 * F.sum(F.log(var) + offset * linear, axis=1)
        n = len(z), 1, 1
        logits = F.matmul(F.tile(linear[None], n), z, transb=True)
        logits += F.matmul(F.tile(-.5 / var[None], n), z2, transb=True)
        return F.softmax(logits + const[None, :, None], axis=1)

    def _scale(self, mask, weight):
        """Normalisers, shape (N, 1, K, 1)."""
        n = self.xp.maximum(mask.sum(axis=1), 1).astype(weight.dtype)
        scale = weight_normalizer(weight, F.sqrt) / count_normalizer(n, self.normalization)[:, None]
        return scale[:, None, :, None]
