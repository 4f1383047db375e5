"""The command ``doctor``: checks whether training can start."""
from finetune.commands import options as shared
from finetune.errors import InputError

HELP = 'check environment and data set'
DESCRIPTION = ('Checks packages, GPU and, with a config, its data set and weights. The exit code '
               'is 0 if training can start.')


def add_arguments(parser):
    shared.add_settings(parser, default='none')
    shared.add_gpu(parser)


def run(options):
    from finetune.checks import doctor
    if options.config is None and (options.overrides or options.gpu is not None):
        raise InputError('doctor without a config ignores settings; give a config, too.')
    config, overrides = (None, []) if options.config is None else shared.settings(options)
    return doctor.check(config, overrides, options.project)
