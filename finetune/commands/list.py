"""The command ``list``: what a config can choose, and the configs that there are."""
from finetune.commands import options as shared

HELP = 'list networks, weights, parts, encodings, data sets and configs'
DESCRIPTION = ('Lists what a config can choose. Without an argument, names only; with networks, '
               'weights, parts, encodings, data or configs, a table of these. A folder, such as '
               'configs/cub200, gives a table of its configs.')


def add_arguments(parser):
    parser.add_argument('what', nargs='?', metavar='WHAT',
                        help='networks, weights, parts, encodings, data, configs, or a folder of '
                        'configs (default: names of all)')
    parser.add_argument('pattern', nargs='?', metavar='TEXT', help='only rows with this text, in '
                        "which * stands for any characters: list networks resnet; list configs "
                        "'gt*fve'")
    shared.add_project(parser)


def run(options):
    from finetune.checks import listing
    listing.show(options.what, options.pattern, options.project)
