"""Files of weights of other programs."""
from pathlib import Path
import resource
import zipfile

import h5py
import numpy
import safetensors.numpy

from common import command, damaged, problem_of

OF_TORCH = Path(__file__).resolve().parents[2] / 'tests/finetune_tests'
N, MAX_KILOBYTES = 500, 2 ** 20     # damages of each format, memory that reading may need


def weights(random):
    """Damaged weights of other programs, by convert: a sentence, within a second and a gigabyte."""
    for path in _files():
        content, damaged_file = path.read_bytes(), Path(f'damaged_{path.name}')
        for _ in range(N):
            damaged_file.write_bytes(damaged(content, random))
            code, error = command('convert', damaged_file, 'out.npz')
            problem = problem_of(code, error)
            yield problem and f'{path.name}: {problem}'
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    yield f'{largest} kilobytes of memory' if largest > MAX_KILOBYTES else None


def _files():
    """A small file of each format, with names that no network has, so that nothing is written."""
    arrays = {f'layer_{i}.weight': numpy.arange(12, dtype='f').reshape(3, 4) for i in range(5)}
    safetensors.numpy.save_file(arrays, 'x.safetensors')
    with h5py.File('x.h5', 'w') as file:
        for name, array in arrays.items():
            file[f'model_weights/{name}/kernel:0'] = array
    numpy.savez_compressed('x.npz', **arrays)
    with zipfile.ZipFile('x.npz.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.write('x.npz')
    return (OF_TORCH / 'torch_zip.pth', OF_TORCH / 'torch_legacy.pth', Path('x.safetensors'),
            Path('x.h5'), Path('x.npz'), Path('x.npz.zip'))
