"""Snapshots, from which an interrupted run goes on."""
from pathlib import Path

import chainer
from chainer import serializers
import numpy

from finetune import files
from finetune.errors import InputError, shortened

START_AGAIN = 'move it away to start the run again'
OF_MODEL, OF_OPTIMIZER = 'updater/model:main/', 'updater/optimizer:main/'


def load(path: Path, trainer: chainer.training.Trainer) -> None:
    """Loads a snapshot, whose arrays are checked.

    Args:
        path (pathlib.Path): The snapshot.
        trainer (chainer.training.Trainer): Trainer of the same run.

    """
    arrays = files.read_arrays(path, 'snapshot', START_AGAIN, files.NUMBERS + files.TEXT)
    try:
        _check_optimizer(arrays)
        _Deserializer(arrays).load(trainer)
    except Exception as error:      # whatever the extensions raise
        raise InputError(f'{path}: is not a complete snapshot ({shortened(str(error))}); '
                         f'{START_AGAIN}.')


class _Deserializer(serializers.NpzDeserializer):

    """Chainer's, which spreads an array over one of another shape, and loads what is not finite."""

    def __getitem__(self, key):
        return _Deserializer(self.npz, f'{self.path}{key.strip("/")}/')

    def __call__(self, key, value):
        name = self.path + key.lstrip('/')
        if hasattr(value, 'shape'):
            array = self.npz[name]
            if value.shape != array.shape:
                raise ValueError(f'{name} has the shape {array.shape}, not {value.shape}')
            if not numpy.isfinite(array).all():
                raise ValueError(f'{name} is not finite')
        return super().__call__(key, value)


def _check_optimizer(arrays):
    """Raises an error unless the optimiser's arrays, which are taken as they are, fit the weights.
    """
    for key, array in arrays.items():
        if key.startswith(OF_OPTIMIZER) and array.ndim > 0:
            weights = arrays[OF_MODEL + key[len(OF_OPTIMIZER):].rpartition('/')[0]]
            if array.shape != weights.shape or not numpy.isfinite(array).all():
                raise ValueError(f'{key} does not fit the weights')
