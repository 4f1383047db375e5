"""Files of torch.save, ``.pth``, in both formats, without torch and without calling anything."""
from collections.abc import Callable, Iterable
import io
import math
from pathlib import Path
from typing import IO, NamedTuple
import zipfile

import numpy

from finetune.weights.formats import opcodes, OtherContent
from finetune.weights.formats.numbers import from_bfloat16

MAGIC = 0x1950a86a20f9469cfc6c      # first pickle of the older format
LEGACY = b'\x80'                    # opcode of the pickle's version, with which that format starts
# Types of numbers by the storage's name; those of bfloat16 are bits.
TYPES = {'Float': '<f4', 'Double': '<f8', 'Half': '<f2', 'BFloat16': '<u2', 'Long': '<i8',
         'Int': '<i4', 'Short': '<i2', 'Char': 'i1', 'Byte': 'u1', 'Bool': '?'}
CLASSES = {f'torch.{device}{name}Storage' for device in ('', 'cuda.') for name in TYPES}
CLASSES |= {'torch.float32', 'torch.float16', 'torch.bfloat16'}      # settings of scripts
# Where a training script keeps the weights among other things, averaged ones first.
NESTED = ('state_dict_ema', 'model_ema', 'ema', 'state_dict', 'model_state_dict', 'model_state',
          'model', 'net', 'network', 'weights', 'params')


class Storage(NamedTuple):
    """A sequence of numbers outside the pickle."""

    key: str
    type: str       # of TYPES
    size: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def listing_of(names: Iterable[str]) -> str:
    """The file that describes the tensors, among the files of an archive; empty: none."""
    return next((name for name in names if name.split('/')[1:] == ['data.pkl']), '')


def read_zip(path: str | Path) -> dict[str, numpy.ndarray]:
    """Reads the tensors of a state_dict by name from the format of torch 1.6 and later."""
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        listing = listing_of(sizes)
        folder = listing[:-len('data.pkl')]
        if f'{folder}constants.pkl' in sizes:
            raise OtherContent('is a program of TorchScript; save the state_dict of the network')
        # torch never compresses, so that a small file cannot grow.
        if sum(sizes.values()) > Path(path).stat().st_size:
            raise ValueError('it is compressed')
        if sizes.get(f'{folder}byteorder') and archive.read(f'{folder}byteorder') != b'little':
            raise ValueError('it comes from a machine of another byte order')
        tensors = _tensors(_load(io.BytesIO(archive.read(listing))))
        storages = {}
        for storage in {tensor.storage for tensor in tensors.values()}:
            name = f'{folder}data/{storage.key}'
            if sizes[name] != storage.size * numpy.dtype(TYPES[storage.type]).itemsize:
                raise ValueError(f'storage {storage.key} has another size than announced')
            storages[storage] = _numbers(storage, archive.read(name))
    return _views(tensors, storages)


def read_legacy(path: str | Path) -> dict[str, numpy.ndarray]:
    """Reads the tensors of a state_dict by name from the format before torch 1.6."""
    content = Path(path).read_bytes()
    file = io.BytesIO(content)
    found: list[Storage] = []
    if _load(file) != MAGIC:
        raise OtherContent('is a pickle, but not of torch.save; get weights in a format of '
                           'docs/data.md')
    _, system, value, keys = (_load(file, found) for _ in range(4))
    if not system['little_endian']:
        raise ValueError('it comes from a machine of another byte order')
    by_key = {storage.key: storage for storage in found}
    storages, position = {}, file.tell()
    for key in keys:
        storage = by_key[key]
        size, = numpy.frombuffer(content, '<i8', 1, position)
        if size != storage.size:
            raise ValueError(f'storage {key} has another size than announced')
        storages[storage] = _numbers(storage, content, position + 8)
        position += 8 + size.item() * numpy.dtype(TYPES[storage.type]).itemsize
    return _views(_tensors(value), storages)


