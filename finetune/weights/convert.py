"""Converts weights of other programs to an .npz file, and tries them."""
from pathlib import Path
from pkgutil import resolve_name
import re

import chainer
from chainer import serializers
import numpy

from finetune import files
from finetune.config.catalogue import ARCHITECTURES
from finetune.errors import InputError, shortened
from finetune.files import require_new
from finetune.weights import families, pretrained, tf_slim
from finetune.weights.reader import read_weights

SIZE = 160      # pixels of the picture on which weights are tried
# Kinds of arrays that are left out, by their names; the first that fits counts.
KINDS = {
    f'{tf_slim.AVERAGE}$': 'averaged variables',
    r'(^|/)AuxLogits[./]': 'of the auxiliary classifier',
    r'^(_?fc|classifier)\.|^output/|(^|/)(Logits|predictions)/': 'of the class layer',
    r'(\.num_batches_tracked|/bn/N)$': 'counters of batches',
    '/(weights|beta|moving_mean|moving_variance)$': 'that also exist averaged',
}


def convert_weights(path: str | Path, out: str | Path, raw: bool = False,
                    is_imagenet: bool = False) -> None:
    """Reads a file of weights and writes the arrays of our network.

    Args:
        path (str or pathlib.Path): See :func:`finetune.weights.reader.read_weights`.
        out (str or pathlib.Path): The .npz to write, which must not exist.
        raw (bool): Whether to use the variables of the last step instead of averaged ones.
        is_imagenet (bool): See :func:`finetune.weights.families.convert`.

    """
    out = Path(out)
    require_new(out, '.npz')
    arrays, others = families.unwrapped(read_weights(path))
    family = families.find(arrays)
    if family is None:
        raise InputError(f'{path}: has the names of no network that convert knows '
                         f'({", ".join(row.title for row in families.FAMILIES)}), but such as '
                         f'{shortened(min(arrays, default="none"))}; if this program wrote it, '
                         'model.pretrained takes it as it is.')
    averages = {name for name in arrays if raw and name.endswith(tf_slim.AVERAGE)}
    converted, left_out = families.convert(
        family, {name: arrays[name] for name in arrays.keys() - averages}, path, is_imagenet)
    architecture, cnn = _cnn(family, converted, path)
    maps = _try(cnn, converted, path)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_arrays(out, converted)
    left_out = sorted({*left_out, *averages})
    n_averaged = sum(name.endswith(tf_slim.AVERAGE) for name in arrays.keys() - set(left_out))
    print(f'read     {family.title}' + ', raw as requested' * bool(averages)
          + f', {n_averaged} arrays averaged' * bool(n_averaged)
          + ', images normalised as for ImageNet' * (is_imagenet or family.is_imagenet))
    print(f'mapped   {len(arrays) - len(left_out)} arrays to {out}')
    _report([*left_out, *others])
    print(f'tried    on a drawn picture: ConvMaps of {" x ".join(map(str, maps.shape[1:]))}, mean '
          f'{maps.mean():.4g}, {100 * (maps > 0).mean():.0f} % of them positive')
    print(f'to use   model.architecture: {architecture}, model.pretrained: {out}')


def _cnn(family, arrays, path):
    """The architecture of a family that arrays fit, and its CNN."""
    for name in family.architectures:
        cnn = resolve_name(ARCHITECTURES[name].cnn)()
        is_only = len(family.architectures) == 1
        if is_only or all(kind == 'not finite' for kind, _ in pretrained.misfits(cnn, arrays)):
            pretrained.check(cnn, arrays, path)
            return name, cnn
    raise InputError(f'{path}: has names of {family.title}, but not the shapes of '
                     f'{" or ".join(family.architectures)}; use weights of one of these.')


def _try(cnn, arrays, path):
    """The ConvMaps of a picture, after a look at them."""
    serializers.NpzDeserializer(arrays).load(cnn)
    with chainer.using_config('train', False), chainer.no_backprop_mode(), \
            numpy.errstate(all='ignore'):
        maps = chainer.as_array(cnn(picture()))
    if not numpy.isfinite(maps).all() or maps.std(axis=(2, 3)).max() == 0:
        raise InputError(f'{path}: the ConvMaps of a picture are not finite, or the same '
                         'everywhere; copy it again.')
    return maps


def picture() -> numpy.ndarray:
    """A picture (1, 3, 160, 160) in [-1, 1]: coloured rings before a gradient."""
    y, x = numpy.mgrid[:SIZE, :SIZE] / SIZE
    rings = numpy.sin(40 * numpy.hypot(x - .4, y - .6))
    channels = [.5 * rings + x - .5, .5 * rings * y + .3, numpy.where(rings > 0, .8, y - .5)]
    return numpy.clip(numpy.stack(channels), -1, 1).astype(numpy.float32)[None]


def _report(left_out):
    """Prints what was left out, by its kind."""
    groups = {}
    for name in left_out:
        kind = next((text for pattern, text in KINDS.items() if re.search(pattern, name)),
                    'of other layers or of the optimiser')
        groups.setdefault(kind, []).append(name)
    for kind, names in sorted(groups.items()):
        print(f'left out {len(names):4d} {kind}, such as {names[0]}')
