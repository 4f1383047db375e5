"""Reads and checks the log, the evaluation and the names of a run; writes its environment."""
import json
import math
from pathlib import Path
import platform
from typing import Any

import chainer
import numpy
import yaml

from finetune.compute import onednn
from finetune.config.project import Project
from finetune.errors import InputError, shortened
from finetune.files import require_file, write_text

ENVIRONMENT = 'environment.yml'     # of a run
TEST_ACCURACY = 'validation/main/accuracy/both'     # in a log's entry, after an evaluation
SIDES = 'train', 'test', 'parts'       # of the data, whose identities an evaluation keeps
COPY_AGAIN = 'copy the folder of the run again'


def read_log(path: Path) -> list[dict[str, float]]:
    """Reads a log, one entry per epoch."""
    if not path.exists():       # the run has just begun, or is a conventional pipeline
        return []
    return _read(path, json.loads, _is_log, 'log',
                 'remove it, or remove the folder to restart the run')


def write_environment(path: Path, project: Project) -> None:
    """Writes the versions of packages, and the folder that paths in settings are relative to."""
    environment = {'python': platform.python_version(), 'machine': platform.platform(),
                   'project': str(project.resolve(''))}
    for package in (numpy, chainer):
        environment[package.__name__] = package.__version__
    if chainer.backends.cuda.available:
        environment['cupy'] = chainer.backends.cuda.cupy.__version__
    if onednn.library() is not None:
        environment['onednn'] = onednn.library().package
    write_text(path, yaml.safe_dump(environment))


def read_project(path: Path) -> Project | None:
    """Reads the project in which a run was written; ``None``: it is unknown, as of an older run."""
    if not path.exists():
        return None
    environment = _read(path, yaml.safe_load, _is_environment, 'list of versions',
                        f'{COPY_AGAIN}.')
    return Project(environment['project']) if 'project' in environment else None


def _is_environment(tree):
    return isinstance(tree, dict) and isinstance(tree.get('project', ''), str)


def read_evaluation(path: Path, to_do: str) -> dict[str, Any]:
    """Reads accuracies by stream and other numbers; ``to_do`` is the remedy for a damaged file."""
    return _read(path, yaml.safe_load, _is_evaluation, 'evaluation', to_do)


def read_names(path: Path) -> tuple[list[str], list[str]]:
    """Reads the names of classes and the names of parts."""
    names = _read(path, yaml.safe_load, _are_names, 'list of names', f'{COPY_AGAIN}.')
    return names['classes'], names['parts']


def _read(path, parse, is_valid, what, to_do):
    require_file(path)
    try:
        value = parse(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise InputError(f'{path}: there is no such file; {to_do}')
    except Exception as error:      # PyYAML passes on all errors of Python's conversions
        raise InputError(f'{path}: is not a complete {what} ({shortened(str(error))}); {to_do}')
    if not is_valid(value):
        raise InputError(f'{path}: is not a complete {what}; {to_do}')
    return value


def _are_names(tree):
    return isinstance(tree, dict) and all(
        isinstance(tree.get(key), list) and all(isinstance(name, str) for name in tree[key])
        for key in ('classes', 'parts'))


def _is_log(entries):
    return isinstance(entries, list) and all(
        isinstance(entry, dict) and {'epoch', 'elapsed_time'} <= entry.keys()
        and all(map(_is_number, entry.values())) for entry in entries)


def _is_evaluation(tree):
    """Whether this is an evaluation, of a run or, if it names one, of its model on other images."""
    if not isinstance(tree, dict):
        return False
    robustness = tree.get('robustness', {})
    is_complete = not robustness or isinstance(robustness, dict) and (
        {'hidden', 'shuffled'} <= robustness.keys() and isinstance(robustness['hidden'], dict)
        and all(map(_are_shares, [robustness['shuffled'], *robustness['hidden'].values()])))
    data = tree.get('data', dict.fromkeys(SIDES, ''))
    is_complete = is_complete and isinstance(data, dict) and all(
        isinstance(data.get(name), str) for name in SIDES)
    return (is_complete and _are_shares(tree.get('accuracy'))
            and _is_number(tree.get('n_parameters', 0 if 'run' in tree else None))
            and _is_number(tree.get('loss', 0)))


def _are_shares(accuracies):
    """Whether these are accuracies by stream, in [0, 1]."""
    return isinstance(accuracies, dict) and 'both' in accuracies and all(
        _is_number(value) and 0 <= value <= 1 for value in accuracies.values())


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)
