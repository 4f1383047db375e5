"""Compares classifiers of one's own photographs with a plain CNN, and fine-tunes the best one."""
from collections.abc import Iterable, Iterator
import contextlib
import io
import math
import os
from pathlib import Path
import shlex

import numpy

from finetune.config.config import active_names, read_config
from finetune.config.project import Project
from finetune.config.schema import fill_override
from finetune.config.settings import Config
from finetune.data import readable, readers
from finetune.data.fingerprint import Fingerprint
from finetune.data.splits import N_FOLDS
from finetune.errors import InputError
from finetune.experiments import card, choice, estimate, experiment, prerequisites
from finetune.experiments.choice import accuracy, difference
from finetune.files import write_text
from finetune.names import shown
from finetune.progress import say
from finetune.runs import chosen
from finetune.runs.folder import REPORTED, RunFolder
from finetune.runs.opening import open_device
from finetune.weights import packaged

# Configs in configs/photos/, and what they are; the first one is the baseline.
CANDIDATES = {
    'no_parts': 'plain CNN',
    'global_fve': 'FVE of the whole image',
    'grid_fve': 'FVE of four tiles',
    'cs_parts_gap': 'GAP of found parts',
    'cs_parts_fve': 'FVE of found parts',
}
BASELINE = next(iter(CANDIDATES))
MOST = 'cs_parts_fve'   # needs all that the others need
WITH_PARTS = 'grid_fve', 'cs_parts_gap'     # which have other crops
MEASURED = BASELINE, 'global_fve', *WITH_PARTS
MANY_IMAGES = 2000      # of which one fifth, held out once, is enough
N_EPOCHS, N_UPDATES = 12, 360       # of the training of a head, at least
FOLDS_OF_ALL = 2        # after which candidates that are not above the baseline drop out
FOLDS_TUNED = 2         # that decide whether the fine-tuning is kept
N_ON_ALL = 2        # trainings of classifiers on all training images: the plain CNN, the chosen one
PATIENCE = 2            # epochs without a gain after which fine-tuning stops


def run(photographs: str, overrides: Iterable[str], project: Project) -> Path:
    """Trains a plain CNN and the other candidates, chooses one, and evaluates it.

    Every candidate is trained on frozen CNNs several times, each time without another fifth of the
    training images, which it then classifies. The choice depends on these images only
    (:func:`finetune.experiments.choice.choose`). Then the CNNs of the chosen candidate learn, too,
    without each of two folds; this is kept if more of their images are classified correctly. An
    interrupted comparison is resumed.

    Args:
        photographs (str): Folder or table of the photographs (``data.root``).
        overrides (iterable of str): ``section.name=value``, settings of all candidates.
        project (finetune.config.project.Project): Project of the results.

    Returns:
        pathlib.Path: Folder of the results, relative to the working directory, which names the
        chosen run.

    """
    comparison = Comparison([f'data.root={photographs}', *overrides], project)
    comparison.hold_out_all()
    name = choice.choose(comparison.correct, BASELINE)
    answer = [*choice.table(comparison.correct, CANDIDATES),
              choice.reason(name, comparison.correct, CANDIDATES)]
    print(*answer, sep='\n', flush=True)
    comparison.finish(name, answer)
    results = comparison.results
    print(f'Classify pictures: python -m finetune predict {shlex.quote(str(results))} PICTURES',
          flush=True)
    return results


def heads(photographs: str, overrides: Iterable[str], project: Project
          ) -> Iterator[tuple[str, list[str]]]:
    """Yields config and overrides of each candidate as it is trained on frozen CNNs; see
    :func:`run`."""
    overrides = [f'data.root={photographs}', *overrides]
    config = read_config(
        path_of(BASELINE), of_candidate(BASELINE, overrides, project), project)
    of_heads = _of_heads(len(readers.load(config).train), config)
    for name in CANDIDATES:
        yield path_of(name), [*of_candidate(name, overrides, project), *of_heads]


def _of_heads(n_images, config):
    """Overrides for enough updates on few images, of which one fold is held out."""
    n_steps = math.ceil(n_images * (N_FOLDS - 1) / N_FOLDS / config.training.update_size)
    n_epochs = max(N_EPOCHS, math.ceil(N_UPDATES / n_steps))
    return [f'training.epochs={n_epochs}', f'training.evaluate_every={n_epochs}']


