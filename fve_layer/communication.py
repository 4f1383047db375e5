"""Sums over the processes ("ranks") of a ChainerMN communicator, or one like it."""
from typing import Any

import numpy

from fve_layer import gmm
from fve_layer.arrays import Array, get_array_module, to_cpu


def total(arrays: list[Array], comm: Any) -> list[Array]:
    """Sums float64 arrays over all ranks, in one all-reduce.

    Every rank must call it with arrays of the same shapes; all ranks get the same bits. On a GPU,
    a ``pure_nccl`` communicator sums with NCCL, without synchronization; any other communicator
    sums on the host.

    Args:
        arrays (list of array): Arrays of any shapes, float64.
        comm: Communicator of ``chainermn.create_communicator``.

    Returns:
        list of array: The sums, in the same shapes.

    """
    xp = get_array_module(*arrays)
    flat = xp.concatenate([array.ravel() for array in arrays])
    if xp is numpy or getattr(comm, 'takes_gpu_arrays', False):
        flat = comm.allreduce(flat)
    elif hasattr(comm, 'nccl_comm'):
        flat = _nccl_total(flat, comm)
    else:
        flat = xp.asarray(comm.allreduce(to_cpu(flat)))
    ends = numpy.cumsum([array.size for array in arrays])
    return [flat[end - array.size:end].reshape(array.shape) for array, end in zip(arrays, ends)]


def _nccl_total(flat, comm):
    from cupy.cuda import nccl
    comm._init_comms()      # when the device to use has been set
    cupy = get_array_module(flat)
    result = cupy.empty_like(flat)
    comm.nccl_comm.allReduce(flat.data.ptr, result.data.ptr, flat.size, nccl.NCCL_FLOAT64,
                             nccl.NCCL_SUM, cupy.cuda.get_current_stream().ptr)
    return result


def of_all_ranks(statistics: gmm.Statistics, comm: Any) -> gmm.Statistics:
    """Sums the statistics of the ranks' own batches; returns those of a single rank unchanged."""
    if comm is None:
        return statistics
    centre, s0, s1, s2, log_likelihood = statistics
    s0, s1, s2, log_sum = total([s0, s1, s2, log_likelihood * s0.sum()], comm)
    log_likelihood = log_sum / s0.sum().clip(1, None)
    return gmm.Statistics(centre, s0, s1, s2, log_likelihood)
