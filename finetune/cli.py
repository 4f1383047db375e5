"""``python -m finetune``: list of commands, exit codes and errors."""
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
    """Runs a sub-command; returns its exit code.

    0; 1 if one of several runs failed or a picture was unreadable; 2 for an error that the user
    can fix; 128 plus the signal's number after an interrupt.

    A rank of ``mpiexec`` other than 0 serves rank 0.
    """
    work = processes.serve if processes.is_helper() else functools.partial(_run, arguments)
    # until everything that an interrupt's traceback refers to is gone
    with interruption.as_exceptions():
        return processes.ended(lambda: _exit_code(work))


def _run(arguments):
    given = parser().parse_args(arguments)
    return given.run(given) or 0


def _exit_code(work):
    """The result of ``work()``, or 2 after printing an error."""
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
    top = argparse.ArgumentParser(prog='python -m finetune', description=DESCRIPTION)
    top.add_argument('--version', action='version', version=f'fve_layer {fve_layer.__version__}')
    options.add_commands(top, 'command', COMMANDS)
    return top