class Comparison:

    """The runs of a comparison."""

    def __init__(self, overrides, project):
        self.overrides, self.project = overrides, project
        config, _ = self._read(BASELINE)
        self.results = config.project.results
        packaged.path_of(config.model.pretrained, project)      # before anything takes time
        data_set = readers.load(config)
        print(*map(shown, readers.describe(config, data_set)), sep='\n', flush=True)
        if not (self.results / chosen.FILE).exists():
            readable.require(config, data_set)
        self._require_same(data_set, config)
        n = len(data_set.train)
        self.of_heads = _of_heads(n, config)
        self.folds = range(N_FOLDS if n <= MANY_IMAGES else 1)
        self.n_begun = 0
        self.n_most = (len(CANDIDATES) * len(self.folds) + N_ON_ALL
                       + len(self.folds[:FOLDS_TUNED]))
        estimate.print_stages(self._stages(data_set, config))
        self.correct = {}       # which held-out images a candidate classifies correctly, (n,) bool

    def _read(self, name, overrides=()):
        """A candidate's config and its overrides."""
        overrides = [*of_candidate(name, self.overrides, self.project), *overrides]
        return read_config(path_of(name), overrides, self.project), overrides

    def _require_same(self, data_set, config):
        """Raises an error if the results are those of other images."""
        path, now = self.results / chosen.IMAGES, Fingerprint.of(data_set)
        if not path.exists():
            self.results.mkdir(parents=True, exist_ok=True)
            now.write(path)
        changes = Fingerprint.read(path).changes(now)
        if changes:
            raise InputError(f'{self.results}: holds results on other images than '
                             f'{config.data.root} has now: {changes}; give another --output, or '
                             'move the results away.')

    def _stages(self, data_set, config):
        """What remains to be done, and about how long it takes here."""
        if (self.results / chosen.FILE).exists():
            return []
        device = open_device(config.training.gpu)
        finding, maps, heads = {}, {}, {}
        for name in MEASURED:
            of_name, _ = self._read(name, self.of_heads)
            *before, conv_maps, training, _ = estimate.seconds(of_name, data_set, device)
            finding[name] = sum(stage.seconds for stage in before)
            maps[name], heads[name] = conv_maps.seconds, training.seconds
        of_tuned, _ = self._read(tuned(BASELINE))
        learning = estimate.seconds(of_tuned, data_set, device)
        n, whole = len(data_set.train) + len(data_set.test), maps[BASELINE]
        of_maps = sum(maps[name] - (0 if name == BASELINE else whole)
                      for name in (BASELINE, *WITH_PARTS) if not self._is_held_out(name, 0))
        n_trainings = N_ON_ALL + sum(not self._is_held_out(name, fold)
                                     for name in CANDIDATES for fold in self.folds)
        return [estimate.Stage(f'finding parts in {n} images', sum(finding.values())),
                estimate.Stage(f'ConvMaps of {n} images, tiles and parts', of_maps),
                estimate.Stage(f'up to {n_trainings} trainings of classifiers on them',
                               n_trainings * max(heads.values())),
                estimate.Stage('fine-tuning of the CNNs of the chosen one',
                               len(self.folds[:FOLDS_TUNED])
                               * sum(stage.seconds for stage in learning))]

    def hold_out_all(self):
        """Trains every candidate without each of the folds, which it then classifies.

        After two folds, candidates that are not above the baseline drop out.
        """
        for name in CANDIDATES:
            folders = []
            for fold in self.folds:
                folders.append(self._run(
                    f'{CANDIDATES[name]}, fold {fold + 1} of {len(self.folds)}', name,
                    self._held_out(name, fold),
                    ['data.split=validation', f'data.fold={fold}', *self.of_heads]))
                folders[-1].drop_snapshots()
                own = self.correct[name] = numpy.concatenate(list(map(_correct, folders)))
                if (name != BASELINE and len(folders) >= FOLDS_OF_ALL
                        and difference(own, self.correct[BASELINE][:len(own)]).mean <= 0):
                    break

    def _is_held_out(self, name, fold):
        """Whether a candidate has been trained without a fold; its ConvMaps are there, too."""
        return RunFolder(self.results / self._held_out(name, fold)).state == REPORTED

    @staticmethod
    def _held_out(name, fold):
        return f'validation/{name}/fold{fold}'

    def finish(self, name, answer):
        """Trains the chosen candidate on all training images, fine-tunes it, and evaluates both.

        Prints the results, and writes them below the ``answer`` (list of lines) so far.
        """
        plain = self._run(f'{CANDIDATES[BASELINE]}, all training images', BASELINE, BASELINE,
                          self.of_heads)
        head = plain if name == BASELINE else self._run(
            f'{CANDIDATES[name]}, all training images', name, name, self.of_heads)
        further, after, before = self.fine_tune(name)
        is_better = after.mean() > before.mean()
        tested = self._tested(further) if is_better else head
        run = further if is_better else head
        lines = [f'Fine-tuning of the CNNs, {"kept" if is_better else "not kept"}: '
                 f'{100 * after.mean():.1f} % of {len(after)} held-out images, '
                 f'{100 * before.mean():.1f} % before.',
                 f'{self.results}: test accuracy {accuracy(_correct(tested))}; plain CNN without '
                 f'fine-tuning: {accuracy(_correct(plain))}']
        before_it = difference(_correct(head), _correct(tested))
        if before_it.mean > 0:
            lines.append('On the test images, the classifier before the fine-tuning is better, by '
                         f'{before_it.points} points; predict takes it, too: {head}')
        print(*lines, sep='\n', flush=True)
        write_text(self.results / chosen.ANSWER, '\n'.join([*answer, *lines, '']))
        card.write(self.results, run, tested)
        chosen.write(self.results, run, {'candidate': name})

    def fine_tune(self, name):
        """Fine-tunes a candidate without each of two folds, beginning with its heads for them.

        Returns the run without the first fold, and which images of both folds are classified
        correctly, after and before. One fold alone would decide by chance.
        """
        runs, before, project = [], [], self._read(name)[0].project
        for fold in self.folds[:FOLDS_TUNED]:
            before.append(RunFolder(self.results / self._held_out(name, fold), project))
            place = self._held_out(tuned(name), fold) if fold else tuned(name)
            runs.append(self._run(
                f'fine-tuning of the CNNs without fold {fold + 1}', tuned(name), place, [
                    'data.split=validation', f'data.fold={fold}', f'training.patience={PATIENCE}',
                    f'model.checkpoint={self._in_project(before[-1].model)}']))
        return runs[0], *(numpy.concatenate(list(map(_correct, of))) for of in (runs, before))

    def _run(self, title, name, place, overrides):
        """Runs a config, unless it is finished; returns its folder, below the results."""
        self.n_begun += 1
        config, overrides = self._read(name, overrides)
        folder = RunFolder(self.results / place, config.project)
        if folder.state == REPORTED and not folder.differences(config):
            folder.check_data(prerequisites.data_of(config))
            return folder
        say(f'{title} (training {self.n_begun} of at most {self.n_most}): {folder.printed}')
        folder.printed.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.printed, 'a', encoding='utf-8') as file, \
                contextlib.redirect_stdout(file):
            return experiment.run(path_of(name), overrides, folder.path, self.project,
                                  is_told=False)

    def _tested(self, run):
        """Evaluates a run without test images of its own on those of the data set."""
        folder = RunFolder(run.path / chosen.TEST, run.project)
        if not (folder.path / 'predictions.csv').exists():
            with contextlib.redirect_stdout(io.StringIO()):
                experiment.evaluate(self._in_project(run.path), overrides=['data.split='],
                                    output=folder.path, project=self.project)
        return folder

    def _in_project(self, path):
        return os.path.relpath(path, self.project.root)


def path_of(name: str) -> str:
    """Path of a candidate's config."""
    return f'configs/photos/{name}.yml'


def tuned(name: str) -> str:
    """The candidate whose CNNs learn, too."""
    return f'{name}_finetuned'


def of_candidate(name: str, overrides: Iterable[str], project: Project) -> list[str]:
    """The overrides that have an effect on a candidate, and those that have none on any."""
    configs = {}
    for candidate in {name, *CANDIDATES, *map(tuned, CANDIDATES)}:
        configs[candidate] = read_config(path_of(candidate), project=project)
        for override in overrides:
            fill_override(configs[candidate], override)
    active = {candidate: active_names(config) for candidate, config in configs.items()}
    active['any'] = {name for names in active.values() for name in names}
    return [override for override in overrides
            if any(key in active[name] or key not in active['any']
                   for key in fill_override(Config(), override))]


def _correct(folder):
    """Which test images of a run are classified correctly, (n,)."""
    columns = folder.read_predictions()
    return columns['both'] == columns['label']
