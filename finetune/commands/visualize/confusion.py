"""The command ``visualize confusion``: the classes confused most."""
from finetune.commands import options as shared

HELP = 'the classes confused most'
DESCRIPTION = ('A picture in the folder of results: the pairs of classes that the model confuses '
               'most often on the test images, with examples and mistakes.')

add_arguments = shared.add_results


def run(options):
    from finetune.visualize import confusion
    confusion.make(options.results, options.gpu, options.project)
