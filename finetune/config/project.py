"""Where configs are, and which folder the paths in them are relative to."""
import contextlib
import os
from pathlib import Path

from finetune.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
# The configs that come with the program: in it if it is installed, else beside it.
CONFIGS = next((path for path in (PACKAGE / 'configs', PACKAGE.parent / 'configs')
                if path.is_dir()), PACKAGE / 'configs')
TRAIN = './train.sh' if (PACKAGE.parent / 'train.sh').is_file() else 'python -m finetune train'


def find(path):
    """A config or a folder of them; ``configs/...`` that is not there is the program's own."""
    path = Path(path)
    own = CONFIGS.joinpath(*path.parts[1:])
    is_own = path.parts[:1] == ('configs',) and not path.exists() and own.exists()
    return own if is_own else path


@contextlib.contextmanager
def entered(paths):
    """Context in which the project of configs or results elsewhere is the working folder.

    Settings have paths that are relative to it, the folder with ``configs`` and ``results``.
    Nothing changes for paths in the working folder, and for those that are not in such a folder.

    Yields:
        pathlib.Path: The working folder before, for other paths that are relative to it.

    """
    before, projects = Path.cwd(), {_project_of(path) for path in paths}
    if len(projects) > 1:
        raise InputError(f'{paths[0]} and {paths[-1]}: the configs are not of one project; start '
                         'a command for each.')
    project = next(iter(projects), None)
    if project is None:
        yield before
        return
    os.chdir(project)
    print(f'{project}: is the working folder now, as settings have paths relative to it',
          flush=True)
    try:
        yield before
    finally:
        os.chdir(before)


def _project_of(path):
    """The folder above ``configs`` or ``results``; ``None`` for the working folder's own."""
    path = Path(os.path.abspath(path))
    if {Path.cwd(), PACKAGE} & {*path.parents}:
        return None
    return next((folder.parent for folder in (path, *path.parents)
                 if folder.name in ('configs', 'results')), None)
