"""Options that several commands share."""
import argparse
import os
from pathlib import Path

from finetune.commands import original_variables
from finetune.config.project import HERE, Project
from finetune.errors import InputError

DEFAULT_CONFIG = 'configs/minibirds/gt_fve.yml'
MAX_IMAGES = 100        # on a sheet: matplotlib's pictures have at most 65,536 rows of pixels


def add_commands(parser, name, commands):
    """Adds modules as sub-commands; a module with sub-commands of its own has no ``run``."""
    subparsers = parser.add_subparsers(dest=name, required=True, metavar=name.upper())
    for command in commands:
        subparser = subparsers.add_parser(command.__name__.rpartition('.')[2], help=command.HELP,
                                          description=command.DESCRIPTION)
        subparser.set_defaults(run=getattr(command, 'run', None), parser=subparser)
        command.add_arguments(subparser)


def add_settings(command):
    command.add_argument('config', nargs='?', metavar='CONFIG',
                         help=f'YAML of the experiment (default: {DEFAULT_CONFIG})')
    add_overrides(command)


def add_project(command):
    command.add_argument('--project', type=_project, default=HERE, metavar='DIR',
                         help='folder that paths of configs and runs, and paths in settings, are '
                              'relative to; other paths are relative to the working directory '
                              '(default: the working directory)')


def _project(text):
    if not Path(text).is_dir():
        raise InputError(f'--project {text}: there is no such folder; give the folder with configs '
                         'and results.')
    return Project(text)


def add_overrides(command):
    command.add_argument('--seed', type=int, help='random seed (training.seed)')
    add_set(command)
    add_project(command)
    command.set_defaults(gpu=None)


def add_set(command):
    command.add_argument('--set', action='append', default=[], metavar='SECTION.NAME=VALUE',
                         dest='overrides', help='override a setting; repeatable')


def add_gpu(command):
    command.add_argument('--gpu', type=int, help='device id of the GPU; -1: CPU (training.gpu)')


def add_results(command, or_archive=''):
    command.add_argument('results', help=f'folder of a finished run{or_archive}')
    command.add_argument('--gpu', type=number('--gpu', int, -1, 64), default=-1,
                         help='device id of the GPU; -1: CPU (default)')
    add_project(command)


def add_flip(command):
    command.add_argument('--flip', action=argparse.BooleanOptionalAction,
                         help='take the mean scores of each image and its mirror image, in twice '
                              'the time (default: data.test_flip of the run)')


def add_images(command, default=6, of='the data set'):
    command.add_argument('--images', type=number('--images', int, 1, MAX_IMAGES), default=default,
                         help=f'number of images, evenly spaced over {of} (default: {default})')


def number(option, kind, low, high):
    """Type of an option: a number between ``low`` and ``high``, both allowed."""
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


def are_photographs(path, project):
    """Whether a path is that of photographs, a table or a folder of them, and not of configs."""
    there = project.find(path)
    return there.suffix == '.csv' or (
        there.is_dir() and any(there.iterdir()) and not any(there.glob('*.yml')))


def settings(options, say=print):
    """Config path and overrides; options win over the original's environment variables.

    ``say`` is called with sentences on the effects of the variables.
    """
    project = options.project
    config = options.config or original_variables.config(os.environ, project) or DEFAULT_CONFIG
    overrides = []
    if options.seed is not None:
        overrides.append(f'training.seed={options.seed}')
    if options.gpu is not None:
        overrides.append(f'training.gpu={options.gpu}')
    overrides += options.overrides
    by_variables, notes = original_variables.overrides(os.environ, config, overrides, project)
    for note in notes:
        say(note)
    return config, by_variables + overrides
