"""The command ``train``: one run, or many."""
import argparse
import os

from finetune.commands import original_variables
from finetune.commands import options as shared
from finetune.errors import InputError

MAX_SEEDS = 10000
HELP = 'train and evaluate experiments'
DESCRIPTION = """\
Trains one experiment, evaluates it and writes results/<config>/seed<k>/.
The same command again resumes an interrupted run. With several configs or
--seeds each run has a process of its own, finished runs are skipped, and a
run that fails does not stop the others (exit code 1)."""


def add_arguments(parser):
    add, number = parser.add_argument, shared.number
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = original_variables.HELP
    add('configs', nargs='*', metavar='CONFIG', help='YAML of an experiment, or a folder of them '
        f'(default: {shared.DEFAULT_CONFIG})')
    shared.add_overrides(parser)
    shared.add_gpu(parser)
    add('--seeds', type=seeds, metavar='N',
        help='seeds 0 ... N-1, or a list of seeds: 0,3,7')
    add('--jobs', type=number('--jobs', int, 1, 256), metavar='N',
        help='runs at a time with several configs or --seeds (default: 1)')
    add('--cluster', choices=('local', 'slurm'), default='local',
        help='where runs are: here, or as jobs of Slurm (default: local)')
    add('--hours', type=number('--hours', float, .01, 1000),
        help='limit of a job, at which it is requeued and goes on (default: 24)')
    add('--nodes', type=number('--nodes', int, 1, 1000), help='machines of a job (default: 1)')
    add('--gpus', type=number('--gpus', int, 0, 64),
        help='GPUs of each machine, with a process each; give --gpu 0, too (default: 0)')
    add('--cpus', type=number('--cpus', int, 1, 256), help='cores of each process (default: 2)')
    add('--partition', help="Slurm's partition")
    add('--output', metavar='DIR', help='folder for the results of a single run')
    add('--dry-run', action='store_true',
        help='print settings, data counts, shapes and parameter count, then stop')


def seeds(text):
    """The list that ``--seeds`` stands for: its numbers, or 0 ... N-1."""
    numbers = [int(word) for word in text.split(',')]
    if min(numbers) < (0 if ',' in text else 1) or ',' not in text and numbers[0] > MAX_SEEDS:
        raise argparse.ArgumentTypeError(f'{text} is neither a number of seeds nor a list of them')
    return list(dict.fromkeys(numbers)) if ',' in text else list(range(numbers[0]))


def run(options):
    from finetune.checks import dry_run
    from finetune.experiments import experiment, plan, suite
    resources = _resources(options)
    experiments, notes = [], []
    for path in plan.expand(options.configs, options.project) or [None]:
        options.config = path
        experiments.append(shared.settings(options, notes.append))
    for note in dict.fromkeys(notes):
        print(note, flush=True)
    output = options.output or original_variables.output(os.environ)
    if options.dry_run or original_variables.is_dry_run(os.environ):
        for config, overrides in experiments:
            dry_run.describe(config, overrides, options.project)
    elif options.seeds is None and len(experiments) == 1 and options.cluster == 'local':
        experiment.run(*experiments[0], output, options.project)
    elif output:
        raise InputError('--output is the folder of one run that runs here; leave it out.')
    elif options.seeds and options.seed is not None:
        raise InputError('--seed and --seeds: give one of them.')
    else:
        return suite.run_all(experiments, options.seeds or [options.seed or 0], options.jobs or 1,
                             resources, options.project)


def _resources(options):
    """What jobs ask for; ``None``: runs are here."""
    from finetune.experiments.cluster import Resources
    given = {name: getattr(options, name) for name in Resources._fields
             if getattr(options, name) is not None}
    if options.cluster == 'slurm':
        if options.jobs is not None:
            raise InputError('--jobs is for runs that share this machine; leave it out.')
        return Resources(**given)
    if given:
        raise InputError(f'--{next(iter(given))} is for jobs; give --cluster slurm, too.')
    return None
