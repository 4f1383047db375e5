"""Tensors of PyTorch as arrays of NumPy or CuPy that share their memory, and back; and ranks."""
from collections.abc import Iterator
import contextlib
from types import ModuleType
from typing import Any

import numpy
import torch
from torch import distributed, Tensor

from fve_layer.arrays import Array


def to_array(tensor: 'Tensor | None') -> Any:
    """The array that shares the memory of a tensor, or ``None``.

    NumPy lacks bfloat16, which becomes float32.
    """
    if tensor is None:
        return None
    tensor = tensor.detach().to(torch.float32 if tensor.dtype == torch.bfloat16 else tensor.dtype)
    return tensor.numpy() if tensor.device.type == 'cpu' else _cupy(tensor).from_dlpack(tensor)


def to_tensor(array: Array) -> Tensor:
    """The tensor that shares the memory of an array."""
    if isinstance(array, numpy.ndarray | numpy.generic):
        return torch.from_numpy(numpy.asarray(array))
    return torch.from_dlpack(array)


@contextlib.contextmanager
def on_stream_of(x: Tensor) -> Iterator[None]:
    """CuPy computes on PyTorch's current stream; on a CPU, nothing."""
    if x.device.type == 'cpu':
        yield
        return
    cuda, i = _cupy(x).cuda, x.device.index
    with cuda.Device(i), cuda.ExternalStream(torch.cuda.current_stream(i).cuda_stream, i):
        yield


def _cupy(tensor: Tensor) -> ModuleType:
    if tensor.device.type != 'cuda':
        raise ValueError(f'the layers compute on CPUs and CUDA devices, not on {tensor.device}')
    try:
        import cupy
    except ImportError:
        raise ImportError('the layers need CuPy on a GPU: pip install cupy-cuda12x, or another '
                          'package of CuPy for your version of CUDA')
    return cupy


class Ranks:

    """A process group with the methods of ChainerMN's communicators that the layers call."""

    def __init__(self, group: Any) -> None:
        self.group, self.rank, self.takes_gpu_arrays = group, distributed.get_rank(group), True
        self._first = distributed.get_global_rank(group or distributed.group.WORLD, 0)

    def allreduce(self, array: Array) -> Array:
        tensor = to_tensor(array)
        distributed.all_reduce(tensor, group=self.group)
        return to_array(tensor)

    def gather_obj(self, value: Any) -> 'list[Any] | None':
        values = [None] * distributed.get_world_size(self.group) if self.rank == 0 else None
        distributed.gather_object(value, values, self._first, self.group)
        return values

    def bcast_obj(self, value: Any) -> Any:
        values = [value]
        distributed.broadcast_object_list(values, self._first, self.group)
        return values[0]
