"""The base class of the layers: settings, seeding and selection of the features that count."""
from collections.abc import Iterator
from typing import Any

import chainer
import numpy

from fve_layer import em
from fve_layer import masking
from fve_layer import seeding
from fve_layer.arrays import Array, to_cpu

CALLER = 6      # of a layer, as the warning sees it: after _select, _learn, forward, __call__


class MixtureLayer(chainer.Link):

    """Layer with a Gaussian mixture that the first training batch seeds.

    Subclasses have ``mean``, ``var``, ``weight`` and ``is_seeded``; those that encode also have a
    ``normalization``. They define two methods:

    - ``_assign(mean, var, weight)`` replaces the mixture by these arrays;
    - ``_reset()`` makes the layer one that no batch has seeded.

    Their ``forward`` calls ``_select(x, mask)``, which seeds the mixture.
    """

    normalization: str | None = None
    relative_var_floor = 0.
    _has_warned = False
    _has_joined = False     # the other ranks

    def __init__(self, in_size: int, n_components: int, norm_filter: bool, var_floor: float,
                 seed: int | None, comm: Any) -> None:
        super().__init__()
        em.check_settings(in_size, n_components, var_floor)
        seed = em.checked_seed(seed)
        self.in_size, self.n_components = in_size, n_components
        self.norm_filter, self.var_floor, self.comm = norm_filter, var_floor, comm
        self.add_persistent('seed', numpy.array(seed, numpy.int64))

    def copy(self, mode: str = 'share') -> 'MixtureLayer':
        """As :meth:`chainer.Link.copy`; with ``'init'`` the copy's own first batch seeds it."""
        layer = super().copy(mode)
        if mode == 'init':
            layer._has_joined = False
            layer._reset()
        return layer

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Saves or loads the layer.

        Raises:
            ValueError: If a loaded array has the wrong shape, for example because it has another
                number of components (Chainer would broadcast a single one), or if the loaded
                arrays are not a mixture.

        """
        if isinstance(serializer, chainer.Deserializer):
            for name in sorted({*self._params, *self._persistent}):
                shape, loaded = numpy.shape(getattr(self, name)), serializer(name, None)
                if loaded is not None and numpy.shape(loaded) != shape:
                    raise ValueError(f'{name} has the shape {numpy.shape(loaded)}, but must have '
                                     f'{shape}')
        super().serialize(serializer)

    @property
    def printable_specs(self) -> Iterator[tuple[str, Any]]:
        yield from (('in_size', self.in_size), ('n_components', self.n_components),
                    ('norm_filter', self.norm_filter), ('var_floor', self.var_floor))
        if self.normalization is not None:
            yield 'normalization', self.normalization

    def __repr__(self) -> str:
        return str(self)

    @property
    def out_size(self) -> int:
        """Size of the last axis of the output, 2KD, or D if the layer does not encode."""
        return self.in_size * (1 if self.normalization is None else 2 * self.n_components)

    @property
    def mixture(self) -> tuple[Array, Array, Array]:
        """Arrays of the means (K, D), variances (K, D) and weights (K,) in use."""
        mean, var, weight = map(chainer.as_array, (self.mean, self.var, self.weight))
        return mean, var, weight

    @property
    def observation(self) -> dict[str, Array]:
        """Scalars for :func:`chainer.report`, by name."""
        return {}

    def _select(self, x, mask):
        """Returns which features count; seeds the mixture in training mode if necessary.

        In test mode, a mixture that has learned nothing causes a warning, once.
        """
        masking.check_shapes(x, mask, self.in_size)
        mask = masking.counting_features(x, mask, self.norm_filter)
        if chainer.config.train:
            if self.comm is not None and not self._has_joined:
                self._join()
            if not self.is_seeded:
                self._seed(x, mask)
        elif not self._has_warned and not self.is_seeded:
            self._has_warned = True
            em.warn_without_mixture(self, CALLER)
        return mask

    def _join(self):
        """Takes the state of the first rank: another rank may have drawn or loaded another one."""
        names = sorted({*self._params, *self._persistent})
        values = self.comm.bcast_obj(None if self.comm.rank else [
            to_cpu(chainer.as_array(getattr(self, name))) for name in names])
        for name, value in zip(names, values):
            old = getattr(self, name)
            if isinstance(old, chainer.Parameter):
                old.array[...] = self.device.send(value)
            else:
                setattr(self, name, bool(value) if isinstance(old, bool) else
                        self.device.send(value))
        self._has_joined = True

    def _seed(self, x, mask):
        mixture = seeding.of_all_ranks(x, mask, self.comm, self.n_components, self.var_floor,
                                       int(self.seed), self.relative_var_floor)
        if mixture is not None:
            self._assign(*mixture)


def multi_node(model: chainer.Link, comm: Any) -> chainer.Link:
    """Gives all mixtures of a model a communicator: all ranks then have the same mixture.

    Like ``chainermn.links.create_mnbn_model``, but it changes the model itself, not a copy.

    Args:
        model (chainer.Link): Contains layers of this package.
        comm: Communicator of ``chainermn.create_communicator``, or ``None`` for none.

    Returns:
        chainer.Link: ``model``.

    """
    for link in model.links():
        if isinstance(link, MixtureLayer):
            link.comm = comm
    return model


def parameter_dtype() -> numpy.dtype:
    """chainer.config.dtype, but float32 where that is float16 or mixed16."""
    return numpy.promote_types(chainer.get_dtype(map_mixed16=numpy.float32), numpy.float32)
