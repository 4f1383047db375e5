"""The YAML file that a run is of, and the settings in which the run differs from it."""
import os
from pathlib import Path

from finetune.config.config import differences, get, read_config
from finetune.config.project import HERE, OWN, Project
from finetune.config.schema import override_of
from finetune.config.settings import Config, NO_EFFECT_ON_RESULTS
from finetune.errors import InputError
from finetune.runs.folder import RunFolder

OF_A_RUN = *NO_EFFECT_ON_RESULTS, 'training.seed'     # settings in which runs may differ
OF_A_COLLECTION = 'data.dataset', 'data.root'


class Origins:

    """Finds the files of runs; reads each file once.

    Args:
        project (finetune.config.project.Project): What paths of files are relative to.

    """

    def __init__(self, project: Project = HERE):
        self._project = project
        self._configs: dict[str, Config | None] = {}

    def file(self, run: RunFolder, config: Config) -> str:
        """Path of the file of a run; empty: it is unknown.

        A run of an earlier version does not name it: its folder does, if it is the default one.
        """
        name = Path(os.path.abspath(run.path)).parent
        path = Path('configs', name.parent.name, f'{name.name}.yml')
        return config.file or (str(path) if self._project.find(path).exists() else '')

    def changed(self, run: RunFolder, config: Config) -> list[str] | None:
        """Settings in which a run differs from its file; ``None``: the file cannot be read."""
        file = self.file(run, config)
        if file not in self._configs:
            try:
                self._configs[file] = read_config(file, project=self._project) if file else None
            except InputError:      # it is gone, or is being edited
                self._configs[file] = None
        expected = self._configs[file]
        return None if expected is None else changes(config, expected)


def changes(config: Config, expected: Config) -> list[str]:
    """Settings in which a run differs, as overrides, but not its seed and its own pictures."""
    ignored = OF_A_COLLECTION if config.data.dataset == OWN else ()
    return [override_of(name, get(config, name))
            for name in differences(config, expected, (*OF_A_RUN, *ignored))]
