"""Projects: the folders that paths of configs and runs, and paths in settings, are relative to."""
import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# The program's own configs: inside the installed package, or beside it in a clone.
CONFIGS = next((path for path in (PACKAGE / 'configs', PACKAGE.parent / 'configs')
                if path.is_dir()), PACKAGE / 'configs')
TRAIN = './train.sh' if (PACKAGE.parent / 'train.sh').is_file() else 'python -m finetune train'


class Project:

    """A folder with ``configs/``, ``data/``, ``models/`` and ``results/``.

    Paths of configs and runs, and paths in settings, are relative to it; all other paths are
    relative to the working directory.
    """

    def __init__(self, root='.', results='results'):
        self.root = Path(root)
        self.results = self.path(results)   # folder of the runs, and of what they share

    def path(self, path):
        """A path in the project, relative to the working directory; ``~`` is the home folder."""
        return self.root / os.path.expanduser(path)

    def find(self, path):
        """A config or a folder of configs: the project's, else the program's own."""
        there, parts = self.path(path), Path(path).parts
        own = CONFIGS.joinpath(*parts[1:])
        is_own = parts[:1] == ('configs',) and not there.exists() and own.exists()
        return own if is_own else there

    @property
    def option(self):
        """The option that names the project; empty for the working directory."""
        return [] if self.root == Path() else ['--project', str(self.root)]

    @property
    def named(self):
        """The end of a message about a missing file; empty for the working directory."""
        return '' if self.root == Path() else f' in the project {self.root}'


HERE = Project()