def _load(file: IO[bytes], found: list | None = None):
    """One pickle; the storages that it refers to are added to ``found``."""
    def persistent(identifier):
        kind, name, key, _, size, *view = identifier
        if kind != 'storage' or not isinstance(key, str) or type(size) is not int or size < 0:
            raise ValueError('it refers to something other than numbers')
        if any(part is not None for part in view):
            raise ValueError('it has views of storages')
        storage = Storage(key, name.text.split('.')[-1][:-len('Storage')], size)
        if found is not None:
            found.append(storage)
        return storage
    return opcodes.load(file, FUNCTIONS, CLASSES, persistent)


def _tensor(storage, offset, shape, strides, *_):
    numbers = offset, *shape, *strides
    if not isinstance(storage, Storage) or len(shape) != len(strides) or any(
            type(number) is not int or number < 0 for number in numbers):
        raise ValueError('a tensor has an impossible shape')
    end = offset + sum((n - 1) * stride for n, stride in zip(shape, strides)) + 1
    # Strides of 0 could make a small storage large.
    if math.prod(shape) > storage.size or (math.prod(shape) and end > storage.size):
        raise ValueError('a tensor is larger than its storage')
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor, *_):
    return tensor


def _ordered_dict(items=()):
    # Python 2 wrote the items here, Python 3 writes them afterwards.
    return {key: value for key, value in items if isinstance(key, (str, int, float))}


# What training scripts keep beside the weights, which is left out.
BESIDE = ('numpy.dtype', 'numpy.ndarray', '_codecs.encode', 'argparse.Namespace', 'torch.Size',
          'torch.device', 'datetime.timedelta',
          *(f'{module}.{name}' for module in ('builtins', '__builtin__')
            for name in ('set', 'list', 'dict', 'int', 'long', 'float')),
          *(f'{module}.multiarray.{name}' for module in ('numpy.core', 'numpy._core')
            for name in ('scalar', '_reconstruct')),
          *(f'{module}.{system}Path' for module in ('pathlib', 'pathlib._local')
            for system in ('Posix', 'Windows')))
DICTS = ('collections.defaultdict', 'lightning_fabric.utilities.data.AttributeDict',
         'lightning.fabric.utilities.data.AttributeDict',
         'pytorch_lightning.utilities.parsing.AttributeDict')
FUNCTIONS: dict[str, Callable] = {
    'collections.OrderedDict': _ordered_dict,
    'torch._utils._rebuild_tensor': _tensor, 'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_parameter': _parameter, **dict.fromkeys(BESIDE, lambda *_: None),
    **dict.fromkeys(DICTS, lambda *_: {})}


def _tensors(value):
    """The tensors of a state_dict by name, wherever a training script keeps it."""
    for _ in range(2):      # such as the state_dict of the model
        if isinstance(value, dict):
            value = next((value[name] for name in NESTED if isinstance(value.get(name), dict)),
                         value)
    found = {name: tensor for name, tensor in value.items()
             if isinstance(name, str) and isinstance(tensor, Tensor)} if isinstance(
                 value, dict) else {}
    if not found:
        raise OtherContent('has no tensors with names; save the state_dict of the network')
    return found


def _numbers(storage, content, position=0):
    if storage.size == 0:
        return numpy.zeros(0, TYPES[storage.type])
    numbers = numpy.frombuffer(content, TYPES[storage.type], storage.size, position)
    if storage.type == 'BFloat16':
        return from_bfloat16(numbers)
    return numbers


def _views(tensors, storages):
    arrays = {}
    for name, (storage, offset, shape, strides) in tensors.items():
        numbers = storages[storage]
        arrays[name] = numpy.lib.stride_tricks.as_strided(
            numbers[offset:], shape, [stride * numbers.itemsize for stride in strides],
            writeable=False) if math.prod(shape) else numpy.zeros(shape, numbers.dtype)
    return arrays
