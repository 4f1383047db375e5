"""The command ``runtime``: measures Table 3 on this machine."""
from finetune.commands import options as shared

HELP = 'measure how a training step spends its time'
DESCRIPTION = """\
Measures the paper's Table 3 on this machine: trains for some steps with random weights and prints
how the time was spent. Nothing is saved."""


def add_arguments(parser):
    shared.add_settings(parser)
    shared.add_gpu(parser)
    parser.add_argument('--steps', type=shared.number('--steps', int, 2, 10000), default=20,
                        help='number of timed steps (default: 20)')


def run(options):
    from finetune.checks import runtime
    runtime.measure(*shared.settings(options), options.steps, options.project)
