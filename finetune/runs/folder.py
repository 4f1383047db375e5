"""The folder of a run: its path, its state, and reading and writing its files."""
from __future__ import annotations

from collections.abc import Collection, Iterator
import contextlib
import os
from pathlib import Path
import shutil

import chainer
from chainer import serializers
import numpy
import yaml

from finetune import files
from finetune.config.config import differences, dump, get, PATHS, restore_config
from finetune.config.project import HERE, NEEDS, Project
from finetune.config.settings import Config, NO_EFFECT_ON_RESULTS
from finetune.data.fingerprint import changes_of_classes, Fingerprint
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.files import atomic, locked, write_text
from finetune.runs import saved_files, snapshot
from finetune.runs.predictions import Predictions, read_predictions, write_predictions
from finetune.runs.thumbnails import Examples


NEW, BEGUN, FINISHED, REPORTED = 'new', 'begun', 'finished', 'reported'


def arrays_of(link: chainer.Link) -> dict[str, numpy.ndarray]:
    """Arrays of a link by name, as they are saved."""
    target = serializers.DictionarySerializer()
    target.save(link)
    return target.target


class RunFolder:

    """The folder of one run, by default ``results/<path below configs/>/seed<k>``.

    .. csv-table::
        :header: file, content

        ``config.yml``, "merged settings that have an effect, and the YAML they are of"
        ``environment.yml``, "versions of Python and packages, and the project's folder"
        ``log``, "JSON, one entry per epoch; joint learning only"
        ``snapshot_iter_<n>``, "the newest state to resume from"
        ``model.npz``, final weights
        ``best.npz``, weights with the highest test accuracy (``training.keep_best``, ``patience``)
        ``tensorboard/``, the log for TensorBoard (``training.tensorboard``)
        ``detector/``, "the part detector, if this program found the parts"
        ``images.csv``, "the images that the run was trained and tested on: their split, class, and
        identities of their contents and parts"
        ``names.yml``, names of classes and parts; joint learning only
        ``examples.npz``, "thumbnails of training images of each class; joint learning only"
        ``predictions.csv``, predicted classes of all test images
        ``evaluation.yml``, accuracies by stream and other numbers
        ``model_card.md``, "data, accuracy and use of the model, to read; joint learning only"
        ``*.png``, plots and pictures
        ``needs/``, "runs that it needs, and what they share, of a folder outside of ``results/``"

    The folder need not exist. Paths in its settings are relative to ``project``.
    """

    LOG = 'log'

    def __init__(self, path: str | Path, project: Project = HERE):
        self.path = Path(path)
        self.project = project
        self.model = self.path / 'model.npz'
        self.best = self.path / 'best.npz'
        self.detector = self.path / 'detector'
        self.lock = self.path / '.lock'
        self.images = self.path / 'images.csv'
        self._names = self.path / 'names.yml'
        self._examples = self.path / 'examples.npz'
        self._settings = self.path / 'config.yml'
        self._environment = self.path / saved_files.ENVIRONMENT
        self.evaluation = self.path / 'evaluation.yml'
        self._predictions = self.path / 'predictions.csv'

    @classmethod
    def of(cls, config_path: str | Path, seed: int, project: Project = HERE) -> RunFolder:
        """Folder of an experiment with a seed; ``project`` is that of its config."""
        path, configs = project.path(config_path).resolve(), project.path('configs').resolve()
        name = path.relative_to(configs) if configs in path.parents else Path(path.name)
        return cls(project.results / name.with_suffix('') / f'seed{seed}', project)

    @classmethod
    def all_of(cls, experiment: Path, project: Project = HERE) -> list[RunFolder]:
        """Folders of an experiment's runs in the order of their seeds."""
        paths = [path for path in experiment.glob('seed*') if path.name[4:].isdecimal()]
        folders = [cls(path, project) for path in sorted(paths, key=lambda p: int(p.name[4:]))]
        return [folder for folder in folders if folder.is_run]

    @classmethod
    def all_below(cls, folder: str | Path, project: Project = HERE) -> list[RunFolder]:
        """Folders of all runs below a folder, with any names."""
        return [cls(path.parent, project)
                for path in sorted(Path(folder).rglob(saved_files.ENVIRONMENT))]

    def __str__(self) -> str:
        return str(self.path)

    @property
    def printed(self) -> Path:
        """Path of the printed output if the run belongs to a suite."""
        return self.path.with_suffix('.txt')

    @property
    def again(self) -> str:
        """What to do about damaged results, for messages."""
        option = self.project.option
        path = os.path.relpath(self.path, self.project.root) if option else str(self.path)
        return f'evaluate it again by {" ".join(["python -m finetune evaluate", path, *option])}'

    def picture(self, name: str) -> Path:
        """Path of a plot or picture."""
        return self.path / f'{name}.png'

    def features(self, *settings: str) -> Path:
        """Folder of local features of the run's CNN, computed with some settings."""
        return self.path / '_'.join(['features', *settings])

    @property
    def state(self) -> str:
        """``'new'``: nothing to resume from; ``'begun'``: a snapshot exists; ``'finished'``: final
        weights exist; ``'reported'``: final weights and results exist."""
        if not self.model.exists():
            return BEGUN if snapshot.paths(self.path) else NEW
        is_reported = self.evaluation.exists() and self._predictions.exists()
        return REPORTED if is_reported else FINISHED

    @property
    def is_finished(self) -> bool:
        """Whether final weights exist."""
        return self.model.exists()

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a run."""
        return self._settings.exists()

    def differences(self, config: Config) -> list[str]:
        """Names of settings that differ from the run's and have an effect on results.

        A data set may have moved: its images are compared. Paths may be relative to another project
        than that of the run: they are compared as absolute ones.
        """
        moved, before = ['data.root'] if self.images.exists() else [], self.read_config()
        names = differences(before, config, [*NO_EFFECT_ON_RESULTS, *moved])
        if not set(names) & set(PATHS):
            return names
        there = saved_files.read_project(self._environment) or self.project
        return [name for name in names if name not in PATHS
                or there.resolve(get(before, name)) != config.project.resolve(get(config, name))]

    def check(self, config: Config, ignored: Collection[str] = ()) -> None:
        """Raises an error if the folder holds a run with other settings, or something else.

        A run without a snapshot may be restarted with other settings; those in ``ignored`` may
        always differ.
        """
        if not self.path.exists() or all(path.name.startswith('.') or path.name in (
                self.detector.name, NEEDS) for path in self.path.iterdir()):
            return
        if not self.is_run:
            raise InputError(f'{self}: holds something other than a run of this program; give '
                             'another folder with --output.')
        if self.state == NEW:
            return
        changed = [name for name in self.differences(config) if name not in ignored]
        if changed:
            raise InputError(f'{self}: the run has a different {", ".join(changed)}; move it away, '
                             'give another --output, or use the same settings to resume.')

    def changes(self, now: Fingerprint) -> str:
        """Says what has changed in the run's data set; empty: nothing, or the run is new.

        Of a run that kept no list of images, only the names of the classes are compared.
        """
        if self.state != NEW and self.images.exists():
            return Fingerprint.read(self.images).changes(now)
        if self.is_finished and self._names.exists():
            return changes_of_classes(self.read_names().class_names, now.class_names)
        return ''

    def check_data(self, data_set: DataSet, config: Config | None = None) -> None:
        """Raises an error if the run was trained or tested on other images, classes or parts."""
        changes = '' if self.state == NEW else self.changes(Fingerprint.of(data_set))
        if not changes:
            return
        root, now = self.read_config().data.root, config and config.data.root
        how, to_do = 'the data set has changed since this run was trained', 'restore it, or '
        if root and now and root != now:
            how, to_do = f'the run is one on {root}, and {now} has other images', ''
        raise InputError(
            f'{self}: {how}: {changes}; {to_do}train with another --output; to evaluate the run on '
            f'other data, python -m finetune evaluate {self} --set data.root=DIR --output NEW.')

    def n_trained_on(self, data_set: DataSet) -> int | None:
        """Number of test images that are training images of the run; ``None``: unknown."""
        if not self.images.exists():
            return None
        return Fingerprint.read(self.images).n_trained_on(Fingerprint.of(data_set))

    @contextlib.contextmanager
    def opened(self, config: Config, data_set: DataSet, ignored: Collection[str] = ()
               ) -> Iterator[None]:
        """Creates and locks the folder, so that other processes wait, and checks it again."""
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.lock, lambda: print(
                f'{self}: waiting for another process that uses this folder', flush=True)):
            self.check(config, ignored)
            self.check_data(data_set, config)
            for left_over in self.path.glob('tmpsnapshot_*'):       # of a run that was killed
                shutil.rmtree(left_over)
            yield
            config.project.mark()

    def require_finished(self) -> None:
        """Raises an error unless the folder holds a finished run."""
        if not self.is_run:
            what = 'is no run of this program' if self.path.exists() else 'there is no such folder'
            raise InputError(f'{self}: {what}; train first, or give results/<config>/seed<k>'
                             f'{self.project.named}.')
        if not self.is_finished:
            raise InputError(f'{self}: the run is not finished; repeat its train command to '
                             'resume it.')

    def read_config(self) -> Config:
        """Reads the settings of the run."""
        config = restore_config(self._settings, self.project)
        config.project = self.project.of_run(self.path, config.data)
        return config

    def write_settings(self, config: Config, data_set: DataSet) -> None:
        """Saves the merged settings, the list of images, the versions of packages, and what paths
        in the settings are relative to."""
        write_text(self._settings, dump(config))
        Fingerprint.of(data_set).write(self.images)
        saved_files.write_environment(self._environment, config.project)

    def load_newest_snapshot(self, trainer: chainer.training.Trainer) -> None:
        """Loads the newest snapshot, if one exists, into the trainer."""
        snapshots = snapshot.paths(self.path)
        if snapshots:
            snapshot.load(snapshots[max(snapshots)], trainer)

    def drop_snapshots(self) -> None:
        """Removes the snapshots of a finished run that nobody trains longer."""
        for path in snapshot.paths(self.path).values():
            path.unlink()

    def read_log(self) -> list[dict]:
        """Reads the log, one entry per epoch; the conventional pipeline has none."""
        return saved_files.read_log(self.path / self.LOG)

    def save_model(self, model: chainer.Link | dict, path: Path | None = None) -> None:
        """Saves the weights of a link, or arrays by name, by default as the final weights."""
        files.write_arrays(path or self.model,
                       arrays_of(model) if isinstance(model, chainer.Link) else model)

    def write_names(self, data_set: DataSet, examples: Examples) -> None:
        """Saves the names and thumbnails that predictions need."""
        files.write_arrays(self._examples, examples._asdict())
        names = {'classes': data_set.class_names, 'parts': data_set.part_names}
        # PyYAML loses line ends such as U+2028 unless it escapes them.
        is_printable = all(map(str.isprintable, data_set.class_names + data_set.part_names))
        write_text(self._names, yaml.safe_dump(names, sort_keys=False, allow_unicode=is_printable))

    def read_names(self) -> DataSet:
        """Reads the names of classes and parts into a data set without images."""
        return DataSet(*saved_files.read_names(self._names))

    def read_examples(self) -> Examples | None:
        """Reads the thumbnails of the classes; ``None``: none were saved."""
        if not self._examples.exists():
            return None
        arrays = files.read_arrays(self._examples, 'file of examples', saved_files.COPY_AGAIN)
        if arrays.keys() != set(Examples._fields):
            raise InputError(f'{self._examples}: is not a file of examples; '
                             f'{saved_files.COPY_AGAIN}.')
        return Examples(**arrays)

    def write_results(self, evaluation: dict, predictions: Predictions, data_set: DataSet) -> None:
        """Saves the evaluation and the predicted classes of the test images."""
        evaluation = {**evaluation, 'data': Fingerprint.of(data_set).digests}
        with atomic(self._predictions) as path:     # both or neither
            write_predictions(path, predictions, data_set.test.titles, data_set.class_names)
            write_text(self.evaluation, yaml.safe_dump(evaluation))

    def read_evaluation(self) -> dict:
        """Reads accuracies by stream and other numbers of the evaluation."""
        return saved_files.read_evaluation(self.evaluation, self.again)

    def read_predictions(self) -> dict[str, numpy.ndarray]:
        """Reads the columns of the table of predictions."""
        return read_predictions(self._predictions, self.again)
