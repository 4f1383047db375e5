"""The command ``visualize confusion``: draws the most confused classes."""
from finetune.commands import options as shared

HELP = 'draw the most confused classes'
DESCRIPTION = ('Draws the pairs of classes that the model confuses most often on the test images, '
               'with examples and mistakes, into the folder of the run.')

add_arguments = shared.add_results


def run(options):
    from finetune.visualize import confusion
    confusion.make(options.results, options.gpu, options.project)
