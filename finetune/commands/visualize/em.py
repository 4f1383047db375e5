"""The command ``visualize em``: renders the supplement's videos."""
from pathlib import Path

from finetune.commands import options as shared
from finetune.errors import InputError

HELP = 'render the mixture as it learns points in the plane'
DESCRIPTION = ("Renders the supplement's videos of the iterative EM algorithm: the layer's mixture "
               "learns points in the plane batch by batch, beside scikit-learn's mixture of all "
               'points.')


def add_arguments(parser):
    add, number = parser.add_argument, shared.number
    add('--data', choices=('simple', 'difficult'), nargs='+', default=['simple', 'difficult'],
        help='deviation 0.1 and batches of 128, or 0.2 and 512 (default: both)')
    add('--classes', type=number('--classes', int, 1, 100), default=10,
        help='number of classes on the unit circle (default: 10)')
    add('--samples', type=number('--samples', int, 2, 100000), default=400,
        help='points per class (default: 400)')
    add('--deviation', type=number('--deviation', float, 1e-3, 10),
        help='standard deviation of a class (default: 0.1 or 0.2)')
    add('--batch-size', type=number('--batch-size', int, 1, 10 ** 7),
        help='points per iteration (default: 128 or 512)')
    add('--iterations', type=number('--iterations', int, 1, 10000), default=50,
        help='number of batches, with one EM step each (default: 50)')
    add('--ema-decay', type=number('--ema-decay', float, 0, 1 - 1e-9), default=.9,
        help='lambda (default: 0.9)')
    add('--init', choices=('kmeans', 'random'), default='kmeans',
        help='initialisation of the mixture (default: kmeans)')
    add('--seed', type=number('--seed', int, 0, 2 ** 31 - 1), default=0,
        help='random seed (default: 0)')
    add('--seeds', type=number('--seeds', int, 1, 10 ** 6), metavar='N',
        help='also print how reliably N runs with different seeds find the centres')
    add('--no-video', action='store_true', help='only print the table of --seeds')
    shared.add_folder(parser, '--output', 'results/em', 'folder for videos and pictures')


def run(options):
    from finetune.visualize.em_video import em, table, video
    if options.no_video and options.seeds is None:
        raise InputError('--no-video without --seeds has no effect; give --seeds, too.')
    experiments = [em.make_settings(
        name, options.deviation, options.batch_size, n_classes=options.classes,
        n_samples=options.samples, n_iterations=options.iterations, ema_decay=options.ema_decay,
        init=options.init, seed=options.seed) for name in options.data]
    if not options.no_video:
        for settings in experiments:
            video.make(settings, Path(options.output))
    if options.seeds is not None:
        table.print_table(experiments, options.seeds)
