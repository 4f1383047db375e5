"""The command ``evaluate``: a finished run once more, perhaps on other images."""
from finetune.commands import options as shared

HELP = 'evaluate a trained model'
DESCRIPTION = ('Evaluates the model in a folder of results on its test images, or with --set on '
               'others: data.root, data.split and more. Then the results of the run stay what they '
               'are, and those of the evaluation are only printed unless there is an --output.')


def add_arguments(parser):
    shared.add_results(parser)
    shared.add_set(parser)
    parser.add_argument('--output', metavar='DIR',
                        help='empty folder for the results, instead of the folder of the run')


def run(options):
    from finetune.experiments import experiment
    experiment.evaluate(options.results, options.gpu, options.overrides, options.output,
                        options.project)
