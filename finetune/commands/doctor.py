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
    parser.add_argument('--output', metavar='DIR', help='folder of the results on photographs '
                        '(train --output)')
    shared.add_overrides(parser)
    shared.add_gpu(parser)


def run(options):
    from finetune.checks import doctor
    from finetune.experiments import comparison
    project, photographs = options.project, options.config
    if photographs is None and (options.overrides or options.gpu is not None):
        raise InputError('doctor checks settings of a config only; give a config, too, or no '
                         'option: GPUs are always checked.')
    if photographs is None or not shared.are_photographs(photographs, project):
        if options.output:
            raise InputError('--output is for photographs; give their folder or CSV file, too.')
        if photographs is None:
            return doctor.check(project=project)
        if project.find(photographs).is_dir():
            raise InputError(f'{photographs}: this folder contains no photographs; give one '
                             'config, or a folder that has one folder of pictures per class.')
        return doctor.check(*shared.settings(options), project)
    project = project.with_results(options.output) if options.output else project
    options.config = comparison.path_of(comparison.MOST)
    config, overrides = shared.settings(options)
    overrides = comparison.of_candidate(
        comparison.MOST, [f'data.root={photographs}', *overrides], project)
    return doctor.check(config, overrides, project)
