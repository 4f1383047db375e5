"""Results of the finished runs below ``results/``."""
import collections
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from finetune.config.config import (
    differences, fingerprint, IMAGES, IMAGES_AND_PARTS, read_config)
from finetune.config.project import HERE, OWN, TRAIN
from finetune.config.schema import read_yaml
from finetune.config.streams import BESIDE, COMPARED
from finetune.errors import InputError
from finetune.report import own_runs, published
from finetune.runs import chosen
from finetune.runs.folder import REPORTED, RunFolder
from finetune.runs.origin import OF_A_RUN, Origins


ROUNDING = 1e-6         # of an accuracy
# Data of an evaluation, as messages name them.
NOUNS = {'train': 'training images', 'test': 'test images', 'parts': 'parts'}


class Result(NamedTuple):
    """Results of a finished run."""

    folder: RunFolder
    seed: int
    config: Any             # finetune.config.settings.Config
    evaluation: dict        # contents of evaluation.yml
    predictions: dict       # columns of predictions.csv as arrays (n,)
    log: list               # an entry per epoch; empty for the conventional pipeline

    def check(self, folder):
        """Raises an error if the accuracies of predictions and evaluation differ."""
        for stream, accuracy in self.evaluation['accuracy'].items():
            predicted = self.predictions.get(stream, [])
            share = numpy.mean(predicted == self.predictions['label']) if len(predicted) else 0
            if abs(share - accuracy) > ROUNDING:
                raise InputError(f'{folder}: predictions and evaluation do not agree; '
                                 f'{folder.again}')


