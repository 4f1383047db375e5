"""The command ``evaluate``: evaluates a trained model again, optionally on other images."""
import errno
from pathlib import Path

from finetune.commands import options as shared
from finetune.errors import InputError

READ_ONLY = errno.EACCES, errno.EPERM, errno.EROFS

HELP = 'evaluate a trained model'
DESCRIPTION = ('Evaluates the model of a run on its test images, or, with --set data.root=..., '
               'data.split=... and more, on other images. In this case, and with --flip or '
               '--no-flip, the files of the run are kept, and results are only printed unless '
               '--output is given.')


def add_arguments(parser):
    shared.add_results(parser)
    shared.add_set(parser)
    shared.add_flip(parser)
    parser.add_argument('--output', metavar='DIR',
                        help='empty folder for the results (default: folder of the run)')


def run(options):
    from finetune.experiments import experiment
    overrides = list(options.overrides)
    if options.flip is not None:
        overrides.append(f'data.test_flip={str(options.flip).lower()}')
    try:
        experiment.evaluate(options.results, options.gpu, overrides, options.output,
                            options.project)
    except OSError as error:
        folder = options.project.path(options.results)
        is_its_place = error.filename and folder in Path(error.filename).parents
        if options.output is not None or not is_its_place or error.errno not in READ_ONLY:
            raise
        raise InputError(f'{folder}: the results cannot be written there ({error.strerror}); give '
                         'another folder with --output.')
