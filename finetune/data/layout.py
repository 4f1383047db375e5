"""Finds the files of a data set."""
from pathlib import Path
from typing import NamedTuple

from finetune.config.catalogue import DATA_SETS, PARTS
from finetune.config.settings import Config, Data

# The authors' folders whose annotations serve all kinds of parts.
OF_ALL_KINDS = 'ORIGINAL', 'RESIZED'
WORK = '.work'             # in a folder of parts, while this program finds them
ORIGIN = 'origin.yml'       # in a folder of parts that this program found: settings and input


class Layout(NamedTuple):
    """Locations of a data set's files.

    The data set's folder may have one subfolder per kind of parts, which may have its own
    ``images.txt``.
    """

    root: Path      # `data.root`, or data/<data set>: a folder, or a table of your own pictures
    main: Path      # folder of the data set's own lists: the root, or ORIGINAL or RESIZED in it
    lists: Path     # folder of the lists to read: `main`, or the folder of the kind of parts
    parts: Path     # folder of the parts to read: `main`, or the folder of the kind of parts

    @property
    def image_folder(self) -> Path:
        """Folder of the images, if the lists are in the authors' format."""
        folders = [path / 'images' for path in (
            self.lists, self.lists.parent, _main_folder(self.lists.parent))]
        return next(filter(Path.is_dir, folders), folders[0])

    def beside(self, name: str) -> Path:
        """Path of a folder inside the data set's folder, or beside its table."""
        return (self.root.parent if self.root.is_file() else self.root) / name


def find_layout(config: Config) -> Layout:
    """Finds the files of an experiment's data set, which need not exist."""
    settings = config.data
    name = settings.dataset + ('_pretraining' if settings.split == 'pretraining' else '')
    root = config.project.path(settings.root or Path('data', name))
    main = root if DATA_SETS[settings.dataset].prepare else _main_folder(root)
    layout = Layout(root, main, main, main)
    folder = layout.beside(folder_of_kind(settings)) if folder_of_kind(settings) else main
    parts = folder if folder.is_dir() else main
    of_kinds = {settings.boxes, *(kind.folder for kind in PARTS.values() if kind.folder)}
    if parts.name in of_kinds and not _has_lists(parts):
        lists = main if parts != main else _main_folder(parts.parent)
        return layout._replace(lists=lists, parts=parts)
    return layout._replace(lists=parts, parts=parts)


def folder_of_kind(settings: Data) -> str:
    """Name of the subfolder for annotations of the kind of parts; empty: none."""
    kind, known = PARTS[settings.parts], DATA_SETS[settings.dataset]
    if 'boxes' in kind.settings:
        return settings.boxes
    return '' if known.prepare else kind.folder     # a generated data set has no subfolders


def _main_folder(root):
    paths = (root / name for name in ('', *OF_ALL_KINDS))
    return next((path for path in paths if (path / 'images.txt').exists()), root)


def _has_lists(folder):
    return any((folder / name).exists() for name in ('images.txt', 'tr_ID.txt'))
