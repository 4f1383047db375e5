"""Snapshots, from which an interrupted run resumes."""
from pathlib import Path
import re

import chainer
from chainer import serializers
import numpy

from finetune import files
from finetune.errors import InputError, shortened

NAME = 'snapshot_iter_{.updater.iteration}'     # formatted with a trainer
START_AGAIN = 'move it away to restart the run'
OF_MODEL, OF_OPTIMIZER = 'updater/model:main/', 'updater/optimizer:main/'


def paths(folder: Path) -> dict[int, Path]:
    """Paths of the snapshots in a run's folder, by iteration."""
    matches = [re.fullmatch(r'snapshot_iter_(\d+)', path.name)
               for path in folder.glob('snapshot_*')]
    return {int(match[1]): folder / match[0] for match in matches if match}


def load(path: Path, trainer: chainer.training.Trainer) -> None:
    """Checks a snapshot and loads it into the trainer of the same run."""
    arrays = files.read_arrays(path, 'snapshot', START_AGAIN, files.NUMBERS + files.TEXT)
    try:
        _check_optimizer(arrays)
        _Deserializer(arrays).load(trainer)
    except Exception as error:      # extensions may raise any error
        raise InputError(f'{path}: is not a complete snapshot ({shortened(str(error))}); '
                         f'{START_AGAIN}.')


class _Deserializer(serializers.NpzDeserializer):

    """Refuses arrays of another shape, which Chainer would broadcast, and non-finite arrays."""

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
    """Raises an error unless the optimiser's arrays, which Chainer does not check, fit the weights.
    """
    for key, array in arrays.items():
        if key.startswith(OF_OPTIMIZER) and array.ndim > 0:
            weights = arrays[OF_MODEL + key[len(OF_OPTIMIZER):].rpartition('/')[0]]
            if array.shape != weights.shape or not numpy.isfinite(array).all():
                raise ValueError(f'{key} does not fit the weights')
