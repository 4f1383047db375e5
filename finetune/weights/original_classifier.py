"""Converts classifiers that the authors' code saved."""
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy

from finetune.config.settings import Model
from finetune.errors import InputError

# Our prefixes of array names, by the prefixes in the authors' code.
PREFIXES = {
    'model/fc/': 'global_head/', 'model/': 'global_cnn/', 'separate_model/fc/': 'part_head/',
    'separate_model/': 'part_cnn/', 'pre_fve/': 'compression/', 'post_fve/0/': 'post_fve/',
    'aux_clf/': 'aux_head/',
}
HEADS = 'global_head/', 'part_head/', 'aux_head/'

# Arrays of the mixture learned by EM, and of the mixture learned by back-propagation.
EM = ('fve_layer/mu', 'fve_layer/sig', 'fve_layer/w', 'fve_layer/alpha', 'fve_layer/t',
      'fve_layer/eps')
GRADIENT = 'fve_layer/mu', 'fve_layer/_sig', 'fve_layer/_w', 'fve_layer/eps'

# Settings that change the scores; the others only matter when training continues.
SCORING = ('architecture', 'encoding', 'n_components', 'normalization', 'norm_filter', 'only_mean',
           'comp_size', 'post_fve_size')


def is_original(arrays: Iterable[str]) -> bool:
    """Whether arrays have the names of a classifier of the authors' code."""
    return any(name.startswith('model/') for name in arrays)


def settings_of(arrays: dict[str, numpy.ndarray], path: str | Path) -> dict[str, Any]:
    """Returns the settings of ``model`` that reproduce a classifier of the authors' code.

    The file does not record whether Fisher vectors had unit length (``l2_normalize``).

    Args:
        arrays (dict): Arrays by their names in the authors' code.
        path (str or pathlib.Path): Their file, for messages.

    """
    settings: dict[str, Any] = {'architecture': 'inception_v3_original', 'encoding': 'gap'}
    if _has(arrays, 'comb_clf/'):
        raise InputError(f'{path}: predicts by a linear layer over both streams (comb_clf) and '
                         'cannot be converted; use a classifier with pred_comb no or sum.')
    if not _has(arrays, 'fve_layer/'):
        return settings
    if not _has(arrays, 'separate_model/'):
        raise InputError(f'{path}: encodes the whole image and cannot be converted; use a '
                         'classifier with parts.')
    is_em = 'fve_layer/sig' in arrays
    head = 'post_fve/0/' if _has(arrays, 'post_fve/') else 'separate_model/fc/'
    needed = [*(EM if is_em else GRADIENT), 'mask_features', f'{head}W', f'{head}b']
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise InputError(f"{path}: is not a complete classifier of the authors' code "
                         f'({len(missing)} missing: {", ".join(missing)}); copy it again.')
    settings.update(
        encoding='fve' if is_em else 'gradient_fve', normalization='mean', scaling=False,
        n_components=arrays['fve_layer/w' if is_em else 'fve_layer/_w'].size,
        norm_filter=bool(arrays['mask_features']), var_floor=arrays['fve_layer/eps'].item(),
        only_mean=arrays[f'{head}W'].shape[1:] == (arrays['fve_layer/mu'].size,),
        comp_size=_size(arrays, 'pre_fve/b'), post_fve_size=_size(arrays, 'post_fve/0/b'))
    if is_em:
        settings['ema_decay'] = arrays['fve_layer/alpha'].item()
    if 'aux_lambda' in arrays and _has(arrays, 'aux_clf/'):
        settings['aux_lambda'] = arrays['aux_lambda'].item()
    return settings


def convert(arrays: dict[str, numpy.ndarray], settings: Model, n_classes: int, path: str | Path
            ) -> dict[str, numpy.ndarray]:
    """Converts arrays to those of :class:`~finetune.models.part_classifier.PartClassifier`.

    Means and variances (D, K) become (K, D). The authors' mixture counts its updates from 1, ours
    from 0. The extra output that label_shift 1 created is dropped, and so is the auxiliary head
    unless ``aux_lambda`` is positive.

    Args:
        arrays (dict): Arrays by their names in the authors' code.
        settings (finetune.config.settings.Model): Architecture and encoding of our classifier.
        n_classes (int): Number of classes of our classifier.
        path (str or pathlib.Path): The authors' file, for messages.

    Returns:
        dict: Arrays by our names; unknown arrays keep their names.

    """
    needed = settings_of(arrays, path)
    wrong = [f'--set model.{name}={needed[name]}'.lower() for name in SCORING
             if name in needed and getattr(settings, name) not in (needed[name], -1)]
    if wrong:
        raise InputError(f"{path}: this classifier of the authors' code has other settings; add "
                         f'{" ".join(wrong)}')
    converted = {_name(name): array for name, array in arrays.items()
                 if not name.startswith('fve_layer/')
                 and name not in ('aux_lambda', 'mask_features', 'pred_comb')
                 and (settings.aux_lambda or not name.startswith('aux_clf/'))}
    if _size(arrays, 'model/fc/b') == n_classes + 1:
        print(f'{path}: has one output more than there are classes (label_shift 1); the last is '
              'dropped. If cvdatasets 0.11 or newer read the labels, each class has the output of '
              'the next class and the first has none; train the classifier again with '
              'LABEL_SHIFT=0.', flush=True)
        converted.update({name: array[:-1] for name, array in converted.items()
                          if name.startswith(HEADS)})
    if needed['encoding'] != 'gap':
        converted.update(_mixture(arrays, settings.var_floor))
        if settings.scaling:
            converted.update({'scaling/scale': numpy.float32(1),
                              'scaling/n_seen': numpy.int64(settings.n_components)})
    return converted


def _mixture(arrays, var_floor):
    """Converts the arrays of the layer."""
    arrays = {name[len('fve_layer/'):]: array for name, array in arrays.items()
              if name.startswith('fve_layer/')}
    mixture = {'mean': arrays['mu'].T, 'seed': numpy.int64(0)}      # the seed has no effect now
    if 'sig' in arrays:
        mixture.update(var=arrays['sig'].T, weight=arrays['w'], n_updates=arrays['t'] - 1)
    else:
        var = arrays['eps'] + numpy.exp(arrays['_sig'].T)
        raw_var = numpy.log(numpy.maximum(var - var_floor, 1e-3 * var_floor))
        # The softmax of log-sigmoids is the sigmoids divided by their sum.
        mixture.update(raw_var=raw_var, raw_weight=-numpy.logaddexp(0, -arrays['_w']),
                       is_seeded=numpy.array(True))
    return {f'encoder/{name}': array for name, array in mixture.items()}


def _name(name):
    old = next((prefix for prefix in PREFIXES if name.startswith(prefix)), '')
    return PREFIXES.get(old, '') + name[len(old):]


def _has(arrays, prefix):
    return any(name.startswith(prefix) for name in arrays)


def _size(arrays, name):
    return arrays[name].size if name in arrays else 0
