"""The command ``visualize mixture``: what the components of a mixture own."""
from finetune.commands import options as shared

HELP = 'what the components of a trained mixture own'
DESCRIPTION = ('Pictures in the folder of results: some test images with their local features '
               'coloured by component, and the patches and parts of each component over all test '
               'images.')


def add_arguments(parser):
    shared.add_results(parser)
    shared.add_images(parser)


def run(options):
    from finetune.visualize import mixture
    mixture.make(options.results, options.images, options.gpu, options.project)
