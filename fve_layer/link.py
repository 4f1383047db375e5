"""The mixture that learns by EM during training, and the Fisher vector layer on top of it."""
import chainer
from chainer.backends import cuda
import numpy

from fve_layer import function
from fve_layer import gmm
from fve_layer import kernels
from fve_layer import masking
from fve_layer import seeding

INITS = 'kmeans', 'random'


class GMMLayer(chainer.Link):

    """Gaussian mixture that follows the features passing through it; returns them unchanged.

    In training mode every call runs one E-step (Eq. 1, with the averaged parameters of the step
    before) and one M-step (Eqs. 3-5) on the batch, and moves the parameters towards the outcome
    by a bias-corrected exponential moving average (Eqs. 6-9):

    .. math::

        \\theta[t] = \\theta[t - 1] + \\frac{1 - \\lambda}{1 - \\lambda^t}
            (\\theta^{new} - \\theta[t - 1]).

    The first batch seeds the mixture. In test mode (``chainer.config.train`` is ``False``) nothing
    changes. With one component the mean and variance are the (bias-corrected) running statistics
    of batch normalisation (Sect. 3.3).

    A component that received almost nothing from a batch keeps its mean and variance; a batch
    without features that count leaves the mixture as it is.

    Differs from the authors' code, whose E-step uses the last batch's own parameters; with more
    than one component their mixtures collapse to a single one on clustered features.

    Args:
        in_size (int): Dimension D of the features.
        n_components (int): Number of components K.
        ema_decay (float): lambda, in [0, 1).
        norm_filter (bool): Whether only features with a norm above the mean norm of their image
            count (Sect. 3.4).
        init (str): ``'kmeans'``: k-means++ with restarts on the first training batch;
            ``'random'``: means uniform in [-1, 1], unit variances. With ``'kmeans'``, a mixture
            assigned before the first batch is kept as the seeds unless all its means are zero.
        var_floor (float): Smallest variance. A CNN that learns through the layer pulls its features
            towards the components, whose variances follow: if several components collapse, raise
            it to the order of the features' variances.
        seed (int or None): Seed of the random choices. ``None``: drawn from NumPy's global state.

    Attributes:
        mean (array): Means, shape (K, D). This and the next two may be assigned, in float32 or
            float64.
        var (array): Variances, shape (K, D).
        weight (array): Mixture weights, shape (K,); positive, sum one.
        n_updates (array): Number of batches learned from, t in Eqs. 6-9; scalar int64.
        seed (array): Seed in use; scalar int64.
        log_likelihood (array or None): Mean log likelihood per feature, in nats, of the last
            training batch under the parameters before its update; 0 for a batch without
            features that count. Not saved.

    .. rubric:: Example

    >>> x = numpy.random.rand(8, 100, 16).astype('f')    # 8 images, 100 features each, D = 16
    >>> layer = GMMLayer(16, 5, seed=0)
    >>> y = layer(x)
    >>> y.shape, layer.mean.shape, layer.weight.shape
    ((8, 100, 16), (5, 16), (5,))

    """

    def __init__(self, in_size, n_components, *, ema_decay=0.9, norm_filter=False,
                 init='kmeans', var_floor=1e-3, seed=None):
        super().__init__()
        if init not in INITS:
            raise ValueError('init must be one of {}, not {!r}; to start from arrays, assign '
                             'mean, var and weight'.format(', '.join(map(repr, INITS)), init))
        if not 0 <= ema_decay < 1:
            raise ValueError('ema_decay must be in [0, 1), not {}'.format(ema_decay))
        function.check_mixture(in_size, n_components, var_floor)
        if seed is None:
            seed = numpy.random.randint(2 ** 31 - 1)
        self.in_size, self.n_components = in_size, n_components
        self.ema_decay, self.norm_filter = ema_decay, norm_filter
        self.init, self.var_floor = init, var_floor
        self.log_likelihood = None
        self._register_state(seed)

    def _register_state(self, seed):
        # chainer.config.dtype, but float32 where that is float16 or mixed16
        dtype = numpy.promote_types(chainer.get_dtype(map_mixed16=numpy.float32), numpy.float32)
        shape = self.n_components, self.in_size
        mean = numpy.zeros(shape, dtype)
        if self.init == 'random':
            mean[...] = numpy.random.RandomState(seed).uniform(-1, 1, shape)
        self.add_persistent('mean', mean)
        self.add_persistent('var', numpy.ones(shape, dtype))
        self.add_persistent('weight', numpy.full(shape[:1], 1 / self.n_components, dtype))
        self.add_persistent('n_updates', numpy.zeros((), numpy.int64))
        self.add_persistent('seed', numpy.array(seed, numpy.int64))
        self._is_seeded = False

    def serialize(self, serializer):
        super().serialize(serializer)
        self._is_seeded = False     # what was loaded tells

    @property
    def printable_specs(self):
        yield from (
            ('in_size', self.in_size), ('n_components', self.n_components),
            ('ema_decay', self.ema_decay), ('norm_filter', self.norm_filter),
            ('init', self.init), ('var_floor', self.var_floor))

    def forward(self, x, mask=None):
        """Updates the mixture in training mode and returns the features.

        Args:
            x (:class:`~chainer.Variable` or array): Local features, shape (N, T, D).
            mask (array or None): Visible features, shape (N, T), bool. ``None``: all are.

        Returns:
            ~chainer.Variable: ``x``.

        """
        x = chainer.as_variable(x)
        self._observe(x.array, mask)
        return x

    def _observe(self, x, mask):
        """Lets the mixture learn in training mode; returns which features count."""
        masking.check_shapes(x, mask, self.in_size)
        counts = masking.counting_features(x, mask, self.norm_filter)
        if chainer.config.train:
            self._seed(x, counts)
            self._update(x, counts)
        return counts

    def _seed(self, x, counts):
        """Seeds the mixture from the first batch that has features that count."""
        if self._is_seeded:     # asks the device only until it is
            return
        if self.n_updates == 0 and not self.mean.any():
            features = cuda.to_cpu(x.reshape(-1, self.in_size) if counts is None else x[counts])
            if len(features) == 0:
                return
            seeds = seeding.kmeans_mixture(
                features, self.n_components, self.var_floor, int(self.seed))
            self._assign(*(self.xp.asarray(a) for a in seeds))
        self._is_seeded = True

    def _update(self, x, counts):
        """One E-step, one M-step, one step of the moving average."""
        e_step = kernels.e_step if isinstance(x, cuda.ndarray) else gmm.e_step
        statistics = e_step(x, self.mean, self.var, self.weight, counts)
        new = gmm.m_step(statistics, self.mean, self.var, self.var_floor)
        learns = statistics.s0.sum() > 0
        self.n_updates = self.xp.asarray(self.n_updates + learns)
        n_updates = self.xp.maximum(self.n_updates, 1)
        rate = learns * gmm.ema_rate(n_updates, self.ema_decay)
        self._assign(*(old + rate * (a - old)
                       for old, a in zip((self.mean, self.var, self.weight), new)))
        self.log_likelihood = statistics.log_likelihood

    def _assign(self, mean, var, weight):
        """Binds new arrays: graphs of earlier calls keep the ones they were computed with."""
        self.mean = mean.astype(self.mean.dtype)
        self.var = self.xp.maximum(var, self.var_floor).astype(self.var.dtype)
        self.weight = gmm.bounded_weight(weight).astype(self.weight.dtype)


