"""Files in the format of safetensors, by the package of this name."""
from pathlib import Path

import numpy

from finetune.errors import InputError
from finetune.weights.formats import OtherContent
from finetune.weights.formats.numbers import from_bfloat16

TYPES = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'BF16': '<u2', 'I64': '<i8', 'I32': '<i4',
         'I16': '<i2', 'I8': 'i1', 'U8': 'u1', 'BOOL': '?'}


def read(path: str | Path) -> dict[str, numpy.ndarray]:
    """Reads the arrays by name; bfloat16 becomes float32."""
    try:
        import safetensors
    except ImportError:
        raise InputError(f'{path}: is a safetensors file; pip install safetensors to read it.')
    entries = safetensors.deserialize(Path(path).read_bytes())
    return {name: _array(entry) for name, entry in entries}


def _array(entry):
    if entry['dtype'] not in TYPES:
        raise OtherContent(f'has numbers of type {entry["dtype"]}, which are not read; save them '
                           'as float32')
    array = numpy.frombuffer(entry['data'], TYPES[entry['dtype']]).reshape(entry['shape'])
    return from_bfloat16(array) if entry['dtype'] == 'BF16' else array
