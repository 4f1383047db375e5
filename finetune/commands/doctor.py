"""The command ``doctor``: checks whether training can start."""
from finetune.commands import options as shared
from finetune.errors import InputError

HELP = 'check environment and data set'
DESCRIPTION = ('Checks packages, GPU and, with a config, its data set and weights; with a folder '
               'or CSV file of photographs, those and what train needs for them. The exit code is '
               '0 if training can start.')


def add_arguments(parser):
    parser.add_argument('config', nargs='?', metavar='CONFIG|PHOTOS', help='YAML of the '
                        'experiment, or a folder or CSV file of photographs (default: none)')
    shared.add_overrides(parser)
    shared.add_gpu(parser)


def run(options):
    from finetune.checks import doctor
    from finetune.experiments import comparison
    if options.config is None and (options.overrides or options.gpu is not None):
        raise InputError('doctor checks settings of a config only; give a config, too, or no '
                         'option: GPUs are always checked.')
    if options.config is None:
        return doctor.check(project=options.project)
    photographs = options.config
    if not shared.are_photographs(photographs, options.project):
        return doctor.check(*shared.settings(options), options.project)
    options.config = comparison.path_of(comparison.MOST)
    config, overrides = shared.settings(options)
    overrides = comparison.of_candidate(
        comparison.MOST, [f'data.root={photographs}', *overrides], options.project)
    return doctor.check(config, overrides, options.project)
