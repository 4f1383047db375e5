"""Where the files of a data set are."""
from pathlib import Path
from typing import NamedTuple

from finetune.config.catalogue import DATA_SETS, PARTS
from finetune.config.settings import Config, Data

# The authors' folders of annotations of all kinds, below the folder of a data set.
OF_ALL_KINDS = 'ORIGINAL', 'RESIZED'


class Layout(NamedTuple):
    """Where the files of a data set are.

    The lists of images and the parts need not be in one folder: below a data set's folder there may
    be one for each kind of parts, which may have lists of its own.
    """

    root: Path      # `data.root`, or data/<data set>: a folder, or a table of one's own pictures
    main: Path      # where the data set's own lists are: the root, or ORIGINAL or RESIZED in it
    lists: Path     # where the lists are that are read: `main`, or the folder of the kind of parts
    parts: Path     # where the parts are that are read: the same

    @property
    def image_folder(self) -> Path:
        """Folder of the images, if the lists are in the authors' format."""
        folders = [path / 'images' for path in (
            self.lists, self.lists.parent, _main_folder(self.lists.parent))]
        return next(filter(Path.is_dir, folders), folders[0])

    def beside(self, name: str) -> Path:
        """A folder that belongs to the data set: in its folder, or beside its table."""
        return (self.root.parent if self.root.is_file() else self.root) / name


def find_layout(config: Config) -> Layout:
    """Finds the files of the data set that an experiment names, which need not be there."""
    settings = config.data
    name = settings.dataset + ('_pretraining' if settings.split == 'pretraining' else '')
    root = config.project.path(settings.root or Path('data', name))
    main = root if DATA_SETS[settings.dataset].prepare else _main_folder(root)
    layout = Layout(root, main, main, main)
    folder = layout.beside(folder_of_kind(settings)) if folder_of_kind(settings) else main
    parts = folder if folder.is_dir() else main
    is_of_kind = parts.name in {settings.boxes, *(kind.folder for kind in PARTS.values())}
    if is_of_kind and not _has_lists(parts):
        lists = main if parts != main else _main_folder(parts.parent)
        return layout._replace(lists=lists, parts=parts)
    return layout._replace(lists=parts, parts=parts)


def folder_of_kind(settings: Data) -> str:
    """Name of the folder for annotations of the kind of parts; empty: there is none."""
    kind, known = PARTS[settings.parts], DATA_SETS[settings.dataset]
    if 'boxes' in kind.settings:
        return settings.boxes
    return '' if known.prepare else kind.folder     # a data set that is drawn has only its own


def _main_folder(root):
    paths = (root / name for name in ('', *OF_ALL_KINDS))
    return next((path for path in paths if (path / 'images.txt').exists()), root)


def _has_lists(folder):
    return any((folder / name).exists() for name in ('images.txt', 'tr_ID.txt'))
