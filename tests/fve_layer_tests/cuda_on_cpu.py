"""Runs ``kernels.cu`` without a GPU: compiled as C++, the threads of a block are threads."""
from concurrent import futures
import ctypes
from pathlib import Path
import shutil
import subprocess

import numpy

from fve_layer import kernels

CUDA = '''
#include <cmath>
#include <pthread.h>
#define __global__
#define __device__ static
#define __shared__
struct Place { int x, y, z; };
static thread_local Place threadIdx, blockIdx, blockDim;
extern "C" double shared[6144];
double shared[6144];

static double exchanged[LANES];
static pthread_barrier_t barrier;
extern "C" void start() { pthread_barrier_init(&barrier, 0, LANES); }
extern "C" void place(Place thread, Place block, Place dim) {
    threadIdx = thread; blockIdx = block; blockDim = dim;
}
static double __shfl_xor_sync(unsigned, double value, int distance) {
    exchanged[threadIdx.x] = value;
    pthread_barrier_wait(&barrier);
    value = exchanged[threadIdx.x ^ distance];
    pthread_barrier_wait(&barrier);
    return value;
}
'''


class Place(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_int) for axis in 'xyz']

    @classmethod
    def of(cls, numbers):
        return cls(*numbers, *(1,) * (3 - len(numbers)))


def compiler():
    """A C++ compiler, or ``None``."""
    return shutil.which('c++') or shutil.which('g++')


class Kernels:

    """Stands in for the modules that CuPy would compile; remembers every launch."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.libraries = {}
        self.launches = []

    def function(self, name, char):
        if char not in self.libraries:
            self.libraries[char] = self._compile(char)
        library = self.libraries[char]
        return lambda *launch, **options: self._run(library, name, *launch, **options)

    def _compile(self, char):
        source, library = self.folder / f'{char}.cc', self.folder / f'{char}.so'
        cuda = Path(kernels.__file__).with_suffix('.cu').read_text(encoding='utf-8')
        source.write_text(CUDA + cuda, encoding='utf-8')
        subprocess.run([compiler(), *kernels.definitions(char), '-O1', '-shared', '-fPIC',
                        '-pthread', '-o', library, source], check=True)
        library = ctypes.CDLL(str(library))
        library.start()
        return library

    def _run(self, library, name, grid, block, arguments, shared_mem):
        self.launches.append((name, grid, block, shared_mem))
        arguments = [_argument(a) for a in arguments]
        kernel = getattr(library, name)

        def lane(x):
            for index in numpy.ndindex(grid):
                for y in range(1 if len(block) == 1 else block[1]):
                    library.place(Place(x, y, 0), Place.of(index), Place.of(block))
                    kernel(*arguments)

        with futures.ThreadPoolExecutor(block[0]) as threads:
            list(threads.map(lane, range(block[0])))


def _argument(value):
    if isinstance(value, numpy.ndarray):
        assert value.flags.c_contiguous
        return value.ctypes.data_as(ctypes.c_void_p)
    assert isinstance(value, (float, numpy.int32))
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int(int(value))
