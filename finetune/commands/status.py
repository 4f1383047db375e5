"""The command ``status``: shows the progress of all runs."""
from finetune.commands import options as shared

HELP = 'show the progress of all runs'
DESCRIPTION = ('Prints a table of all runs below a folder: state (running, interrupted, finished), '
               'epochs, test accuracy, elapsed and remaining time.')


def add_arguments(parser):
    parser.add_argument('results', nargs='?', default='results',
                        help='folder of results (default: results)')
    parser.add_argument('--watch', type=shared.number('--watch', float, .1, 86400), nargs='?',
                        const=5, metavar='SECONDS', help='repeat at this interval (default: 5) '
                        'until Ctrl-C')
    shared.add_project(parser)


def run(options):
    from finetune.experiments import status
    status.show(options.results, options.watch, options.project)
