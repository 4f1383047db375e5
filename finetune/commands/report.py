"""The command ``report``: compares results with the published ones."""
from finetune.commands import options as shared

HELP = 'compare all results with the published ones'
DESCRIPTION = ('Reads the finished runs of the experiments in configs/ and writes report.html, '
               "report.md and plots: the paper's tables beside these results, tests of the paper's "
               'claims, learning curves and more.')


def add_arguments(parser):
    shared.add_folder(parser, '--results', 'results', 'folder of results')
    parser.add_argument('--output', metavar='DIR',
                        help='folder for the report (default: report/ in the folder of results)')
    shared.add_project(parser)


def run(options):
    from finetune.report import report
    report.make(options.results, options.output, options.project)
