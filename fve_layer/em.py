"""One step of EM on a batch, by moving averages (Sect. 3.2). Pure array maths.

What the layers of Chainer and of PyTorch have in common: their settings, and how the state of a
mixture changes.
"""
from typing import Any, NamedTuple
import warnings

import numpy

from fve_layer import gmm
from fve_layer.arrays import Array, get_array_module

INITS = 'kmeans', 'random'
NORMALIZATIONS = 'sqrt', 'mean'


class State(NamedTuple):
    """A mixture that learns."""

    mean: Array             # (K, D)
    var: Array              # (K, D)
    weight: Array           # (K,)
    n_updates: Array        # scalar int64: t in Eqs. 6-9
    smallest_var: Array | float     # scalar

    def bounded(self) -> 'State':
        """Variances of at least the smallest one, and positive weights with the sum one."""
        xp = get_array_module(self.var)
        return self._replace(var=xp.maximum(self.var, self.smallest_var),
                             weight=gmm.bounded_weight(self.weight))


def step(state: State, statistics: gmm.Statistics, ema_decay: float, var_floor: float,
         relative_var_floor: float) -> State:
    """The M-step (Eqs. 3-5) and the step of the bias-corrected moving average (Eqs. 6-9).

    Args:
        state (State): The state before.
        statistics (fve_layer.gmm.Statistics): Sufficient statistics of the batch by this state.
        ema_decay, var_floor, relative_var_floor (float): See :class:`fve_layer.GMMLayer`.

    Returns:
        State: The state after, not :meth:`State.bounded`; the same as before if no feature counts,
        or if one of them is not finite.

    """
    xp = get_array_module(state.mean)
    new = gmm.m_step(statistics, state.mean, state.var, var_floor)
    learns = (statistics.s0.sum() > 0) & xp.isfinite(sum(a.sum() for a in new))
    n_updates = xp.asarray(state.n_updates + learns)
    rate = gmm.ema_rate(xp.maximum(n_updates, 1), ema_decay)
    smallest_var = smallest_variance(state, statistics, xp.where(learns, rate, 0), var_floor,
                                     relative_var_floor)
    mean, var, weight = (xp.where(learns, old + rate * (a - old), old)
                         for old, a in zip(state, new))
    return State(mean, var, weight, n_updates, smallest_var)


def smallest_variance(state: State, statistics: gmm.Statistics, rate: Array | float,
                      var_floor: float, relative_var_floor: float) -> Array | float:
    """The smallest variance, moved towards that of a batch at a rate; at rate 0 the same."""
    if not relative_var_floor:
        return state.smallest_var
    xp = get_array_module(state.mean)
    floor = relative_var_floor * gmm.feature_variance(statistics)
    change = xp.where(rate > 0, rate * (floor - state.smallest_var), 0)
    return xp.maximum(state.smallest_var + change, var_floor).astype(state.mean.dtype)


def initial_state(in_size: int, n_components: int, init: str, seed: int,
                  var_floor: float) -> State:
    """The state of a layer that has seen no batch, float64.

    With ``init='random'`` the means are uniform in [-1, 1], with ``'kmeans'`` zero.
    """
    mean = numpy.zeros((n_components, in_size))
    if init == 'random':
        mean = numpy.random.RandomState(seed).uniform(-1, 1, mean.shape)
    return State(mean, numpy.full(mean.shape, max(1., var_floor)),
                 numpy.full(n_components, 1 / n_components), numpy.zeros((), numpy.int64),
                 numpy.array(float(var_floor)))


def check_settings(in_size: int, n_components: int, var_floor: float,
                   relative_var_floor: float = 0., ema_decay: float = 0.,
                   init: str = 'kmeans') -> None:
    """Raises a ValueError if one of these arguments of a layer is out of its range."""
    if in_size < 1 or n_components < 1:
        raise ValueError(f'in_size and n_components must be at least 1, not {in_size} and '
                         f'{n_components}')
    if not 0 < var_floor < numpy.inf:
        raise ValueError(f'var_floor must be positive and finite, not {var_floor}')
    if not 0 <= relative_var_floor < numpy.inf:
        raise ValueError('relative_var_floor must be finite and not negative, not '
                         f'{relative_var_floor}')
    if init not in INITS:
        raise ValueError(f'init must be one of {", ".join(map(repr, INITS))}, not {init!r}; to '
                         'start from arrays, assign mean, var and weight')
    if not 0 <= ema_decay < 1:
        raise ValueError(f'ema_decay must be in [0, 1), not {ema_decay}')


def check_normalization(normalization: str) -> None:
    """Raises a ValueError if the normalization is unknown."""
    if normalization not in NORMALIZATIONS:
        raise ValueError(f'normalization must be one of {", ".join(map(repr, NORMALIZATIONS))}, '
                         f'not {normalization!r}')


def checked_seed(seed: int | None) -> int:
    """The seed, or one drawn from NumPy's global state.

    Raises:
        ValueError: If it is not a whole number in [0, 2 ** 32).

    """
    if seed is None:
        seed = numpy.random.randint(2 ** 31 - 1)
    if seed != int(seed) or not 0 <= seed < 2 ** 32:
        raise ValueError(f'seed must be a whole number in [0, 2 ** 32), not {seed}')
    return int(seed)


def check_shapes(mean: Array, var: Array, weight: Array) -> None:
    """Raises a ValueError unless these are (K, D), (K, D) and (K,)."""
    shapes = tuple(mean.shape), tuple(var.shape), tuple(weight.shape)
    if len(shapes[0]) != 2 or shapes[1:] != (shapes[0], shapes[0][:1]):
        raise ValueError('mean, var and weight must have the shapes (K, D), (K, D) and (K,), not '
                         '{}, {} and {}'.format(*shapes))


def check_mixture(mean: Array, var: Array, weight: Array) -> None:
    """Raises a ValueError if a loaded state is no mixture."""
    if not ((var > 0).all() and (weight > 0).all() and abs(weight.sum() - 1) < 1e-3):
        raise ValueError('var must be positive, and weight positive with the sum one')
    if not (abs(mean) < numpy.inf).all() or not (var < numpy.inf).all():
        raise ValueError('mean and var must be finite')


def warn_without_mixture(layer: Any, stacklevel: int) -> None:
    """Warns that a layer in test mode has a mixture that has learned nothing."""
    warnings.warn(f'{type(layer).__name__} is in test mode, but its mixture has seen no features; '
                  'call the layer in training mode first, or load a trained state',
                  stacklevel=stacklevel)
