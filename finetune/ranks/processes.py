"""The processes of a run on several devices: the "ranks" of MPI, which ``mpiexec`` starts.

Rank 0 is the program. The others help with what it asks for by :func:`share`, and with nothing
else: they read no settings, write no files and print nothing but errors.
"""
import functools
import os
import signal
import sys
import time
import traceback

import fve_layer
import chainer
import numpy

from finetune.errors import InputError

# What MPICH's and Open MPI's mpiexec tell each process: their number, and its own.
SIZES, RANKS = ('PMI_SIZE', 'OMPI_COMM_WORLD_SIZE'), ('PMI_RANK', 'OMPI_COMM_WORLD_RANK')
POLL_SECONDS = .02
TASK = 1        # tag of its messages


def size():
    """Number of ranks; 1 without ``mpiexec``."""
    return _number(SIZES, 1)


def is_helper():
    """Whether this is another rank than 0."""
    return size() > 1 and _number(RANKS, 0) > 0


def _number(names, default):
    return next((int(os.environ[name]) for name in names if name in os.environ), default)


@functools.cache
def _world():
    os.environ.setdefault('MPIR_CVAR_SUPPRESS_ABORT_MESSAGE', '1')      # MPICH's, behind ours
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(f'mpiexec started {size()} processes, but MPI cannot be used '
                         f'({" ".join(str(error).split())}); pip install mpi4py mpich.')
    if MPI.COMM_WORLD.size != size():
        raise InputError(f'mpiexec started {size()} processes, but mpi4py is of another MPI, for '
                         f'which there are {MPI.COMM_WORLD.size}; use its mpiexec.')
    return MPI


@functools.cache
def communicator(on_gpu):
    """ChainerMN's communicator of all ranks; all have to call it."""
    import chainermn
    _world()
    try:
        return chainermn.create_communicator('pure_nccl' if on_gpu else 'naive')
    except (RuntimeError, ValueError, ImportError) as error:
        raise InputError(f'GPUs cannot communicate ({" ".join(str(error).split())}); install NCCL, '
                         'or use one GPU.')


def share(function, *arguments):
    """On rank 0: has all other ranks call ``function(*arguments)``, which are pickled."""
    for rank in range(1, size()):
        _world().COMM_WORLD.send((_versions(), os.getcwd(), function, arguments), rank, TASK)


def serve():
    """On other ranks: calls what rank 0 asks for until it has ended; returns the exit code."""
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:     # rank 0 ends all
        signal.signal(number, signal.SIG_IGN)
    world = _world().COMM_WORLD
    while True:
        while not world.iprobe(source=0, tag=TASK):     # a receive would use a core for it
            time.sleep(POLL_SECONDS)
        task = world.recv(source=0, tag=TASK)
        if task is None:
            return 0
        versions, folder, function, arguments = task
        _check_versions(versions)
        _check_folder(folder)
        function(*arguments)


def _versions():
    return {package.__name__: package.__version__ for package in (fve_layer, chainer, numpy)}


def _check_versions(of_first):
    for name, version in _versions().items():
        if of_first[name] != version:
            raise InputError(f'rank {_number(RANKS, 0)} has {name} {version}, but rank 0 '
                             f'{of_first[name]}; install the same on all machines.')


def _check_folder(of_first):
    """Raises an error if paths mean something else here than on rank 0."""
    if os.getcwd() != of_first:
        raise InputError(f'rank {_number(RANKS, 0)} runs in another working directory than rank 0, '
                         f'{os.getcwd()} instead of {of_first}; start mpiexec with the same -wdir '
                         'for all ranks.')


def ended(work):
    """Calls ``work()``, whose exit code it returns, and lets all ranks end with it.

    If it is not 0, or there is an error, the other ranks may be waiting for this one: all are
    killed.
    """
    if size() == 1:
        return work()
    try:
        code = work()
    except SystemExit as error:     # argparse's
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        mpi = _world()
    except InputError:      # which has been said
        return code
    if code:
        mpi.COMM_WORLD.Abort(code)
    if not is_helper():
        for rank in range(1, size()):
            mpi.COMM_WORLD.send(None, rank, TASK)
    return code
