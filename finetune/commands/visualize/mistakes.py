"""The command ``visualize mistakes``: draws the misclassified test images."""
from finetune.commands import options as shared

HELP = 'draw the test images that are misclassified'
DESCRIPTION = ('Draws test images that the model misclassifies, with their class and the predicted '
               'one, into the folder of the run. The data set is needed, but nothing is computed.')


def add_arguments(parser):
    parser.add_argument('results', help='folder of a finished run')
    shared.add_images(parser, 48, 'all mistakes')
    shared.add_project(parser)


def run(options):
    from finetune.visualize import mistakes
    mistakes.make(options.results, options.images, options.project)
