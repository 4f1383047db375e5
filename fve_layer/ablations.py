"""Fisher vector layers that each lack one ingredient, to measure what that ingredient is worth.

None of them has been run on a GPU, where hard assignment needs an (N, T, K) array.
"""
import chainer
import chainer.functions as F

from fve_layer import em, function, gmm
from fve_layer.arrays import Array, ArrayOrVariable
from fve_layer.communication import of_all_ranks
from fve_layer.encoding import count_normalizer, part_normalizers
from fve_layer.link import FVELayer


class Frozen(FVELayer):

    """The mixture is never updated: it stays as seeded or, with ``init='random'``, as drawn."""

    def _update(self, x, mask):
        pass


class UnitVariances(FVELayer):

    """All variances are one."""

    def _assign(self, mean, var, weight):
        super()._assign(mean, self.xp.ones_like(var), weight)


class SigmaPart(FVELayer):

    """The mean part of the Fisher vectors is zero."""

    factors: tuple[float, float] = (0, 1)   # of the mean part, of the sigma part

    def forward(self, x: ArrayOrVariable, mask: Array | None = None) -> chainer.Variable:
        parts = F.split_axis(super().forward(x, mask), 2, axis=1)
        return F.concat([factor * part for factor, part in zip(self.factors, parts)], axis=1)


class WeakSigmaPart(SigmaPart):

    """The sigma part of the Fisher vectors is multiplied by 0.2."""

    factors = 1, .2


class LastBatchEM(FVELayer):

    """The E-step uses the parameters estimated from the last batch alone, as in the authors' code.

    The moving average serves the Fisher vectors only. A component that gets no feature in one batch
    never gets one again: its weight in the next E-step is zero.
    """

    last_mean: Array
    last_var: Array
    last_weight: Array

    def _initial(self):
        last = {f'last_{name}': array for name, array in super()._initial().items()
                if name != 'n_updates'}
        return {**super()._initial(), **last}

    def _update(self, x, mask):
        averaged, last = self.mixture, (self.last_mean, self.last_var, self.last_weight)
        if self.n_updates == 0:
            last = averaged
        statistics = self._e_step(x, mask, last)
        if statistics.s0.sum() == 0 or not self.xp.isfinite(statistics.s2).all():
            return
        new = gmm.m_step(statistics, *last[:2], self.var_floor)
        self.last_mean, self.last_var, self.last_weight = new
        self.n_updates = self.xp.asarray(self.n_updates + 1)
        rate = gmm.ema_rate(self.n_updates, self.ema_decay)
        state = em.State(*averaged, self.n_updates, self.smallest_var)
        self.smallest_var = em.smallest_variance(state, statistics, rate, self.var_floor,
                                                 self.relative_var_floor)
        self._assign(*(old + rate * (a - old) for old, a in zip(averaged, new)))
        self.log_likelihood = statistics.log_likelihood


class HardAssignment(FVELayer):

    """A feature belongs to its most probable component alone, in the E-step as well."""

    def forward(self, x: ArrayOrVariable, mask: Array | None = None) -> chainer.Variable:
        x = chainer.as_variable(x)
        mask = self._learn(x.array, mask)
        mean, var, weight = self.mixture
        resp = self._responsibilities(x.array, mask, self.mixture).astype(x.dtype)
        centre = weight @ mean
        z = function.shift(x, centre, resp.any(axis=1))
        parts = function.scores(resp, z, z * z, mean - centre, var)
        n = self.xp.full(len(x), x.shape[1]) if mask is None else mask.sum(axis=1)
        divisor = count_normalizer(n.clip(1, None), self.normalization).astype(x.dtype)
        scale = part_normalizers(weight) / divisor[:, None, None, None]
        return F.reshape(F.stack(parts, axis=1) * scale, (len(x), self.out_size))

    def _responsibilities(self, x, mask, mixture):
        """Zeros and ones, components in rows: (N, K, T)."""
        resp = gmm.responsibilities(x, *mixture).swapaxes(1, 2)
        resp = resp == resp.max(axis=1, keepdims=True)
        return resp if mask is None else resp & mask[:, None]

    def _e_step(self, x, mask, mixture):
        soft = function.maths_for(x).e_step(x, *mixture, mask)
        z = x - soft.centre
        if mask is not None:
            z = self.xp.where(mask[:, :, None], z, 0)
        z = z.reshape(-1, self.in_size)
        resp = self._responsibilities(x, mask, mixture).swapaxes(0, 1)
        resp = resp.reshape(self.n_components, -1).astype(float)
        return of_all_ranks(
            soft._replace(s0=resp.sum(axis=1), s1=resp @ z, s2=resp @ (z * z)), self.comm)
