"""Finished runs below ``results/``."""
import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import yaml

from finetune import config as configuration
from finetune.errors import InputError
from finetune.training import results


class Run(NamedTuple):
    """One finished run."""

    seed: int
    config: Any             # finetune.config.Config
    evaluation: dict        # evaluation.yml
    predictions: dict       # columns of predictions.csv: names of classes (n,), and n_visible
    log: list               # entries of every epoch; empty for the conventional pipeline


class Runs:

    """All finished runs of the experiments in ``configs/``.

    Args:
        folder (str or pathlib.Path): Folder of results.
        configs (str or pathlib.Path): Folder of configs.

    Attributes:
        experiments (dict): (data set, name): path of its config.
        runs (dict): (data set, name): list of its runs, by seed.
        left_out (list of str): What was found but cannot be used, and why.

    """

    def __init__(self, folder='results', configs='configs'):
        self.experiments = {(path.parent.name, path.stem): path
                            for path in sorted(Path(configs).glob('*/*.yml'))}
        self.runs, self.left_out = {}, []
        if not Path(folder).is_dir():
            raise InputError(f'{folder}: there is no such folder of results; run ./train.sh first.')
        for key, path in self.experiments.items():
            expected = configuration.load(path)
            if expected.data.split == 'pretraining':
                continue
            found = sorted((Path(folder) / key[0] / key[1]).glob('seed*/config.yml'),
                           key=lambda path: (len(path.parent.name), path))
            found = [self._read(settings.parent, expected) for settings in found]
            if any(found):
                self.runs[key] = [run for run in found if run]
        if not self.runs:
            raise InputError(f'{folder}: holds no finished run of an experiment in {configs}/; run '
                             './train.sh first.')

    def _read(self, out, expected):
        """The run in a folder, ``None`` if there is no finished one with the config's settings."""
        config = configuration.load(out / 'config.yml')
        changed = configuration.differences(
            config, expected, (*results.WITHOUT_EFFECT, 'training.seed'))
        if changed:
            self.left_out.append(f'{out}: has another {", ".join(changed)} than its config')
        elif not results.is_reported(out):
            self.left_out.append(f'{out}: is not finished')
        else:
            evaluation = yaml.safe_load((out / 'evaluation.yml').read_text())
            log = json.loads((out / 'log').read_text()) if (out / 'log').exists() else []
            return Run(config.training.seed, config, evaluation,
                       _read_predictions(out / 'predictions.csv'), log)

    @property
    def data_sets(self):
        """Data sets with a finished run."""
        return list(dict.fromkeys(dataset for dataset, _ in self.runs))

    def of(self, dataset, name):
        """Runs of an experiment, maybe none."""
        return self.runs.get((dataset, name), [])

    def accuracy(self, dataset, name, stream='accuracy'):
        """Accuracies of an experiment in per cent, by seed; of both streams, or of one of
        ``accuracy_global`` and ``accuracy_parts``."""
        return {run.seed: 100 * run.evaluation[stream] for run in self.of(dataset, name)
                if stream in run.evaluation}

    def seconds_per_epoch(self, dataset, name):
        """Median time of an epoch, ``None`` if there is no log."""
        times = [numpy.diff([0] + [entry['elapsed_time'] for entry in run.log])
                 for run in self.of(dataset, name) if run.log]
        return float(numpy.median(numpy.concatenate(times))) if times else None


def _read_predictions(path):
    with open(path, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    columns = {name: numpy.array([row[name] for row in rows]) for name in rows[0]}
    return {**columns, 'n_visible': columns['n_visible'].astype(int)}


def spread(values, digits=1):
    """Mean and standard deviation (n - 1) as text, with the number of values."""
    values = list(values)
    if not values:
        return ''
    mean = f'{numpy.mean(values):.{digits}f}'
    if len(values) == 1:
        return f'{mean} (1)'
    return f'{mean} ± {numpy.std(values, ddof=1):.{digits}f} ({len(values)})'
