"""The folder of a run: where it is, whose it is, and what is written into it."""
import contextlib
import csv
import fcntl
from pathlib import Path
import platform
import re

import chainer
from chainer import serializers
import numpy
import yaml

from finetune import config as configuration
from finetune.errors import InputError
from finetune.models.pretrained import BROKEN

LOCK = '.lock'
MODEL = 'model.npz'
WITHOUT_EFFECT = 'training.gpu', 'training.workers'     # on what comes out


def folder(config_path, seed):
    """``results/<path below configs/>/seed<k>``."""
    path = Path(config_path).resolve()
    configs = Path('configs').resolve()
    name = path.relative_to(configs) if configs in path.parents else Path(path.name)
    return Path('results') / name.with_suffix('') / f'seed{seed}'


def check(out, config):
    """Raises an error if the folder holds a run with other settings, or something else.

    A run that stopped before its first snapshot has nothing to lose and may start over.
    """
    settings = out / 'config.yml'
    if not out.exists() or all(path.name.startswith('.') for path in out.iterdir()):
        return
    if not settings.exists():
        raise InputError(f'{out}: holds something else than a run of this program; give another '
                         'folder with --output.')
    if not is_finished(out) and not _snapshots(out):
        return
    changed = configuration.differences(configuration.load(settings), config, WITHOUT_EFFECT)
    if changed:
        raise InputError(f'{out}: was made with another {", ".join(changed)}; move it away, give '
                         'another folder with --output, or the same settings to go on.')


@contextlib.contextmanager
def opened(out, config):
    """Makes the folder and keeps other processes out of it, which wait until this one is done.

    The operating system drops the lock when the process ends, however it ends.
    """
    check(out, config)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / LOCK, 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'{out}: waiting for another process that trains there', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        check(out, config)
        yield


def is_finished(out):
    """Whether a run has come to its end."""
    return (out / MODEL).exists()


def _snapshots(out):
    """Iteration numbers of the snapshots, and their paths."""
    matches = [re.fullmatch(r'snapshot_iter_(\d+)', path.name) for path in out.glob('snapshot_*')]
    return {int(match[1]): out / match[0] for match in matches if match}


def has_begun(out):
    """Whether there is something to go on from, so that first weights are not needed."""
    return is_finished(out) or bool(_snapshots(out))


def load_newest_snapshot(out, trainer):
    """Puts the trainer where the newest snapshot was taken, if there is one."""
    snapshots = _snapshots(out)
    if not snapshots:
        return
    newest = snapshots[max(snapshots)]
    try:
        with open(newest, 'rb') as file:
            serializers.load_npz(file, trainer)
    except BROKEN as error:
        raise InputError(f'{newest}: is not a complete snapshot ({error}); move it away to start '
                         'the run again.')


def write_settings(out, config):
    """Saves the merged settings and the environment, each file whole or not at all."""
    _write(out / 'config.yml', configuration.dump(config))
    versions = {'python': platform.python_version(), 'machine': platform.platform()}
    for package in (numpy, chainer):
        versions[package.__name__] = package.__version__
    if chainer.backends.cuda.available:
        versions['cupy'] = chainer.backends.cuda.cupy.__version__
    _write(out / 'environment.yml', yaml.safe_dump(versions))


def _write(path, text):
    unfinished = path.with_name(f'.{path.name}')
    unfinished.write_text(text, encoding='utf-8')
    unfinished.replace(path)


def save_model(out, model):
    """Saves the final weights: all of them or, if that fails half-way, nothing."""
    unfinished = out / f'.{MODEL}'
    serializers.save_npz(unfinished, model)
    unfinished.replace(out / MODEL)


def is_reported(out):
    """Whether a run is finished and :func:`report` has written all it writes."""
    return is_finished(out) and all(
        (Path(out) / name).exists() for name in ('evaluation.yml', 'predictions.csv'))


def save_arrays(path, **arrays):
    """Saves arrays as an .npz file: all of them or nothing."""
    unfinished = path.with_name(f'.{path.name}')
    with open(unfinished, 'wb') as file:
        numpy.savez(file, **arrays)
    unfinished.replace(path)


def report(out, config, evaluation, predictions, lists):
    """Writes what came out and prints the accuracy beside what to expect.

    Args:
        out (pathlib.Path): Folder of the run.
        config (finetune.config.Config): Its settings.
        evaluation (dict): Numbers for ``evaluation.yml``, ``accuracy`` among them.
        predictions (finetune.training.evaluation.Predictions): For ``predictions.csv``.
        lists (finetune.data.file_lists.FileLists): The data set.

    """
    names = [name.replace('accuracy', 'predicted') for name in predictions.classes]
    columns = [[lists.class_names[i] for i in classes]
               for classes in (predictions.label, *predictions.classes.values())]
    with open(out / '.predictions.csv', 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['image', 'n_visible', 'label', *names])
        writer.writerows(zip((record.image_id for record in lists.test), predictions.n_visible,
                             *columns))
    (out / '.predictions.csv').replace(out / 'predictions.csv')
    _write(out / 'evaluation.yml', yaml.safe_dump(evaluation))
    streams = ''.join(f', {name.split("_")[1]} stream alone {100 * evaluation[name]:.1f} %'
                      for name in ('accuracy_global', 'accuracy_parts') if name in evaluation)
    print(f'{out}: test accuracy {100 * evaluation["accuracy"]:.1f} %{streams}', flush=True)
    if config.expect:
        print(f'To expect: {config.expect}', flush=True)
