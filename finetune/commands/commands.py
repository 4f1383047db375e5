"""What each command does with its options; what it needs is imported when it is called."""
import os
from pathlib import Path

from finetune.commands import options as shared
from finetune.commands import original_variables
from finetune.errors import InputError


def train(options):
    from finetune.experiments import experiment
    from finetune.checks import dry_run
    from finetune.experiments import plan, suite
    resources = _resources(options)
    experiments, notes = [], []
    for path in plan.expand(options.configs) or [None]:
        options.config = path
        experiments.append(shared.settings(options, notes.append))
    for note in dict.fromkeys(notes):
        print(note, flush=True)
    output = options.output or original_variables.output(os.environ)
    if options.dry_run or original_variables.is_dry_run(os.environ):
        for config, overrides in experiments:
            dry_run.describe(config, overrides)
    elif options.seeds is None and len(experiments) == 1 and options.cluster == 'local':
        experiment.run(*experiments[0], output)
    elif output:
        raise InputError('--output is the folder of one run that runs here; leave it out.')
    elif options.seeds and options.seed is not None:
        raise InputError('--seed and --seeds: give one of them.')
    else:
        seeds = options.seeds or [options.seed or 0]
        return suite.run_all(experiments, seeds, options.jobs or 1, resources)


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


def runtime(options):
    from finetune.checks import runtime
    runtime.measure(*shared.settings(options), options.steps)


def evaluate(options):
    from finetune.experiments import experiment
    experiment.evaluate(options.results, options.gpu, options.overrides, options.output)


def predict(options):
    from finetune.commands import predict as command
    return command.run(options)


def report(options):
    from finetune.report import report
    report.make(options.results, options.output or Path(options.results, 'report'))


def status(options):
    from finetune.experiments import status
    status.show(options.results, options.watch)


def convert(options):
    from finetune.weights.convert import convert
    convert(options.checkpoint, options.out, options.raw)


def export(options):
    from finetune.export import onnx_file
    onnx_file.export(options.results, options.out, options.layer)


def doctor(options):
    from finetune.checks import doctor
    if options.config is None and (options.overrides or options.gpu is not None):
        raise InputError('doctor without a config only checks the machine; name a config, too.')
    config, overrides = (None, []) if options.config is None else shared.settings(options)
    return doctor.check(config, overrides)


def visualize_em(options):
    from finetune.visualize.em_video import em, table, video
    if options.no_video and options.seeds is None:
        raise InputError('--no-video leaves nothing to do; give --seeds, too.')
    experiments = [em.make_settings(
        name, options.deviation, options.batch_size, n_classes=options.classes,
        n_samples=options.samples, n_iterations=options.iterations, ema_decay=options.ema_decay,
        init=options.init, seed=options.seed) for name in options.data]
    if not options.no_video:
        for settings in experiments:
            video.make(settings, Path(options.output))
    if options.seeds is not None:
        table.print_table(experiments, options.seeds)


def visualize_parts(options):
    from finetune.visualize import part_sheet
    part_sheet.make(*shared.settings(options), options.split, options.images, options.output)


def visualize_mixture(options):
    from finetune.visualize import mixture
    mixture.make(options.results, options.images, options.gpu)


def visualize_confusion(options):
    from finetune.visualize import confusion
    confusion.make(options.results, options.gpu)
