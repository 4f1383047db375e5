"""The mixture that is learned by EM during training, and the Fisher vector layer based on it."""
from collections.abc import Iterator
from typing import Any

import chainer

from fve_layer import em
from fve_layer import function
from fve_layer import gmm
from fve_layer.arrays import Array, ArrayOrVariable
from fve_layer.communication import of_all_ranks
from fve_layer.mixture import MixtureLayer, parameter_dtype


class GMMLayer(MixtureLayer):

    """Gaussian mixture that is fitted to the features passing through; returns them unchanged.

    In training mode every call runs one E-step (Eq. 1, with the averaged parameters of the previous
    step) and one M-step (Eqs. 3-5) on the batch, and updates the parameters by a bias-corrected
    exponential moving average (Eqs. 6-9):

    .. math::

        \\theta[t] = \\theta[t - 1] + \\frac{1 - \\lambda}{1 - \\lambda^t}
            (\\theta^{new} - \\theta[t - 1]).

    With ``init='kmeans'`` the first training batch seeds the mixture. In test mode
    (``chainer.config.train`` is ``False``) the mixture does not change. With one component, mean
    and variance are the (bias-corrected) running statistics of batch normalisation (Sect. 3.3).

    A component with hardly any features in a batch keeps its mean and variance. A batch in which no
    feature counts leaves the mixture unchanged. A batch with a non-finite feature among those that
    count, which loss scaling may cause, also leaves it unchanged; ``log_likelihood`` is then not
    finite.

    Inside ``chainer.functions.forget``, which repeats a call in the backward pass, only the first
    call updates the mixture. Run the backward pass before the layer's next call, whose mixture
    the repeated call would use.

    Differs from the authors' code, whose E-step uses the parameters estimated from the last batch
    alone. With that E-step, mixtures of clustered synthetic features collapsed to one component;
    in training on minibirds no difference was found.

    Args:
        in_size (int): Dimension D of the features.
        n_components (int): Number of components K.
        ema_decay (float): lambda, in [0, 1).
        norm_filter (bool): Whether only features with a norm above the mean norm of their image
            count (Sect. 3.4).
        init (str): ``'kmeans'``: k-means++ with restarts on the first training batch;
            ``'random'``: means uniform in [-1, 1], variances 1 (or ``var_floor``, if larger).
            With ``'kmeans'``, a mixture assigned before the first batch is kept, unless all its
            means are zero.
        var_floor (float): Smallest variance. A CNN trained through the layer concentrates its
            features around the means, and the variances shrink. If components collapse, set this
            to the order of magnitude of the features' variances, or set ``relative_var_floor``.
        relative_var_floor (float): Smallest variance relative to that of all features of the
            batch, which is averaged over the dimensions, such as 1; ``var_floor`` remains a lower
            bound. As long as ``var_floor`` is smaller, features multiplied by 10 have the same
            Fisher vectors. Not in the paper.
        seed (int or None): Seed of the initial mixture. ``None``: drawn from NumPy's global state.
        comm: Communicator of ``chainermn.create_communicator``: the batches of all its ranks fit
            one mixture, so all ranks must call the layer equally often in training mode. Each step
            sums K (2D + 1) + 1 numbers over the ranks. ``None``: each process fits its own. See
            also :func:`fve_layer.multi_node`.

    Attributes:
        mean (array): Means, shape (K, D). ``mean``, ``var`` and ``weight`` may be assigned, in
            float32 or float64.
        var (array): Variances, shape (K, D).
        weight (array): Mixture weights, shape (K,); positive, sum one.
        n_updates (array): Number of updates, t in Eqs. 6-9; scalar int64.
        smallest_var (array): Smallest variance in use, a scalar: ``var_floor``, or with a
            ``relative_var_floor`` the moving average of those of the batches.
        seed (array): Seed in use; scalar int64.
        log_likelihood (array or None): Mean log likelihood per feature, in nats, of the last
            training batch under the parameters before its update; 0 for a batch without
            features that count. Not saved.

    .. admonition:: Example

        >>> x = numpy.random.rand(8, 100, 16).astype('f')    # 8 images, 100 features each, D = 16
        >>> layer = GMMLayer(16, 5, seed=0)
        >>> y = layer(x)
        >>> y.shape, layer.mean.shape, layer.weight.shape
        ((8, 100, 16), (5, 16), (5,))

    """

    mean: Array
    var: Array
    weight: Array
    n_updates: Array
    smallest_var: Array | float
    log_likelihood: Array | None

    def __init__(self, in_size: int, n_components: int, *, ema_decay: float = 0.9,
                 norm_filter: bool = False, init: str = 'kmeans', var_floor: float = 1e-3,
                 relative_var_floor: float = 0., seed: int | None = None,
                 comm: Any = None) -> None:
        super().__init__(in_size, n_components, norm_filter, var_floor, seed, comm)
        em.check_settings(in_size, n_components, var_floor, relative_var_floor, ema_decay, init)
        self.relative_var_floor = relative_var_floor
        self.ema_decay, self.init = ema_decay, init
        self.log_likelihood = None
        self._is_seeded = False
        for name, value in self._initial().items():
            self.add_persistent(name, value)
        if not relative_var_floor:
            self.smallest_var = var_floor

    # Methods that a subclass may replace, as those in fve_layer.ablations do: _initial, _update,
    # _e_step and _assign. Its forward calls _learn.

    def _initial(self):
        """Arrays of a layer that has seen no batch, by name; all of them are saved."""
        arrays = em.initial_state(self.in_size, self.n_components, self.init, int(self.seed),
                                  self.var_floor)._asdict()
        if not self.relative_var_floor:
            del arrays['smallest_var']
        return {name: array if name == 'n_updates' else array.astype(parameter_dtype())
                for name, array in arrays.items()}

    def _reset(self):
        for name, value in self._initial().items():
            setattr(self, name, self.device.send(value))
        self.log_likelihood = None
        self._is_seeded = False

    def _join(self):
        super()._join()
        self._is_seeded = False

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        super().serialize(serializer)
        self._is_seeded = False     # depends on the state loaded
        if isinstance(serializer, chainer.Deserializer):
            em.check_mixture(*self.mixture)

    @property
    def is_seeded(self) -> bool:
        """Whether there is a mixture: seeded from a batch, loaded, assigned, or random by ``init``.
        """
        if not self._is_seeded:     # on a GPU this check waits for the device
            self._is_seeded = bool(self.n_updates > 0 or self.mean.any())
        return self._is_seeded

    @property
    def printable_specs(self) -> Iterator[tuple[str, Any]]:
        yield from super().printable_specs
        yield from (('ema_decay', self.ema_decay), ('init', self.init),
                    ('relative_var_floor', self.relative_var_floor))

    @property
    def observation(self) -> dict[str, Array]:
        """Scalars for :func:`chainer.report`, by name.

        ``'weight_entropy'`` is the entropy of the weights relative to that of uniform weights,
        ``'var_typical'`` the geometric mean of the variances (a median would need a sort),
        ``'var_at_floor'`` the share of them that ``var_floor`` bounds; ``'log_likelihood'`` is the
        attribute, once there is one.
        """
        observation = {'weight_entropy': gmm.normalized_entropy(self.weight),
                       'var_typical': self.xp.exp(self.xp.log(self.var).mean()),
                       'var_at_floor': (self.var <= self.smallest_var).mean()}
        if self.log_likelihood is not None:
            observation['log_likelihood'] = self.log_likelihood
        return observation

    def forward(self, x: ArrayOrVariable, mask: Array | None = None) -> chainer.Variable:
        """Updates the mixture in training mode and returns the features.

        Args:
            x (:class:`~chainer.Variable` or array): Local features, shape (N, T, D).
            mask (array or None): Visible features, shape (N, T), bool. ``None``: all are.

        Returns:
            ~chainer.Variable: ``x``.

        """
        x = chainer.as_variable(x)
        self._learn(x.array, mask)
        return x

    def _learn(self, x, mask):
        """Updates the mixture in training mode; returns which features count."""
        mask = self._select(x, mask)
        if chainer.config.train and not chainer.config.in_recomputing:
            self._update(x, mask)
        return mask

    def _update(self, x, mask):
        """One E-step, one M-step, one step of the moving average."""
        statistics = self._e_step(x, mask, self.mixture)
        state = em.State(*self.mixture, self.n_updates, self.smallest_var)
        *mixture, self.n_updates, self.smallest_var = em.step(
            state, statistics, self.ema_decay, self.var_floor, self.relative_var_floor)
        self._assign(*mixture)
        self.log_likelihood = statistics.log_likelihood

    def _e_step(self, x, mask, mixture):
        """Sufficient statistics of the batches of all ranks together."""
        return of_all_ranks(function.maths_for(x).e_step(x, *mixture, mask), self.comm)

    def _assign(self, mean, var, weight):
        """Replaces the arrays; the graphs of earlier calls still need the old ones."""
        state = em.State(mean, var, weight, self.n_updates, self.smallest_var).bounded()
        self.mean, self.var, self.weight = (
            new.astype(old.dtype) for new, old in zip(state[:3], self.mixture))


