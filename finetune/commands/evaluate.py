"""The command ``evaluate``: evaluates a trained model again, optionally on other images."""
from finetune.commands import options as shared

HELP = 'evaluate a trained model'
DESCRIPTION = ('Evaluates the model of a run on its test images, or, with --set data.root=..., '
               'data.split=... and more, on other images. In this case the files of the run are '
               'kept, and results are only printed unless --output is given.')


def add_arguments(parser):
    shared.add_results(parser)
    shared.add_set(parser)
    parser.add_argument('--output', metavar='DIR',
                        help='empty folder for the results (default: folder of the run)')


def run(options):
    from finetune.experiments import experiment
    experiment.evaluate(options.results, options.gpu, options.overrides, options.output,
                        options.project)