class Results:

    """Results of all finished runs of the experiments in ``configs/``, and on own pictures.

    Args:
        folder (str or pathlib.Path): Folder of results.
        configs (str or pathlib.Path): Folder of configs.
        project (finetune.config.project.Project): What both are relative to.

    Attributes:
        experiments (dict): (folder, name): path of the config, for folders named after data sets
            of the paper's tables.
        by_experiment (dict): (folder, name): list of results, ordered by seed.
        others (dict): The same for experiments in other folders.
        bases (dict): (folder, name): (folder, name) of the ``base`` of the config.
        collections (dict): (folder, name): the same for all runs on pictures of one's own, named
            by their paths in the folder of their collection; see :class:`own_runs.Names`.
        own (dict): (folder, name): the :class:`own_runs.OwnRuns` of these.
        left_out (list of str): Runs that are skipped, and why.

    """

    def __init__(self, folder='results', configs='configs', project=HERE):
        known = {dataset for table in published.read().tables for dataset in table.data_sets}
        paths = {(path.parent.name, path.stem): Path(configs, path.parent.name, path.name)
                 for path in sorted(project.find(configs).glob('*/*.yml'))}
        self.project, folder = project, project.path(folder)
        self.experiments = {key: path for key, path in paths.items() if key[0] in known}
        self.by_experiment, self.others, self.collections = {}, {}, {}
        self.bases, self.own, self.left_out = {}, {}, []
        if not folder.is_dir():
            raise InputError(f'{folder}: there is no such folder of results{project.named}; run '
                             f'{TRAIN} first.')
        for there in folder, *filter(Path.is_dir, sorted(folder.iterdir())):
            for key, path in paths.items():
                runs = RunFolder.all_of(there.joinpath(*key), project)
                if runs:
                    self._add(key, path, runs, there == folder)
        self._add_own(folder)
        for columns, names in ((('train', 'test'), IMAGES), (('parts',), IMAGES_AND_PARTS)):
            self._leave_out_other_data(columns, names)
        if not any(self._places):
            left_out = ''.join(f' (skipped: {reason})' for reason in self.left_out)
            raise InputError(f'{folder}: holds no finished run of an experiment in {configs}/'
                             f'{left_out}; run {TRAIN} first.')

    @property
    def _places(self):
        return self.by_experiment, self.others, self.collections

    def _leave_out_other_data(self, columns, names):
        """Leaves out runs whose data differ from those of most runs with the same settings."""
        groups = collections.defaultdict(list)
        for place in self._places:
            for result in itertools.chain(*place.values()):
                if 'data' in result.evaluation:
                    data = tuple(result.evaluation['data'][column] for column in columns)
                    groups[fingerprint(result.config, names=names)].append((data, result))
        others = set()
        for pairs in groups.values():
            usual, n = collections.Counter(data for data, _ in pairs).most_common(1)[0]
            for data, result in pairs:
                if data != usual:
                    others.add(result.folder)
                    what = ' or '.join(NOUNS[column] for column in columns)
                    self.left_out.append(f'{result.folder}: has other {what} than {n} '
                                         f'run{"s" * (n > 1)} with the same settings; move it away '
                                         'and train it again')
        for place in self._places:
            for key, results in list(place.items()):
                place[key] = [result for result in results if result.folder not in others]
                if not place[key]:
                    del place[key]

    def _add(self, key, path, runs, is_shared):
        """Adds the finished runs of a config, except those of a pre-training.

        Args:
            key (tuple of str): (folder, name) of the config.
            path (pathlib.Path): The config.
            runs (list of RunFolder): Folders of its runs.
            is_shared (bool): Whether they are in the folder of results of all data sets.

        """
        expected = read_config(path, project=self.project)
        if expected.data.split == 'pretraining':
            return
        base = read_yaml(self.project.find(path)).get('base')
        for folder in runs:
            try:
                config = folder.read_config()
                if is_shared and config.data.dataset != OWN:
                    if base:
                        self.bases[key] = Path(base).parent.name, Path(base).stem
                    place = self.by_experiment if key in self.experiments else self.others
                    self._add_known(key, folder, config, expected, place)
            except InputError as error:
                self.left_out.append(str(error))

    def _add_known(self, key, folder, config, expected, place):
        """Adds a run, unless it is unfinished or belongs to another config."""
        changed = differences(config, expected, OF_A_RUN)
        if changed:
            self.left_out.append(f'{folder}: differs from its config in {", ".join(changed)}')
        else:
            self._add_finished(place, key, folder, config)

    def _add_own(self, folder):
        """Adds the runs on pictures of one's own, with any names, that have seen test images."""
        origins, names = Origins(self.project), own_runs.Names(folder)
        for run in RunFolder.all_below(folder, self.project):
            try:
                config = run.read_config()
                if config.data.dataset == OWN and (
                        config.data.split != 'validation' or chosen.tested(run) is not run):
                    collection, own = names.of(run, config, origins)
                    self._add_finished(self.collections, (collection, own.name), run, config)
                    self.own[collection, own.name] = own
            except InputError as error:
                self.left_out.append(str(error))
        for results in self.collections.values():
            results.sort(key=lambda result: result.seed)
        self.left_out = list(dict.fromkeys(self.left_out))

    def _add_finished(self, place, key, folder, config):
        if folder.state != REPORTED:
            self.left_out.append(f'{folder}: is not finished')
            return
        tested = chosen.tested(folder)
        result = Result(folder, config.training.seed, config, tested.read_evaluation(),
                        tested.read_predictions(), folder.read_log())
        result.check(tested)
        place.setdefault(key, []).append(result)

    @property
    def data_sets(self):
        """Names of the data sets with a finished run."""
        return list(dict.fromkeys(dataset for dataset, _ in self.by_experiment))

    def of(self, dataset, name):
        """List of the results of an experiment; empty if it has none."""
        key = dataset, name
        return next((place[key] for place in self._places if key in place), [])

    def accuracy(self, dataset, name, stream=None):
        """Accuracies of an experiment in per cent, by seed; ``None``: of the headline stream."""
        accuracies = {result.seed: result.evaluation['accuracy'].get(
            stream or result.config.headline) for result in self.of(dataset, name)}
        return {seed: 100 * accuracy for seed, accuracy in accuracies.items()
                if accuracy is not None}

    def summary(self, dataset, name, stream=None):
        """Mean and standard deviation of :meth:`accuracy` as text; empty without results."""
        return mean_and_deviation(self.accuracy(dataset, name, stream).values())

    def streams(self, dataset, names):
        """Streams of a line of Fig. 3 with their labels; the headline stream has the label ''."""
        headline = next((result.config.headline for name in names
                         for result in self.of(dataset, name)), 'both')
        return {stream: '' if stream == headline else BESIDE[stream] for stream in COMPARED}

    def n_seeds(self):
        """By data set, the largest number of runs of an experiment."""
        return {dataset: max(len(results) for key, results in self.by_experiment.items()
                             if key[0] == dataset) for dataset in self.data_sets}

    def seconds_per_epoch(self, dataset, name):
        """Median time of an epoch; ``None`` without a log."""
        times = [numpy.diff([0] + [entry['elapsed_time'] for entry in result.log])
                 for result in self.of(dataset, name) if result.log]
        return float(numpy.median(numpy.concatenate(times))) if times else None


def mean_and_deviation(values, digits=1):
    """Mean, standard deviation (n - 1) and number of values as text."""
    values = list(values)
    if not values:
        return ''
    mean = f'{numpy.mean(values):.{digits}f}'
    if len(values) == 1:
        return f'{mean} (1)'
    return f'{mean} ± {numpy.std(values, ddof=1):.{digits}f} ({len(values)})'
