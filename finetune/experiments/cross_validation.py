"""Cross-validation of configs: each is trained without each fold, which it then classifies."""
import numpy
import yaml

from finetune.config.config import read_config
from finetune.config.project import HERE
from finetune.config.schema import fill_override
from finetune.config.settings import Config
from finetune.data import readers
from finetune.data.splits import N_FOLDS
from finetune.errors import InputError, shortened
from finetune.experiments import suite
from finetune.experiments.choice import accuracy, interval
from finetune.files import write_text
from finetune.progress import aligned
from finetune.runs.folder import REPORTED
from finetune.runs.folds import folder_of

HEADER = '', f'mean of {N_FOLDS} folds', 'all held-out images'
LEGEND = '+-: standard deviation over the folds; in brackets: 95 % interval'
STOPPED = ('The held-out images also decided when training stopped (training.patience), which '
           'makes the accuracies a little too high.')


def run(experiments, seeds, n_jobs=1, resources=None, project=HERE):
    """Runs every config with every seed without each fold; prints and saves the accuracies.

    The runs are a suite: interrupted ones are resumed, and finished ones are skipped. The
    accuracies of a config with a seed are in ``results/<config>/cross_validation/seed<k>.yml``.

    Args:
        experiments (list of tuple): YAML files and their lists of ``section.name=value`` overrides.
        seeds (list of int): Seeds.
        n_jobs (int): Number of runs at a time.
        resources (finetune.experiments.cluster.Resources or None): Resources that each run requests
            from Slurm; ``None``: runs on this machine.
        project (finetune.config.project.Project): Project to which paths are relative.

    Returns:
        int: Exit code: 0, or 1 if a run failed.

    """
    runs = [one for experiment in experiments for one in folds_of(*experiment, project)]
    for path, overrides in runs:
        config = read_config(path, overrides, project)
        if folder_of(path, config).state != REPORTED:
            readers.require(config)
    outcome = suite.run_all(runs, seeds, n_jobs, resources, project)
    rows, written, notes = [], [], []
    for path, overrides in experiments:
        for seed in seeds:
            folders = [_folder(*one, seed, project) for one in folds_of(path, overrides, project)]
            there = folders[0].path.parents[1]
            name = f'{there.parent.relative_to(folders[0].project.all_results)} seed {seed}'
            n_finished = sum(str(folder) in outcome.finished for folder in folders)
            if n_finished < N_FOLDS:
                notes.append(f'{name}: {n_finished} of {N_FOLDS} folds are finished; repeat the '
                             'command for the others.')
                continue
            correct = list(map(_correct, folders))
            notes += _never_held_out(name, read_config(path, overrides, project), correct)
            rows.append((name, *_cells(correct)))
            written.append(there / f'seed{seed}.yml')
            _write(written[-1], path, overrides, seed, correct)
            if folders[0].read_config().training.patience:
                notes.append(STOPPED)
    if rows:
        print(*aligned([HEADER, *rows]), LEGEND, sep='\n')
        print('The accuracies of the folds are in', *written)
    print(*dict.fromkeys(notes), sep='\n', end='\n' if notes else '')
    return outcome.code


def _never_held_out(name, config, correct):
    """A sentence if training images are in no fold."""
    n_train = len(readers.load(config).train)
    n_left = n_train - sum(map(len, correct))
    if n_left > 0:
        yield (f'{name}: {n_left} of {n_train} training images are in no fold, as their class has '
               'no other images, or no other group.')


def folds_of(path, overrides, project=HERE):
    """A config with its overrides, once for each fold that is held out.

    Args:
        path (str): YAML file.
        overrides (list of str): ``section.name=value``.
        project (finetune.config.project.Project): Project to which paths are relative.

    Returns:
        list of tuple: YAML files and their lists of overrides.

    """
    for override in overrides:
        if {'data.split', 'data.fold'} & {*fill_override(Config(), override)}:
            raise InputError(f'--set {shortened(override)}: --cross-validate holds out each of the '
                             f'{N_FOLDS} folds; leave one of both out.')
    if read_config(path, overrides, project).data.split == 'pretraining':
        raise InputError(f'{path}: --cross-validate holds out training images, but this config '
                         'trains on other classes (data.split pretraining); give another config.')
    return [(path, [*overrides, 'data.split=validation', f'data.fold={fold}'])
            for fold in range(N_FOLDS)]


def _folder(path, overrides, seed, project):
    return folder_of(path, read_config(path, [*overrides, f'training.seed={seed}'], project))


def _correct(folder):
    """Which held-out images a run classifies correctly, (n,) bool."""
    columns = folder.read_predictions()
    return columns[folder.read_config().headline] == columns['label']


def _cells(correct):
    """The accuracies of all folds as texts."""
    of_folds, of_all = 100 * _accuracies(correct), numpy.concatenate(correct)
    return (f'{of_folds.mean():.1f} +- {of_folds.std(ddof=1):.1f} %',
            f'{accuracy(of_all)} of {len(of_all)}')


def _accuracies(correct):
    return numpy.array([of_fold.mean() for of_fold in correct])


def _write(path, config, overrides, seed, correct):
    of_folds, of_all = _accuracies(correct), numpy.concatenate(correct)
    n_correct = int(of_all.sum())
    write_text(path, yaml.safe_dump({
        'config': str(config), 'settings': list(overrides), 'seed': seed,
        'folds': of_folds.tolist(), 'mean': float(of_folds.mean()),
        'standard_deviation': float(of_folds.std(ddof=1)), 'images': len(of_all),
        'correct': n_correct, 'accuracy': n_correct / len(of_all),
        'interval': [float(bound) for bound in interval(n_correct, len(of_all))]},
        sort_keys=False))
