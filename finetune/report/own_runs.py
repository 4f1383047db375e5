"""The names of runs on pictures of one's own in the report."""
import os
from pathlib import Path
from typing import NamedTuple

from finetune.config.project import NEEDS
from finetune.runs.origin import changes

BASELINE = 'no_parts'


class OwnRuns(NamedTuple):
    """Runs of the same path and with the same settings, but for their seeds."""

    path: Path          # in the folder of the collection
    file: str           # their YAML file; empty: unknown
    changed: list       # settings in which they differ from it, section.name=value

    @property
    def name(self):
        given = f' ({", ".join(self.changed)})' if self.changed else ''
        return self.path.as_posix() + given

    @property
    def is_baseline(self):
        """Whether they are of the plain CNN, by their YAML file or by their own name."""
        return BASELINE in (Path(self.file).stem, self.path.name)


class Names:

    """Names runs by their paths in the folders of their collections.

    ``seed<k>`` is no part of a name, so that runs that differ in their seeds share theirs. Settings
    in which a run differs from its YAML file are part of it, in parentheses.

    Args:
        folder (pathlib.Path): Folder of the report's runs.

    """

    def __init__(self, folder):
        self._folder = folder
        self._first = {}        # (folder, path): YAML and settings of the first run of this path

    def of(self, run, config, origins):
        """Folder of the collection, and the runs that share the name of a run.

        Args:
            run (finetune.runs.folder.RunFolder): The run.
            config (finetune.config.settings.Config): Its settings.
            origins (finetune.runs.origin.Origins): Finds its YAML file. If it is unknown, or there
                are several for a path, the first run of the path takes its place.

        Returns:
            tuple: A text and :class:`OwnRuns`.

        """
        collection = self._collection(run, config)
        path = Path(os.path.relpath(run.path, collection))
        if path.name == f'seed{config.training.seed}' and path.parent != Path():
            path = path.parent
        elif path == Path():
            path = Path(run.path.name)
        file, changed = origins.file(run, config), origins.changed(run, config)
        first_file, first = self._first.setdefault((collection, path), (file, config))
        if changed is None or file != first_file:
            changed = changes(config, first)
        return str(collection), OwnRuns(path, file, changed)

    def _collection(self, run, config):
        """The folder of results of the pictures if the run is in it, else the report's."""
        there = config.project.results
        is_inside = Path(os.path.abspath(there)) in Path(os.path.abspath(run.path)).parents
        is_above = Path(os.path.abspath(there)) in Path(os.path.abspath(self._folder)).parents
        return there if is_inside and not is_above and there.name != NEEDS else self._folder
