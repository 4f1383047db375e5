"""Plans a suite: which runs are left, and in which order."""
import os
from pathlib import Path
import sys
from typing import NamedTuple

from finetune.config.config import fingerprint, IMAGES_AND_PARTS, read_config
from finetune.config.project import HERE
from finetune.config.schema import fill_override
from finetune.config.settings import Config
from finetune.data import readers
from finetune.data.fingerprint import Fingerprint
from finetune.errors import InputError
from finetune.experiments import prerequisites
from finetune.runs.folder import REPORTED, RunFolder
from finetune.runs.folds import folder_of


class Job(NamedTuple):
    """One experiment with one seed."""

    config: str         # path
    overrides: tuple    # of the config
    folder: RunFolder
    n_epochs: int       # 0 for the conventional pipeline
    needs: tuple        # folders, as text, of unfinished prerequisites

    @property
    def name(self):
        """Path of its folder below the folder of results, without the seed."""
        return os.path.relpath(self.folder.path.parent, self.folder.project.all_results)

    @property
    def command(self):
        """Command line of the run."""
        project = self.folder.project
        settings = [word for override in self.overrides for word in ('--set', override)]
        output = ['--output', str(self.folder)] if project.is_chosen else []
        return [sys.executable, '-m', 'finetune', 'train', self.config,
                *project.option, *output, *settings]

    def __str__(self):
        return f'{self.name} {self.folder.path.name.replace("seed", "seed ")}'


def plan_jobs(experiments, seeds, project=HERE):
    """Plans the runs of :func:`finetune.experiments.suite.run_all`.

    Returns:
        tuple of lists of Job: Unfinished runs and their prerequisites, each run after its own
        prerequisites; and requested runs that are finished.

    """
    asked = {}
    for seed in seeds:
        for path, overrides in experiments:
            _check_seed(overrides, seed)
            overrides = *overrides, f'training.seed={seed}'
            config = read_config(path, overrides, project)
            prerequisites.check_circle(path, config)
            asked[str(folder_of(path, config))] = path, overrides, config
    jobs, done, read = {}, [], {}
    for path, overrides, config in asked.values():
        folder = folder_of(path, config)
        # Results of other settings or data are not skipped: the run itself reports the error.
        if (folder.state == REPORTED and not folder.differences(config)
                and not _has_other_data(folder, config, read)):
            done.append(_job(path, overrides, config, ()))
        else:
            _add(path, overrides, config, asked, jobs)
    return list(jobs.values()), done


def _has_other_data(folder, config, read):
    """Whether the data of a finished run have changed, or cannot be compared.

    ``read`` keeps what was read before.
    """
    key = fingerprint(config, names=IMAGES_AND_PARTS)
    try:
        if key not in read:
            data_set = prerequisites.data_of(config)
            read[key] = None if data_set is None else Fingerprint.of(data_set)
        return read[key] is not None and bool(folder.changes(read[key]))
    except InputError:      # which the run itself reports
        return True


def _add(path, overrides, config, asked, jobs):
    """Adds a run to ``jobs`` after its prerequisites, which keep the overrides of ``asked``."""
    readers.require(config)     # or every run would say that its data are missing
    needs = []
    for required in prerequisites.of(config):
        name = str(required.folder)
        if required.folder.state != REPORTED:
            needs.append(name)
            if name not in jobs:
                _add(*asked.get(name, (required.path, required.overrides, required.config)),
                     asked, jobs)
    job = _job(path, overrides, config, tuple(needs))
    jobs[str(job.folder)] = job


def _job(path, overrides, config, needs):
    return Job(path, tuple(overrides), folder_of(path, config),
               config.training.epochs if config.training.is_joint else 0, needs)


def _check_seed(overrides, seed):
    """Raises an error if an override sets a seed other than the run's."""
    for override in overrides:
        config = Config()
        if ('training.seed' in fill_override(config, override)
                and config.training.seed != seed):
            raise InputError(f'--set {override}: --seeds or --seed sets the seeds of the runs; '
                             'remove this override.')


def expand(configs, project=HERE):
    """Expands folders into the paths of all their configs except those of pre-training."""
    paths = []
    for config in configs:
        found = project.find(config)
        if not found.is_dir():
            paths.append(config)
            continue
        in_folder = [str(Path(config, path.name)) for path in sorted(found.glob('*.yml'))]
        if not in_folder:
            raise InputError(f'{config}: this folder contains neither configs nor photographs; '
                             'give another folder, of configs, or with one folder of pictures per '
                             'class.')
        paths += [path for path in in_folder
                  if read_config(path, project=project).data.split != 'pretraining']
    return list(dict.fromkeys(paths))
