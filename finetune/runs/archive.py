"""Archives: a trained model as one ``.zip`` file, with what predictions need of a run's folder."""
import atexit
from pathlib import Path
import tempfile
import zipfile
import zlib

from finetune.config.project import HERE, Project
from finetune.errors import InputError, shortened
from finetune.files import atomic, require_new
from finetune.runs.chosen import find_run
from finetune.runs.folder import RunFolder

SUFFIX = '.zip'
NEEDED = 'config.yml', 'model.npz', 'names.yml'
CARD = 'model_card.md'
OPTIONAL = 'examples.npz', 'images.csv', CARD
DETECTOR = 'detector'       # a folder of files
TIME = 1980, 1, 1, 0, 0, 0      # of all files: equal models have equal archives


def write(results: str | Path, out: str | Path, project: Project = HERE) -> None:
    """Writes the model of a finished run, or of a comparison, into a new ``.zip`` file."""
    require_new(out, SUFFIX)
    run = find_run(results, project)
    run.require_finished()
    files = {name: run.path / name for name in (*NEEDED, *OPTIONAL)}
    files[CARD] = project.path(results) / CARD      # a comparison tests its run and has the card
    if run.detector.is_dir():
        files |= {f'{DETECTOR}/{path.name}': path for path in sorted(run.detector.iterdir())}
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with atomic(out) as unfinished, zipfile.ZipFile(unfinished, 'w') as archive:
        for name, path in files.items():
            if name in NEEDED or path.is_file():
                archive.writestr(zipfile.ZipInfo(name, TIME), path.read_bytes(),
                                 zipfile.ZIP_DEFLATED)


def find_model(path: str | Path, project: Project = HERE) -> RunFolder:
    """The folder of a run, of the one that a comparison chose, or of an unpacked archive.

    Archives are unpacked into a temporary folder, which goes when the process ends.

    Args:
        path (str or pathlib.Path): Folder or ``.zip`` file, relative to the project.
        project (Project): The project.

    """
    file = project.path(path)
    if file.suffix != SUFFIX or not file.is_file():
        return find_run(path, project)
    folder = tempfile.TemporaryDirectory(prefix='finetune_')
    atexit.register(folder.cleanup)
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive.namelist())
            archive.extractall(folder.name)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError, ValueError,
            zlib.error, NotImplementedError) as error:
        raise InputError(f'{file}: is not a complete archive of a model ({shortened(str(error))}); '
                         'copy it again, or make it by python -m finetune export RUN MODEL.zip.')
    return _Unpacked(folder.name, project, file)


class _Unpacked(RunFolder):

    """The folder of an unpacked archive; messages name the archive."""

    def __init__(self, path, project, archive):
        super().__init__(path, project)
        self._archive = archive

    def __str__(self):
        return str(self._archive)


def _check(names):
    """Raises an error if these files are not those of a model."""
    for name in NEEDED:
        if name not in names:
            raise ValueError(f'{name} is missing')
    for name in names:
        folder, _, file = name.rpartition('/')
        is_known = name in (*NEEDED, *OPTIONAL) or folder == DETECTOR and file not in ('', '..')
        if not is_known or names.count(name) > 1:
            raise ValueError(f'it also has {name}')
