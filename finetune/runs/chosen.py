"""The run that a comparison chose, named by a file in the folder of its results."""
from pathlib import Path

import yaml

from finetune.config.project import HERE, Project
from finetune.errors import InputError
from finetune.files import read_text, write_text
from finetune.runs.folder import RunFolder

FILE = 'chosen.yml'
ANSWER = 'comparison.txt'   # in the folder of the results: what the comparison printed
IMAGES = 'images.csv'       # in the folder of the results: all images that are compared
TEST = 'test'       # in the folder of the chosen run, if it was tested apart


def write(results: Path, run: RunFolder, summary: dict) -> None:
    """Writes which run was chosen, and why, into the folder of the results."""
    path = run.path.relative_to(results).as_posix()
    write_text(results / FILE, yaml.safe_dump({'run': path, **summary}, sort_keys=False))


def tested(run: RunFolder) -> RunFolder:
    """The folder of a run's results on the test images.

    It is the run's own, unless the comparison trained the run without test images of its own.
    """
    apart = RunFolder(run.path / TEST, run.project)
    is_held_out = run.read_config().data.split == 'validation'
    return apart if is_held_out and apart.path.is_dir() else run


def of_test(run: RunFolder) -> list[str]:
    """The override with which a run is evaluated on the test images, if its own are held out."""
    return [] if tested(run) is run else ['data.split=']


def find_run(path: str | Path, project: Project = HERE) -> RunFolder:
    """The folder of a run, or of the run that a comparison chose, relative to the project."""
    folder = project.path(path)
    if not (folder / FILE).exists():
        if (folder / IMAGES).exists() and not RunFolder(folder).is_run:
            raise InputError(f'{folder}: the comparison of photographs is not finished; repeat its '
                             'command, ./train.sh PHOTOS, to resume it.')
        return RunFolder(folder, project)
    try:
        run = yaml.safe_load(read_text(folder / FILE))['run']
        if Path(run).is_absolute() or '..' in Path(run).parts:
            raise ValueError
    except (yaml.YAMLError, TypeError, KeyError, ValueError):
        raise InputError(f'{folder / FILE}: does not name a run in this folder; repeat the '
                         'comparison, or give the folder of a run.')
    return RunFolder(folder / run, project)