class FVELayer(GMMLayer):

    """Fisher vector encoding with a mixture that is learned by EM during training (Sect. 3.3).

    A :class:`GMMLayer` whose output is the Fisher vector of the features of each image (Eqs. 13,
    14), however many there are and in whatever order. In training mode the mixture is updated
    first and the batch is encoded with the updated parameters. Gradients flow to the features
    (Eqs. 15-17), not to the mixture.

    Args:
        normalization (str): ``'sqrt'`` (Eqs. 13, 14) or ``'mean'``, see
            :func:`~fve_layer.fisher_vector`.

    The other arguments, and the attributes, are those of :class:`GMMLayer`.

    .. rubric:: Example

    >>> x = numpy.random.rand(8, 100, 16).astype('f')    # 8 images, 100 features each, D = 16
    >>> layer = FVELayer(16, 5, seed=0)
    >>> layer(x).shape                                   # 2 K D
    (8, 160)

    """

    def __init__(self, in_size, n_components, *, ema_decay=0.9, norm_filter=False,
                 normalization='sqrt', init='kmeans', var_floor=1e-3, seed=None):
        super().__init__(in_size, n_components, ema_decay=ema_decay, norm_filter=norm_filter,
                         init=init, var_floor=var_floor, seed=seed)
        function.check_normalization(normalization)
        self.normalization = normalization

    @property
    def out_size(self):
        """Length 2KD of the Fisher vector."""
        return 2 * self.n_components * self.in_size

    @property
    def printable_specs(self):
        yield from super().printable_specs
        yield 'normalization', self.normalization

    def forward(self, x, mask=None):
        """Updates the mixture in training mode and encodes the features.

        Args:
            x (:class:`~chainer.Variable` or array): Local features, shape (N, T, D).
            mask (array or None): Visible features, shape (N, T), bool. ``None``: all are.

        Returns:
            ~chainer.Variable: Fisher vectors, shape (N, 2KD), dtype of ``x``.

        """
        x = chainer.as_variable(x)
        counts = self._observe(x.array, mask)
        return function.fisher_vector(
            x, self.mean, self.var, self.weight, counts, self.normalization)
