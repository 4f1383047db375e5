"""Fisher vector layers without one of their ingredients, to measure what each is worth.

They are what ``model.ablation`` names. None of them has been run on a GPU, where hard assignment
needs an (N, T, K) array.
"""
import chainer
import chainer.functions as F

from fve_layer import FVELayer, gmm
from fve_layer.encoding import count_normalizer, part_normalizers


class Frozen(FVELayer):

    """The mixture stays what it was seeded with; with ``init='random'``, a random one."""

    def _update(self, x, mask):
        pass


class UnitVariances(FVELayer):

    """All variances are one."""

    def _assign(self, mean, var, weight):
        super()._assign(mean, self.xp.ones_like(var), weight)


class SigmaPart(FVELayer):

    """The mean part of Fisher vectors is zero."""

    factors = 0, 1

    def forward(self, x, mask=None):
        parts = F.split_axis(super().forward(x, mask), 2, axis=1)
        return F.concat([factor * part for factor, part in zip(self.factors, parts)], axis=1)


class WeakSigmaPart(SigmaPart):

    """The sigma part of Fisher vectors is a fifth of what it is."""

    factors = 1, .2


class LastBatchEM(FVELayer):

    """The E-step has the parameters that the last batch alone had, as in the authors' code.

    The moving average is for the Fisher vectors only. A component that has no feature in a batch
    never gets one again: its weight in the next E-step is zero.
    """

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
        self._assign(*(old + rate * (a - old) for old, a in zip(averaged, new)))
        self.log_likelihood = statistics.log_likelihood


class HardAssignment(FVELayer):

    """A feature belongs to its most probable component alone, in the E-step as well."""

    def forward(self, x, mask=None):
        x = chainer.as_variable(x)
        mask = self._learn(x.array, mask)
        if mask is None:
            mask = self.xp.ones(x.shape[:2], bool)
        resp = self._responsibilities(x.array, self.mixture) * mask[..., None]
        return _encode(x, resp, self.mixture, count_normalizer(
            mask.sum(axis=1).clip(1, None), self.normalization))

    def _responsibilities(self, x, mixture):
        resp = gmm.responsibilities(x, *mixture)
        return (resp == resp.max(axis=2, keepdims=True)).astype(x.dtype)

    def _statistics(self, x, mask, mixture):
        statistics = super()._statistics(x, mask, mixture)
        resp = self._responsibilities(x, mixture)
        if mask is not None:
            resp = resp * mask[..., None]
        z = (x - statistics.centre).reshape(-1, self.in_size)
        resp = resp.reshape(-1, self.n_components).T.astype(float)
        return statistics._replace(s0=resp.sum(axis=1), s1=resp @ z, s2=resp @ (z * z))


def _encode(x, resp, mixture, divisor):
    """Fisher vectors (N, 2KD) by responsibilities (N, T, K), zero for features that do not count.

    The products of :mod:`fve_layer.encoding`, with gradients to the features ``x`` alone.
    """
    mean, var, weight = mixture
    xp = chainer.backend.get_array_module(mean)
    resp = resp.astype(x.dtype)
    counts = resp.any(axis=2, keepdims=True)
    z = F.where(xp.broadcast_to(counts, x.shape), x - weight @ mean, xp.zeros_like(x.array))
    s0 = resp.sum(axis=1)[..., None]                            # (N, K, 1)
    s1, s2 = (F.matmul(resp, y, transa=True) for y in (z, z * z))      # (N, K, D)
    sigma, centred = xp.sqrt(var), (mean - weight @ mean) / xp.sqrt(var)
    mean_part = s1 / sigma - centred * s0
    sigma_part = s2 / var - centred * (2 * mean_part + centred * s0) - s0
    scale = part_normalizers(weight) / divisor.astype(x.dtype)[:, None, None, None]
    fv = F.stack((mean_part, sigma_part), axis=1) * scale
    return F.reshape(fv, (len(x), 2 * mean.size))
