"""``python -m finetune``: list of commands, exit codes and errors."""
import argparse
import errno
import functools
import io
import os
import select
import signal
import sys

import fve_layer
from finetune.commands import (convert, demo, doctor, evaluate, export, interruption, options,
                               predict, report, runtime, status, train, visualize)
from finetune.commands import list as what_there_is
from finetune.errors import InputError
from finetune.names import shown
from finetune.ranks import processes

DESCRIPTION = ('Trains classifiers of images end to end with Fisher vector encodings of part '
               'features. For photographs in one folder per class, begin with: train PHOTOS')
COMMANDS = (train, runtime, evaluate, predict, demo, report, status, convert, export, visualize,
            doctor, what_there_is)


def main(arguments=None):
    """Runs a sub-command; returns its exit code.

    0; 1 if one of several runs failed or a picture was unreadable; 2 for an error that the user
    can fix; 128 plus the signal's number after an interrupt, and 141 if nobody reads the output any
    more, as after ``| head``.

    A rank of ``mpiexec`` other than 0 serves rank 0.
    """
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper):        # names have characters that it may lack
            stream.reconfigure(errors='backslashreplace')
    work = processes.serve if processes.is_helper() else functools.partial(_run, arguments)
    # until everything that an interrupt's traceback refers to is gone
    with interruption.as_exceptions():
        return processes.ended(lambda: _exit_code(work))


def _run(arguments):
    given, unknown = parser().parse_known_args(arguments)
    if unknown:
        given.parser.error(f'unrecognized arguments: {" ".join(unknown)} (inputs follow the '
                           'command without an option: train PHOTOS)')
    return given.run(given) or 0


def _exit_code(work):
    """The result of ``work()``, or an exit code after printing an error."""
    try:
        try:
            return work()
        finally:
            sys.stdout.flush()
    except InputError as error:
        _print(error)
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno == errno.EPIPE and any(list(map(_is_unread, (sys.stdout, sys.stderr)))):
            return 128 + signal.SIGPIPE
        where = f'{error.filename}: ' if error.filename else ''
        _print(f'{where}{os.strerror(error.errno)}; fix this and run the same command again.')
    except KeyboardInterrupt as interrupt:
        _print('interrupted; run the same command again to resume.')
        return interruption.exit_code(interrupt)
    return 2


def _print(error):
    try:
        print(f'finetune: {shown(str(error))}', file=sys.stderr)
    except OSError:
        _is_unread(sys.stderr)


def _is_unread(stream):
    """Whether nobody reads a stream's pipe any more; what Python would still write is dropped."""
    try:
        number, pipe = stream.fileno(), select.poll()
    except OSError:         # a notebook's stream has no number
        return False
    pipe.register(number, 0)
    is_unread = bool(pipe.poll(0))
    if is_unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return is_unread


def parser():
    top = argparse.ArgumentParser(prog='python -m finetune', description=DESCRIPTION)
    top.add_argument('--version', action='version', version=f'fve_layer {fve_layer.__version__}')
    options.add_commands(top, 'command', COMMANDS)
    return top
