"""The command ``demo``: a page on this machine that classifies pictures dropped on it."""
from finetune.commands import options as shared

HELP = 'try a trained model on a page in the browser'
DESCRIPTION = ('Serves a page on this machine, for this machine only: drop a picture, and see the '
               'most probable classes, the parts, and the evidence; a second tab has the '
               'misclassified test images, if the data set is there. Needs the extra demo. Ctrl-C '
               'ends it.')


def add_arguments(parser):
    shared.add_results(parser, ', or its archive (.zip)')
    parser.add_argument('--port', type=shared.number('--port', int, 1, 65535), default=7860,
                        help='port of the page (default: 7860)')
    parser.add_argument('--no-browser', action='store_true', help='only print the address')


def run(options):
    from finetune import demo
    demo.serve(options.results, options.gpu, options.port, not options.no_browser,
               options.project)
