"""Which folder the paths of configs, of runs and in settings are relative to."""
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# The configs that come with the program: in it if it is installed, else beside it.
CONFIGS = next((path for path in (PACKAGE / 'configs', PACKAGE.parent / 'configs')
                if path.is_dir()), PACKAGE / 'configs')
TRAIN = './train.sh' if (PACKAGE.parent / 'train.sh').is_file() else 'python -m finetune train'


class Project:

    """A folder with ``configs/``, ``data/``, ``models/`` and ``results/``.

    Paths of configs, of runs and in settings are relative to it, all others to the working
    directory.

    Args:
        root (str or pathlib.Path): The folder, by default the working directory.

    """

    def __init__(self, root='.'):
        self.root = Path(root)

    def path(self, path):
        """A path in the project, as the working directory sees it."""
        return self.root / path

    def find(self, path):
        """A config or a folder of them; ``configs/...`` that is not there is the program's own."""
        there, parts = self.path(path), Path(path).parts
        own = CONFIGS.joinpath(*parts[1:])
        is_own = parts[:1] == ('configs',) and not there.exists() and own.exists()
        return own if is_own else there

    @property
    def option(self):
        """What a command line needs to name the project; empty for the working directory."""
        return [] if self.root == Path() else ['--project', str(self.root)]

    @property
    def named(self):
        """The end of a message about what the project lacks; empty for the working directory."""
        return '' if self.root == Path() else f' in the project {self.root}'


HERE = Project()
