"""The command ``visualize mixture``: draws the components of a mixture."""
from finetune.commands import options as shared

HELP = 'draw the features that each component of a mixture describes'
DESCRIPTION = ('Draws test images with their local features coloured by component, and the patches '
               'and parts of each component over all test images, into the folder of the run.')


def add_arguments(parser):
    shared.add_results(parser)
    shared.add_images(parser)


def run(options):
    from finetune.visualize import mixture
    mixture.make(options.results, options.images, options.gpu, options.project)
