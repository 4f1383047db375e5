"""Projects: the folders that paths of configs and runs, and paths in settings, are relative to."""
import copy
import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# The program's own configs: inside the installed package, or beside it in a clone.
CONFIGS = next((path for path in (PACKAGE / 'configs', PACKAGE.parent / 'configs')
                if path.is_dir()), PACKAGE / 'configs')
NEEDS = 'needs'     # in the folder of a run: the runs that it needs, and what they share
MARK = '.shared'    # in a folder of results that the user has chosen
OWN = 'folder'      # the data set "pictures of one's own"
TRAIN = './train.sh' if (PACKAGE.parent / 'train.sh').is_file() else 'python -m finetune train'


class Project:

    """A folder with ``configs/``, ``data/``, ``models/`` and ``results/``.

    Paths of configs and runs, and paths in settings, are relative to it; all other paths are
    relative to the working directory.
    """

    def __init__(self, root='.', results='results'):
        self.root = Path(root)
        self.results = self._default = self.path(results)   # of the runs, and of what they share
        self.is_chosen = False     # whether the user chose the folder of results

    def path(self, path):
        """A path in the project, relative to the working directory; ``~`` is the home folder."""
        return self.root / os.path.expanduser(path)

    def resolve(self, path):
        """A path in the project, absolute and without symbolic links."""
        return self.path(path).resolve()

    def find(self, path):
        """A config or a folder of configs: the project's, else the program's own."""
        there, parts = self.path(path), Path(path).parts
        own = CONFIGS.joinpath(*parts[1:])
        is_own = parts[:1] == ('configs',) and not there.exists() and own.exists()
        return own if is_own else there

    @property
    def all_results(self):
        """Folder of the results of all data sets."""
        return self.results if self.is_chosen else self._default

    def of(self, data):
        """The project with the results of a data set.

        A collection of one's own pictures has a folder of its own, ``results/<name of data.root>``,
        for its runs and for what they share. The runs of all other data sets share ``results``.

        Args:
            data (finetune.config.settings.Data): Settings of the data set.

        Returns:
            Project: The same project; its ``results`` are those of the data set.

        """
        if self.is_chosen:
            return self
        project = copy.copy(self)
        project.results = self._default
        if data.dataset == OWN:
            project.results = self._default / _name_of(self.path(data.root or Path('data', OWN)))
        return project

    def with_results(self, folder):
        """The project with all runs, and what they share, in a folder, whatever their data set."""
        project = copy.copy(self)
        project.results = Path(folder)
        project.is_chosen = os.path.abspath(folder) != os.path.abspath(self._default)
        return project

    def of_run(self, run, data, is_new=False):
        """The project with the results to which the run in a folder belongs.

        They are the folder of results around it. A new run elsewhere keeps what it needs inside of
        its own folder, in ``needs``.

        Args:
            run (str or pathlib.Path): Folder of the run.
            data (finetune.config.settings.Data): Settings of its data set.
            is_new (bool): Whether the run may be a new one; an old one elsewhere was moved.

        """
        project, there = self.of(data), Path(os.path.abspath(run))
        if self.is_chosen:
            return project
        for folder in there / NEEDS, *there.parents:
            if (folder / MARK).exists():
                return self.with_results(folder if Path(run).is_absolute()
                                         else os.path.relpath(folder))
        is_inside = Path(os.path.abspath(project.results)) in there.parents
        return self.with_results(Path(run, NEEDS)) if is_new and not is_inside else project

    def mark(self):
        """Marks a chosen folder of results, if it is there, so that :meth:`of_run` finds it."""
        mark = self.results / MARK
        if self.is_chosen and self.results.is_dir() and not mark.exists():
            mark.write_text('The runs below this folder share what is in it.\n', encoding='utf-8')

    @property
    def option(self):
        """The option that names the project; empty for the working directory."""
        return [] if self.root == Path() else ['--project', str(self.root)]

    @property
    def named(self):
        """The end of a message about a missing file; empty for the working directory."""
        return '' if self.root == Path() else f' in the project {self.root}'


def _name_of(root):
    """Name of a collection: of its folder, or of its table without ``.csv``."""
    path = Path(os.path.abspath(root))
    return (path.stem if path.suffix.lower() == '.csv' else path.name) or OWN


HERE = Project()