class FVELayer(GMMLayer):

    """Fisher vector encoding with a mixture that is learned by EM during training (Sect. 3.3).

    A :class:`GMMLayer` whose output is the Fisher vector of the features of each image (Eqs. 13,
    14). The number of features may vary, and their order does not matter. In training mode the
    mixture is updated first and the batch is encoded with the updated parameters. Gradients flow
    to the features (Eqs. 15-17), not to the mixture.

    The defaults are the paper's. With several components, or a pre-trained CNN that learns, too,
    ``resp_gradient=False, relative_var_floor=1, var_floor=1e-9`` and normalised Fisher vectors gave
    better accuracies (``docs/experiments.md``, several components).

    Args:
        normalization (str): ``'sqrt'`` (Eqs. 13, 14) or ``'mean'``, see
            :func:`~fve_layer.fisher_vector`.
        resp_gradient (bool): Whether gradients flow through the responsibilities, too, as in
            Eqs. 15-17, see :func:`~fve_layer.fisher_vector`.

    The other arguments, and the attributes, are those of :class:`GMMLayer`.

    .. admonition:: Example

        >>> x = numpy.random.rand(8, 100, 16).astype('f')    # 8 images, 100 features each, D = 16
        >>> layer = FVELayer(16, 5, seed=0)
        >>> layer(x).shape                                   # 2 K D
        (8, 160)

    The ConvMaps h of a CNN become local features, one for each place, in two lines:

        >>> h = numpy.random.rand(8, 16, 10, 10).astype('f')        # (N, C, H, W)
        >>> x = F.reshape(h, (*h.shape[:2], -1))                    # (N, C, H W)
        >>> layer(F.transpose(x, (0, 2, 1))).shape                  # from (N, T, D)
        (8, 160)

    In test mode, a layer that neither a training batch nor a saved state has given a mixture warns
    once.

    """

    normalization: str

    def __init__(self, in_size: int, n_components: int, *, ema_decay: float = 0.9,
                 norm_filter: bool = False, normalization: str = 'sqrt',
                 resp_gradient: bool = True, init: str = 'kmeans', var_floor: float = 1e-3,
                 relative_var_floor: float = 0., seed: int | None = None,
                 comm: Any = None) -> None:
        super().__init__(in_size, n_components, ema_decay=ema_decay, norm_filter=norm_filter,
                         init=init, var_floor=var_floor, relative_var_floor=relative_var_floor,
                         seed=seed, comm=comm)
        em.check_normalization(normalization)
        self.normalization, self.resp_gradient = normalization, resp_gradient

    @property
    def printable_specs(self) -> Iterator[tuple[str, Any]]:
        yield from super().printable_specs
        yield 'resp_gradient', self.resp_gradient

    def forward(self, x: ArrayOrVariable, mask: Array | None = None) -> chainer.Variable:
        """Updates the mixture in training mode and encodes the features.

        Args:
            x (:class:`~chainer.Variable` or array): Local features, shape (N, T, D).
            mask (array or None): Visible features, shape (N, T), bool. ``None``: all are.

        Returns:
            ~chainer.Variable: Fisher vectors, shape (N, 2KD), dtype of ``x``.

        """
        x = chainer.as_variable(x)
        mask = self._learn(x.array, mask)
        return function.fisher_vector(
            x, *self.mixture, mask, self.normalization, self.resp_gradient)
