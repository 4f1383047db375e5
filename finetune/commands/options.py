"""Options that several commands share."""
import argparse
import contextlib
import os
from pathlib import Path

from finetune.commands import original_variables
from finetune.config import project
from finetune.errors import InputError

DEFAULT_CONFIG = 'configs/minibirds/gt_fve.yml'
PATHS = 'data.root', 'model.pretrained', 'model.classifier', 'detector.cnn'     # settings
MAX_SEEDS = 10000
MAX_IMAGES = 100        # on a sheet: matplotlib's pictures have at most 65,536 lines


def add_commands(parser, name, commands):
    """Adds modules as sub-commands; one that has some of its own has no ``run``."""
    subparsers = parser.add_subparsers(dest=name, required=True, metavar=name.upper())
    for command in commands:
        subparser = subparsers.add_parser(command.__name__.rpartition('.')[2], help=command.HELP,
                                          description=command.DESCRIPTION)
        subparser.set_defaults(run=getattr(command, 'run', None))
        command.add_arguments(subparser)


def add_settings(command, default=DEFAULT_CONFIG):
    command.add_argument('config', nargs='?', metavar='CONFIG',
                         help=f'YAML of the experiment (default: {default})')
    add_overrides(command)


@contextlib.contextmanager
def in_project(options):
    """Context in which the project of the configs or results is the working folder."""
    named = {name: getattr(options, name, None) for name in ('configs', 'config', 'results')}
    paths = [path for value in named.values() if value and getattr(options, 'in_project', False)
             for path in (value if isinstance(value, list) else [value])]
    with project.entered(paths) as before:
        if before != Path.cwd():
            for name in (*named, 'output'):
                value = getattr(options, name, None)
                if isinstance(value, list):
                    setattr(options, name, [os.path.abspath(before / path) for path in value])
                elif value:
                    setattr(options, name, os.path.abspath(before / value))
            options.overrides = [_absolute(override, before)
                                 for override in getattr(options, 'overrides', [])]
        yield


def _absolute(override, folder):
    """An override by a path that is there, relative to a folder, by its absolute path."""
    name, _, value = override.partition('=')
    is_path = name.strip() in PATHS and value and (folder / value).exists()
    return f'{name}={os.path.abspath(folder / value)}' if is_path else override


def add_overrides(command):
    command.add_argument('--seed', type=int, help='seed of everything random (training.seed)')
    add_set(command)
    command.set_defaults(gpu=None, in_project=True)


def add_set(command):
    command.add_argument('--set', action='append', default=[], metavar='SECTION.NAME=VALUE',
                         dest='overrides', help='override a setting; repeatable')


def seeds(text):
    """The list that ``--seeds`` stands for: its numbers, or 0 ... N-1."""
    numbers = [int(word) for word in text.split(',')]
    if min(numbers) < (0 if ',' in text else 1) or ',' not in text and numbers[0] > MAX_SEEDS:
        raise argparse.ArgumentTypeError(f'{text} is neither a number of seeds nor a list of them')
    return list(dict.fromkeys(numbers)) if ',' in text else list(range(numbers[0]))


def add_gpu(command):
    command.add_argument('--gpu', type=int, help='device id; -1: CPU (training.gpu)')


def add_results(command):
    command.add_argument('results', help='folder of a finished run')
    command.add_argument('--gpu', type=number('--gpu', int, -1, 64), default=-1,
                         help='device id; -1: CPU (default)')
    command.set_defaults(in_project=True)


def add_images(command):
    command.add_argument('--images', type=number('--images', int, 1, MAX_IMAGES), default=6,
                         help='number of images, evenly spaced over the data set (default: 6)')


def number(option, kind, low, high):
    """Type of an option that takes a number between two others, both allowed."""
    def convert(text):
        value = kind(text)
        if not low <= value <= high:
            raise InputError(f'{option} is {value:g}, but must be between {low:g} and {high:g}.')
        return value
    convert.__name__ = kind.__name__        # for argparse's message if the text is not a number
    return convert


def add_folder(command, option, default, what):
    command.add_argument(option, default=default, metavar='DIR',
                         help=f'{what} (default: {default})')


def settings(options, say=print):
    """Config path and overrides; options win over the original's environment variables.

    ``say`` gets sentences on what the variables do.
    """
    config = options.config or original_variables.config(os.environ) or DEFAULT_CONFIG
    overrides = []
    if options.seed is not None:
        overrides.append(f'training.seed={options.seed}')
    if options.gpu is not None:
        overrides.append(f'training.gpu={options.gpu}')
    overrides += options.overrides
    by_variables, notes = original_variables.overrides(os.environ, config, overrides)
    for note in notes:
        say(note)
    return config, by_variables + overrides
