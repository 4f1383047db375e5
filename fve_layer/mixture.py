"""The base class of the layers: settings, seeding and selection of the features that count."""
from collections.abc import Iterator
from typing import Any
import warnings

import chainer
from chainer.backends import cuda
import numpy

from fve_layer import masking
from fve_layer import seeding
from fve_layer.arrays import Array

CALLER = 5      # of a layer, as _select sees it: after _learn, forward and Link.__call__


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

    def __init__(self, in_size: int, n_components: int, norm_filter: bool, var_floor: float,
                 seed: int | None, comm: Any) -> None:
        super().__init__()
        if in_size < 1 or n_components < 1:
            raise ValueError(f'in_size and n_components must be at least 1, not {in_size} and '
                             f'{n_components}')
        if not 0 < var_floor < numpy.inf:
            raise ValueError(f'var_floor must be positive and finite, not {var_floor}')
        if seed is None:
            seed = numpy.random.randint(2 ** 31 - 1)
        if seed != int(seed) or not 0 <= seed < 2 ** 32:
            raise ValueError(f'seed must be a whole number in [0, 2 ** 32), not {seed}')
        self.in_size, self.n_components = in_size, n_components
        self.norm_filter, self.var_floor, self.comm = norm_filter, var_floor, comm
        self.add_persistent('seed', numpy.array(seed, numpy.int64))

    def copy(self, mode: str = 'share') -> 'MixtureLayer':
        """As :meth:`chainer.Link.copy`; with ``'init'`` the copy's own first batch seeds it."""
        layer = super().copy(mode)
        if mode == 'init':
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
            if not self.is_seeded:
                self._seed(x, mask)
        elif not self._has_warned and not self.is_seeded:
            self._has_warned = True
            warnings.warn(f'{type(self).__name__} is in test mode, but its mixture has seen no '
                          'features; call the layer in training mode first, or load a trained '
                          'state', stacklevel=CALLER)
        return mask

    def _seed(self, x, mask):
        features = cuda.to_cpu(x.reshape(-1, self.in_size) if mask is None else x[mask])
        if self.comm is None:
            mixture = self._mixture_of(features)
        else:       # the first rank clusters the features of all, in their order
            pieces, mixture = self.comm.gather_obj(features), None
            if self.comm.rank == 0:
                try:
                    mixture = self._mixture_of(numpy.concatenate(pieces))
                except ValueError as error:     # all ranks raise it, or they would wait for ever
                    mixture = error
            mixture = self.comm.bcast_obj(mixture)
            if isinstance(mixture, ValueError):
                raise mixture
        if mixture is not None:
            self._assign(*(self.xp.asarray(a) for a in mixture))

    def _mixture_of(self, features):
        if len(features) == 0:
            return None
        return seeding.kmeans_mixture(features, self.n_components, self.var_floor, int(self.seed),
                                      self.relative_var_floor)


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


def full(shape: int | tuple[int, ...], value: float) -> numpy.ndarray:
    """Array in chainer.config.dtype, but float32 where that is float16 or mixed16."""
    dtype = numpy.promote_types(chainer.get_dtype(map_mixed16=numpy.float32), numpy.float32)
    return numpy.full(shape, value, dtype)
