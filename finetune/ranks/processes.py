"""The processes of a run on several devices: MPI's ranks, which ``mpiexec`` starts.

Rank 0 runs the program. The other ranks only run functions that rank 0 shares (:func:`share`): they
read no settings, write no files and print only errors.
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

# Variables in which MPICH's and Open MPI's mpiexec pass the number of ranks and the rank.
SIZES, RANKS = ('PMI_SIZE', 'OMPI_COMM_WORLD_SIZE'), ('PMI_RANK', 'OMPI_COMM_WORLD_RANK')
POLL_SECONDS = .02
TASK = 1        # tag of rank 0's messages


def size():
    """Number of ranks; 1 without ``mpiexec``."""
    return max(_number(SIZES, 1), 1)


def is_helper():
    """Whether this is a rank other than 0."""
    return size() > 1 and _number(RANKS, 0) > 0


def _number(names, default):
    values = (os.environ.get(name, '') for name in names)
    return next((int(value) for value in values if value.isdecimal()), default)


@functools.cache
def _world():
    os.environ.setdefault('MPIR_CVAR_SUPPRESS_ABORT_MESSAGE', '1')      # only our own message
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(f'mpiexec started {size()} processes, but MPI cannot be used '
                         f'({" ".join(str(error).split())}); pip install mpi4py mpich.')
    if MPI.COMM_WORLD.size != size():
        raise InputError(f'mpiexec started {size()} processes, but mpi4py sees '
                         f'{MPI.COMM_WORLD.size}; use the mpiexec of the MPI that mpi4py uses.')
    return MPI


@functools.cache
def communicator(on_gpu):
    """Creates ChainerMN's communicator of all ranks; every rank has to call it."""
    import chainermn
    _world()
    try:
        return chainermn.create_communicator('pure_nccl' if on_gpu else 'naive')
    except (RuntimeError, ValueError, ImportError) as error:
        raise InputError(f'the GPUs cannot communicate ({" ".join(str(error).split())}); install '
                         'NCCL, or use one GPU.')


def share(function, *arguments):
    """On rank 0: makes all other ranks call ``function(*arguments)``, which are pickled."""
    for rank in range(1, size()):
        _world().COMM_WORLD.send((_versions(), os.getcwd(), function, arguments), rank, TASK)


def serve():
    """On other ranks: calls the functions that rank 0 shares; returns an exit code."""
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:     # rank 0 stops all ranks
        signal.signal(number, signal.SIG_IGN)
    world = _world().COMM_WORLD
    while True:
        while not world.iprobe(source=0, tag=TASK):     # a blocking receive would use a core
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
            raise InputError(f'rank {_number(RANKS, 0)} has {name} {version}, but rank 0 has '
                             f'{of_first[name]}; install the same version on all machines.')


def _check_folder(of_first):
    """Raises an error if relative paths differ from rank 0's."""
    if os.getcwd() != of_first:
        raise InputError(f'rank {_number(RANKS, 0)} runs in another working directory than rank 0, '
                         f'{os.getcwd()} instead of {of_first}; start mpiexec with the same -wdir '
                         'for all ranks.')


def ended(work):
    """Calls ``work()``, ends all ranks, and returns its exit code.

    After an error or an exit code other than 0 all ranks are killed, as they may wait for this one.
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
    except InputError:      # has been printed
        return code
    if code:
        mpi.COMM_WORLD.Abort(code)
    if not is_helper():
        for rank in range(1, size()):
            mpi.COMM_WORLD.send(None, rank, TASK)
    return code
