"""The command ``status``: how far all runs are."""
from finetune.commands import options as shared

HELP = 'a table of all runs and how far they are'
DESCRIPTION = ('Prints all runs below a folder: whether they are running, interrupted or finished, '
               'epochs, the accuracy on the test images, the time they took and will take.')


def add_arguments(parser):
    parser.add_argument('results', nargs='?', default='results',
                        help='folder of results (default: results)')
    parser.add_argument('--watch', type=shared.number('--watch', float, .1, 86400), nargs='?',
                        const=5, metavar='SECONDS', help='again every so many seconds (5), until '
                        'Ctrl-C')
    shared.add_project(parser)


def run(options):
    from finetune.experiments import status
    status.show(options.results, options.watch, options.project)
