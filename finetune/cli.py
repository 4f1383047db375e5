"""``python -m finetune``: the list of its commands, exit codes and errors."""
import argparse
import functools
import os
import sys

import fve_layer
from finetune.commands import (convert, doctor, evaluate, export, interruption, options, predict,
                               report, runtime, status, train, visualize)
from finetune.errors import InputError
from finetune.ranks import processes

DESCRIPTION = 'End-to-end learning of Fisher vector encodings for part features.'
COMMANDS = train, runtime, evaluate, predict, report, status, convert, export, visualize, doctor


def main(arguments=None):
    """Runs a sub-command; returns the exit code: 0, or 2 for anything the user has to fix.

    On another rank than 0 of ``mpiexec``: helps with it.
    """
    work = processes.serve if processes.is_helper() else functools.partial(_run, arguments)
    with interruption.as_exceptions():      # until all that an interrupt refers to is gone
        return processes.ended(lambda: _exit_code(work))


def _run(arguments):
    given = parser().parse_args(arguments)
    return given.run(given) or 0


def _exit_code(work):
    """What ``work()`` returns, or 2 and a sentence."""
    try:
        return work()
    except InputError as error:
        print(f'finetune: {error}', file=sys.stderr)
    except OSError as error:
        if error.errno is None:
            raise
        where = f'{error.filename}: ' if error.filename else ''
        print(f'finetune: {where}{os.strerror(error.errno)}; fix this and run the same command '
              'again.', file=sys.stderr)
    except KeyboardInterrupt as interrupt:
        print('finetune: interrupted; run the same command again to resume.', file=sys.stderr)
        return interruption.exit_code(interrupt)
    return 2


def parser():
    """The command line."""
    top = argparse.ArgumentParser(prog='python -m finetune', description=DESCRIPTION)
    top.add_argument('--version', action='version', version=f'fve_layer {fve_layer.__version__}')
    options.add_commands(top, 'command', COMMANDS)
    return top
