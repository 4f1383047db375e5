"""The command ``train``: one run, or many."""
import argparse
import os

from finetune.commands import original_variables
from finetune.commands import options as shared
from finetune.errors import InputError

MAX_SEEDS = 10000
HELP = 'train and evaluate classifiers of photographs, or experiments'
DESCRIPTION = """\
For a folder of photographs, compares classifiers and chooses one; its results
are in results/<name of the folder>/.

For a config, trains and evaluates one experiment and writes
results/<config>/seed<k>/, for pictures of your own
results/<name of data.root>/<config>/seed<k>/.

Repeat the command to resume an interrupted run. With several configs,
--seeds or --cross-validate, each run has its own process, finished runs are
skipped, and a failed run does not stop the others (exit code 1)."""


def add_arguments(parser):
    add, number = parser.add_argument, shared.number
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = original_variables.HELP
    add('configs', nargs='*', metavar='CONFIG|PHOTOS', help='YAML of an experiment, or a folder of '
        f'them (default: {shared.DEFAULT_CONFIG}); or a folder of photographs, or a CSV file of '
        'them, for which the classifiers of configs/photos are compared and one is chosen')
    shared.add_overrides(parser)
    shared.add_gpu(parser)
    add('--seeds', type=seeds, metavar='N',
        help='seeds 0 ... N-1, or a list of seeds: 0,3,7')
    add('--cross-validate', action='store_true', help='of configs: train without each of five '
        'folds of the training images and print the accuracies on the folds that were held out')
    add('--jobs', type=number('--jobs', int, 1, 256), metavar='N',
        help='simultaneous runs with several configs, --seeds or --cross-validate (default: 1)')
    add('--cluster', choices=('local', 'slurm'), default='local',
        help='where to run: on this machine, or as Slurm jobs (default: local)')
    add('--hours', type=number('--hours', float, .01, 1000),
        help='time limit of a job, which is then requeued and resumed (default: 24)')
    add('--nodes', type=number('--nodes', int, 1, 1000), help='machines per job (default: 1)')
    add('--gpus', type=number('--gpus', int, 0, 64),
        help='GPUs per machine, with a process each; requires --gpu 0 (default: 0)')
    add('--cpus', type=number('--cpus', int, 1, 256), help='cores per process (default: 2)')
    add('--partition', help='Slurm partition')
    add('--output', metavar='DIR', help='folder of a single run, and, unless DIR is in the folder '
        'of results of its data, of everything that it needs (DIR/needs/); of several runs, the '
        'folder that takes the place of results/')
    add('--dry-run', action='store_true',
        help='print settings, size of the data set, shapes and number of parameters, check weights '
        'and the runs that are needed, then stop')


def seeds(text):
    """The list of seeds that the value of ``--seeds`` stands for."""
    numbers = [int(word) for word in text.split(',')]
    if min(numbers) < (0 if ',' in text else 1) or ',' not in text and numbers[0] > MAX_SEEDS:
        raise argparse.ArgumentTypeError(f'{text} is neither a number of seeds nor a list of them')
    return list(dict.fromkeys(numbers)) if ',' in text else list(range(numbers[0]))


def run(options):
    if any(shared.are_photographs(path, options.project) for path in options.configs):
        return _compare(options)
    from finetune.checks import dry_run
    from finetune.experiments import cross_validation, experiment, plan, suite
    resources = _resources(options)
    experiments, notes = [], []
    for path in plan.expand(options.configs, options.project) or [None]:
        options.config = path
        experiments.append(shared.settings(options, notes.append))
    for note in dict.fromkeys(notes):
        print(note, flush=True)
    output = options.output or original_variables.output(os.environ)
    if options.dry_run or original_variables.is_dry_run(os.environ):
        if options.cross_validate:
            experiments = _first_folds(experiments, options.project)
        for config, overrides in experiments:
            dry_run.describe(config, overrides, options.project, output)
        return None
    is_single = options.seeds is None and len(experiments) == 1 and options.cluster == 'local'
    if is_single and not options.cross_validate:
        experiment.run(*experiments[0], output, options.project)
        return None
    if options.seeds and options.seed is not None:
        raise InputError('--seed and --seeds exclude each other; give one of them.')
    project = options.project.with_results(output) if output else options.project
    of_suite = (experiments, options.seeds or [options.seed or 0], options.jobs or 1, resources,
                project)
    if options.cross_validate:
        return cross_validation.run(*of_suite)
    return suite.run_all(*of_suite).code


def _first_folds(experiments, project):
    from finetune.experiments import cross_validation
    all_folds = [cross_validation.folds_of(*experiment, project) for experiment in experiments]
    print(f'# Each config is trained {len(all_folds[0])} times, each time without another fold of '
          'the training images; this is the first time.')
    return [folds[0] for folds in all_folds]


def _compare(options):
    from finetune.checks import dry_run
    from finetune.experiments import comparison
    if len(options.configs) > 1:
        raise InputError(f'{" ".join(options.configs)}: photographs are compared alone; give one '
                         'folder or CSV file.')
    if options.cross_validate:
        raise InputError('--cross-validate: the comparison of photographs holds out folds already; '
                         'leave it out, or give configs of configs/photos with '
                         '--set data.root=PHOTOS.')
    of_suites = [name for name in ('seeds', 'jobs') if getattr(options, name) is not None]
    if of_suites or options.cluster != 'local':
        raise InputError(f'--{(*of_suites, "cluster")[0]} is for configs; leave it out, or give '
                         'configs of configs/photos with --set data.root=PHOTOS.')
    photographs, = options.configs
    options.config = comparison.path_of(comparison.BASELINE)
    _, overrides = shared.settings(options)
    output = options.output or original_variables.output(os.environ)
    project = options.project.with_results(output) if output else options.project
    if not options.dry_run:
        comparison.run(photographs, overrides, project)
        return
    print(f'# Each of {len(comparison.CANDIDATES)} classifiers is trained without each fold of the '
          'training images; the chosen one is fine-tuned.')
    for config, of_run in comparison.heads(photographs, overrides, project):
        dry_run.describe(config, of_run, project, is_run=False)


def _resources(options):
    """Resources of Slurm jobs; ``None`` for runs on this machine."""
    from finetune.experiments.cluster import Resources
    given = {name: getattr(options, name) for name in Resources._fields
             if getattr(options, name) is not None}
    if options.cluster == 'slurm':
        if options.jobs is not None:
            raise InputError('--jobs is for runs on this machine; leave it out.')
        return Resources(**given)
    if given:
        raise InputError(f'--{next(iter(given))} is for Slurm jobs; give --cluster slurm, too.')
    return None
