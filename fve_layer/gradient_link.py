"""The baseline: a Fisher vector layer whose mixture is learned by back-propagation."""
import chainer
from chainer.backends import cuda
import chainer.functions as F
import numpy

from fve_layer import function
from fve_layer import masking
from fve_layer import seeding
from fve_layer.fisher_vector import VANISHING_WEIGHT


class GradientFVELayer(chainer.Link):

    """Fisher vector encoding with a mixture that is trained like any other weight.

    The encoding is that of :class:`~fve_layer.FVELayer`, but means, variances and weights are
    parameters that the loss moves; there is no clustering objective. This is what the paper argues
    against (Sect. 2.1) and is there to be compared with. Weight decay, like the loss, acts on it
    unless it is switched off for these parameters. Variances are positive and weights sum to
    one by construction:

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
        seed (int or None): Seed of the k-means seeding. ``None``: drawn from NumPy's global state.

    Attributes:
        mean (~chainer.Parameter): Means, shape (K, D).
        raw_var (~chainer.Parameter): v above, shape (K, D).
        raw_weight (~chainer.Parameter): a above, shape (K,).

    See: Wieschollek et al., Backpropagation training for Fisher vectors within neural networks,
    2017; Tang et al., Deep FisherNet for image classification, 2019.

    """

    def __init__(self, in_size, n_components, *, norm_filter=False, normalization='sqrt',
                 var_floor=1e-3, seed=None):
        super().__init__()
        function.check_normalization(normalization)
        function.check_mixture(in_size, n_components, var_floor)
        self.in_size, self.n_components = in_size, n_components
        self.norm_filter, self.normalization = norm_filter, normalization
        self.var_floor = var_floor
        seed = numpy.random.randint(2 ** 31 - 1) if seed is None else seed
        self.add_persistent('seed', numpy.array(seed, numpy.int64))
        self.add_persistent('is_seeded', False)
        dtype = numpy.promote_types(chainer.get_dtype(map_mixed16=numpy.float32), numpy.float32)
        shape = n_components, in_size
        with self.init_scope():
            self.mean = chainer.Parameter(numpy.zeros(shape, dtype))
            self.raw_var = chainer.Parameter(numpy.zeros(shape, dtype))
            self.raw_weight = chainer.Parameter(numpy.zeros(n_components, dtype))

    @property
    def printable_specs(self):
        yield from (
            ('in_size', self.in_size), ('n_components', self.n_components),
            ('norm_filter', self.norm_filter), ('normalization', self.normalization),
            ('var_floor', self.var_floor))

    @property
    def out_size(self):
        """Length 2KD of the Fisher vector."""
        return 2 * self.n_components * self.in_size

    @property
    def var(self):
        """Variances, a Variable of shape (K, D)."""
        return self.var_floor + F.exp(self.raw_var)

    @property
    def weight(self):
        """Mixture weights, a Variable of shape (K,)."""
        return F.softmax(self.raw_weight, axis=0)

    def forward(self, x, mask=None):
        """Encodes the features; gradients flow to the features and to the mixture.

        Args:
            x (:class:`~chainer.Variable` or array): Local features, shape (N, T, D).
            mask (array or None): Visible features, shape (N, T), bool. ``None``: all are.

        Returns:
            ~chainer.Variable: Fisher vectors, shape (N, 2KD), dtype of ``x``.

        """
        x = chainer.as_variable(x)
        masking.check_shapes(x.array, mask, self.in_size)
        counts = masking.counting_features(x.array, mask, self.norm_filter)
        if chainer.config.train and not self.is_seeded:
            self._seed(x.array, counts)
        if counts is None:
            counts = self.xp.ones(x.shape[:2], dtype=bool)
        fv = self._encode(F.cast(x, self.mean.dtype), counts)
        return F.cast(fv, x.dtype)

    def _seed(self, x, counts):
        features = cuda.to_cpu(x.reshape(-1, self.in_size) if counts is None else x[counts])
        if len(features) == 0:
            return
        mean, var, weight = seeding.kmeans_mixture(
            features, self.n_components, self.var_floor, int(self.seed))
        self.mean.array[...] = self.xp.asarray(mean)
        self.raw_var.array[...] = self.xp.asarray(
            numpy.log(numpy.maximum(var - self.var_floor, 1e-3 * self.var_floor)))
        self.raw_weight.array[...] = self.xp.asarray(numpy.log(weight))
        self.is_seeded = True

    def _encode(self, x, counts):
        """The same matrix products as :mod:`fve_layer.fisher_vector`, differentiable in all."""
        var, weight = self.var, self.weight
        centre = (weight.array @ self.mean.array).astype(x.dtype)
        offset = self.mean - F.broadcast_to(centre, self.mean.shape)
        inside = self.xp.broadcast_to(counts[..., None], x.shape)
        z = F.where(inside, x - F.broadcast_to(centre, x.shape), self.xp.zeros_like(x.array))
        z2 = z * z
        resp = self._responsibilities(z, z2, offset, var)
        resp = resp * counts[:, None].astype(resp.dtype)
        s0 = F.sum(resp, axis=2, keepdims=True)
        s0, offset, var = F.broadcast(s0, offset[None], var[None])
        sigma = F.sqrt(var)
        centred = offset / sigma
        mean_part = F.matmul(resp, z) / sigma - centred * s0
        sigma_part = F.matmul(resp, z2) / var - centred * (2 * mean_part + centred * s0) - s0
        fv = F.stack((mean_part, sigma_part / 2 ** .5), axis=1)
        fv = fv * F.broadcast_to(self._scale(counts, weight), fv.shape)
        return F.reshape(fv, (len(x), self.out_size))

    def _responsibilities(self, z, z2, offset, var):
        """Eq. 1, components in rows: (N, K, T)."""
        linear = offset / var
        const = F.log_softmax(self.raw_weight[None])[0]      # the weights, however small
        const -= .5 * F.sum(F.log(var) + offset * linear, axis=1)
        n = len(z), 1, 1
        logits = F.matmul(F.tile(linear[None], n), z, transb=True)
        logits += F.matmul(F.tile(-.5 / var[None], n), z2, transb=True)
        logits += F.broadcast_to(const[None, :, None], logits.shape)
        return F.softmax(logits, axis=1)

    def _scale(self, counts, weight):
        """Normalisers, shape (N, 1, K, 1)."""
        n = self.xp.maximum(counts.sum(axis=1), 1).astype(weight.dtype)
        if self.normalization == 'sqrt':
            n = self.xp.sqrt(n)
        lives = (weight.array > VANISHING_WEIGHT).astype(weight.dtype)
        weight = F.maximum(weight, self.xp.full_like(weight.array, VANISHING_WEIGHT))
        scale, n = F.broadcast((lives / F.sqrt(weight))[None], n[:, None])
        return (scale / n)[:, None, :, None]
