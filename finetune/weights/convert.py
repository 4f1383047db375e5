"""Converts InceptionV3 from a TF-Slim checkpoint or the package nsfwjs to an .npz file."""
from pathlib import Path
import re

from finetune import files
from finetune.errors import InputError
from finetune.files import require_new
from finetune.models.inception_v3 import InceptionV3
from finetune.weights import nsfwjs, pretrained, tf_slim


def convert_checkpoint(checkpoint: str, out: str, raw: bool = False) -> None:
    """Reads a checkpoint and writes the arrays of our InceptionV3.

    Args:
        checkpoint (str): A V1 file; the prefix, ``.index`` file or folder of a V2 checkpoint; or a
            package of :mod:`finetune.weights.nsfwjs`.
        out (str): The .npz to write, which must not exist.
        raw (bool): Whether to use the variables of the last step instead of averaged ones.

    """
    out = Path(out)
    require_new(out, '.npz')
    arrays = nsfwjs.read(checkpoint) if nsfwjs.is_package(checkpoint) else _read(checkpoint)
    converted, unused = tf_slim.from_tf_slim(arrays, checkpoint, raw)
    pretrained.check(InceptionV3(), converted, checkpoint)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_arrays(out, converted)
    _report(arrays, unused, raw, out)


def _read(checkpoint):
    """Reads all variables of a checkpoint by TensorFlow's own reader."""
    try:
        import tensorflow
    except ImportError:
        raise InputError('convert needs TensorFlow to read checkpoints; pip install tensorflow '
                         'into an environment of its own.')
    path = str(checkpoint)
    path = path[:-len('.index')] if path.endswith('.index') else path
    try:
        reader = tensorflow.train.load_checkpoint(path)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tensorflow.errors.OpError, ValueError, RuntimeError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f'{checkpoint}: TensorFlow cannot read it as a checkpoint ({reason}); '
                         'give the path of a V1 file, or the common prefix of the files of a V2 '
                         'checkpoint.')


def _report(arrays, unused, raw, out):
    """Prints which variables were used and which were not."""
    n_averaged = sum(name.endswith(tf_slim.AVERAGE) for name in set(arrays) - set(unused))
    n_used = len(arrays) - len(unused)
    how = 'raw, as requested' if raw else f'{n_averaged} of them averaged over training'
    print(f'mapped   {n_used} variables to {out}, {how}')
    groups = {}
    for name in unused:
        groups.setdefault(_group(name), []).append(name)
    for group, names in sorted(groups.items()):
        print(f'skipped  {len(names):4d} {group}, such as {names[0]}')
    print('missed   nothing')


def _group(name):
    """Names the kind of an unused variable."""
    if name.endswith(tf_slim.AVERAGE):
        return 'averaged variables'
    if re.search('(^|/)(Aux)?Logits/', name):
        return 'variables of class layers'
    if name.count('/') and re.search('/(weights|beta|moving_mean|moving_variance)$', name):
        return 'variables that also exist averaged'
    return 'counters and variables of the optimiser'
