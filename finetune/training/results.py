"""The folder of a run: where it is, whose it is, and what is written into it."""
import contextlib
import fcntl
from pathlib import Path
import platform
import zipfile

import chainer
from chainer import serializers
import numpy
import yaml

from finetune import config as configuration
from finetune.errors import InputError

LOCK = '.lock'
MODEL = 'model.npz'


def folder(config_path, seed):
    """``results/<path below configs/>/seed<k>``."""
    path = Path(config_path).resolve()
    configs = Path('configs').resolve()
    name = path.relative_to(configs) if configs in path.parents else Path(path.name)
    return Path('results') / name.with_suffix('') / f'seed{seed}'


def check(out, config):
    """Raises an error if the folder holds a run with other settings, or something else."""
    settings = out / 'config.yml'
    if not out.exists() or all(path.name == LOCK for path in out.iterdir()):
        return
    if not settings.exists():
        raise InputError(f'{out}: holds something else than a run of this program; give another '
                         'folder with --output.')
    before, now = configuration.load(settings), config
    changed = [name for name in configuration.names()
               if name != 'training.gpu'
               and configuration.get(before, name) != configuration.get(now, name)]
    if changed:
        raise InputError(f'{out}: was made with another {", ".join(changed)}; give another folder '
                         'with --output, or the same settings to go on.')


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


def newest_snapshot(out):
    """Snapshot to go on from, or ``None``."""
    snapshots = sorted(out.glob('snapshot_iter_*'), key=lambda path: int(path.name.split('_')[2]))
    if not snapshots:
        return None
    if not zipfile.is_zipfile(snapshots[-1]):
        raise InputError(f'{snapshots[-1]}: is not a complete snapshot; move it away to start '
                         'the run again.')
    return snapshots[-1]


def write_settings(out, config):
    """Saves the merged settings and the environment."""
    (out / 'config.yml').write_text(configuration.dump(config), encoding='utf-8')
    versions = {'python': platform.python_version(), 'machine': platform.platform()}
    for package in (numpy, chainer):
        versions[package.__name__] = package.__version__
    if chainer.backends.cuda.available:
        versions['cupy'] = chainer.backends.cuda.cupy.__version__
    (out / 'environment.yml').write_text(yaml.safe_dump(versions), encoding='utf-8')


def save_model(out, model):
    """Saves the final weights: all of them or, if that fails half-way, nothing."""
    unfinished = out / f'.{MODEL}'
    serializers.save_npz(unfinished, model)
    unfinished.replace(out / MODEL)


def report(out, config, evaluation):
    """Writes the evaluation and prints the accuracy beside what to expect."""
    (out / 'evaluation.yml').write_text(yaml.safe_dump(evaluation), encoding='utf-8')
    streams = ''.join(f', {name.split("_")[1]} stream alone {100 * evaluation[name]:.1f} %'
                      for name in ('accuracy_global', 'accuracy_parts') if name in evaluation)
    print(f'{out}: test accuracy {100 * evaluation["accuracy"]:.1f} %{streams}', flush=True)
    if config.expect:
        print(f'To expect: {config.expect}', flush=True)
