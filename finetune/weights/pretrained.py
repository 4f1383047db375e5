"""Loads weights from files after checking them."""
from collections.abc import Callable, Iterable
import functools
from pathlib import Path
from pkgutil import resolve_name
from unittest import mock

import chainer
from chainer import serializers
import numpy

from finetune.config.catalogue import ARCHITECTURES
from finetune.config.settings import Config
from finetune.data.records import DataSet
from finetune.errors import InputError, shortened
from finetune.models.part_classifier import build_classifier, PartClassifier
from finetune.weights import families, original_classifier
from finetune.weights.reader import read_weights

# Prefix of the backbone's arrays in a classifier of this program and of the authors' code.
CLASSIFIER_BACKBONE = 'global_cnn/', 'model/'
CLASS_LAYERS = 'fc/', 'fc6/', 'fc7/', 'fc8/'        # InceptionV3's, ResNets' and VGG16's
MAX_KEYS = 10       # of each problem in a message


def load_backbones(classifier: PartClassifier, path: str | Path) -> None:
    """Loads the same weights into both CNNs of a classifier, except into class layers.

    Args:
        classifier (finetune.models.part_classifier.PartClassifier): The classifier.
        path (str or pathlib.Path): .npz of a classifier (its global CNN is used) or of a CNN, or
            a file of another program for a network of :mod:`finetune.weights.families`.

    """
    arrays = _cnn_arrays(path)
    check_cnn(classifier.global_cnn, arrays, path)
    _load(classifier.global_cnn, arrays, path)
    if classifier.n_parts > 0:
        _load(classifier.part_cnn, arrays, path)


def load_cnn(cnn: chainer.Link, path: str | Path) -> None:
    """Loads a CNN from a file as :func:`load_backbones` reads it."""
    arrays = _cnn_arrays(path)
    check_cnn(cnn, arrays, path)
    _load(cnn, arrays, path)


def _cnn_arrays(path):
    arrays, _ = families.unwrapped(read_weights(path))
    family = families.find(arrays)
    if family is not None:
        arrays, _ = families.convert(family, arrays, path)
    elif any(key.startswith(CLASSIFIER_BACKBONE) for key in arrays):
        arrays = {key.partition('/')[2]: array for key, array in arrays.items()
                  if key.startswith(CLASSIFIER_BACKBONE)}
    return {key: array for key, array in arrays.items() if not key.startswith(CLASS_LAYERS)}


def load_classifier(classifier: PartClassifier, path: str | Path) -> None:
    """Loads a whole classifier from an .npz of this program or of the authors' code."""
    arrays = read_weights(path)
    if original_classifier.is_original(arrays):
        arrays = original_classifier.convert(arrays, classifier.settings,
                                             classifier.n_classes, path)
    check(classifier, arrays, path)
    _load(classifier, arrays, path)


def load_trained(path: Path, config: Config, data_set: DataSet, device: chainer.backend.Device
                 ) -> PartClassifier:
    """Builds the classifier of a run and loads its trained weights onto a device."""
    model = build_classifier(config, data_set)
    load_classifier(model, path)
    model.to_device(device)
    return model


def _load(link, arrays, path):
    try:
        serializers.NpzDeserializer(arrays).load(link)
    except ValueError as error:     # the mixture checks its values
        raise InputError(f'{path}: cannot be loaded ({shortened(str(error))}); copy it again.')


def check_cnn(cnn: chainer.Link, arrays: dict[str, numpy.ndarray], path: str | Path) -> None:
    """Raises an error that lists the keys that do not fit a CNN, and the CNNs that they fit."""
    check(cnn, arrays, path, lambda: fitting(arrays))


def fitting(arrays: dict[str, numpy.ndarray]) -> list[str]:
    """The architectures that arrays fit."""
    kinds = {key: (array.shape, array.dtype.kind) for key, array in arrays.items()}
    return [name for name in ARCHITECTURES if _kinds(name) == kinds]


@functools.cache
def _kinds(architecture):
    """Shapes and kinds of the arrays of a CNN by key; ``None``: its package is not installed."""
    try:
        # Most of the time of building a CNN goes into random numbers.
        with mock.patch.object(chainer.initializers, 'generate_array', _zeros):
            cnn = resolve_name(ARCHITECTURES[architecture].cnn)()
    except (ImportError, InputError):
        return None
    return {key: (array.shape, array.dtype.kind) for key, array in _arrays_of(cnn).items()}


def _zeros(initializer, shape, xp, dtype=None, device=None):
    return numpy.zeros(shape, dtype or getattr(initializer, 'dtype', None) or numpy.float32)


def _arrays_of(link):
    serializer = serializers.DictionarySerializer()
    serializer.save(link)
    return serializer.target


def check(link: chainer.Link, arrays: dict[str, numpy.ndarray], path: str | Path,
          others: Callable[[], Iterable[str]] = tuple) -> None:
    """Raises an error that lists the keys that do not fit a link, and what others they fit."""
    problems = misfits(link, arrays)
    if problems:
        lists = '; '.join(f'{len(keys)} {name}: {", ".join(keys[:MAX_KEYS])}'
                          + ', ...' * (len(keys) > MAX_KEYS) for name, keys in problems)
        is_damaged = all(name == 'not finite' for name, _ in problems)
        found = [] if is_damaged else others()
        to_do = ('copy them again, or take those of an earlier step' if is_damaged else
                 f'set model.architecture to {" or ".join(found)}' if found else
                 'use the architecture that they were trained with')
        raise InputError(f'{path}: the weights do not fit {type(link).__name__} ({lists}); '
                         f'{to_do}.')


def misfits(link: chainer.Link, arrays: dict[str, numpy.ndarray]) -> list[tuple[str, list[str]]]:
    """Kinds of problems, each with the keys that do not fit a link."""
    expected = _arrays_of(link)
    common = expected.keys() & arrays.keys()
    misshapen = [f'{key} {arrays[key].shape} for {expected[key].shape}' for key in common
                 if arrays[key].shape != expected[key].shape]
    of_other_kind = {key for key in common if expected[key].dtype.kind != arrays[key].dtype.kind}
    infinite = [key for key in common - of_other_kind
                if not _is_finite(arrays[key], expected[key].dtype)]
    return [(name, sorted(keys)) for name, keys in (
        ('missing', expected.keys() - arrays.keys()),
        ('unexpected', arrays.keys() - expected.keys()), ('misshapen', misshapen),
        ('of another kind', of_other_kind), ('not finite', infinite)) if keys]


def _is_finite(array, dtype):
    """Whether all values of an array are finite after conversion to a type."""
    if numpy.dtype(dtype).kind != 'f':
        return True
    with numpy.errstate(over='ignore', invalid='ignore'):
        return bool(numpy.isfinite(array.astype(dtype)).all())
