"""Checks whether a GPU can be used and computes correctly."""
import importlib.metadata
import importlib.util
import re

from chainer.backends import cuda
import numpy

from finetune.compute import cudnn
from finetune.compute.convolution import convolution_2d
from finetune.compute.gpu_errors import explained
from finetune.errors import shortened

TOLERANCE = 1e-3        # relative; GPUs may round to TF32


def _kernel(xp):
    return xp.exp(xp.arange(6, dtype=xp.float32) / 6)


def _product(xp):
    x = xp.arange(64, dtype=xp.float32).reshape(8, 8) / 64
    return x @ x.T


def _convolution(xp):
    x = xp.arange(200, dtype=xp.float32).reshape(2, 4, 5, 5) / 200
    return convolution_2d(x, x[:, :, :3, :3]).array


# Computations that are tried in turn, and what is probably missing if they fail.
TRIED = {
    'a kernel': (_kernel, "CUDA's compiler (NVRTC) or headers, or a CuPy that supports this GPU"),
    'a matrix product': (_product, 'cuBLAS'),
    'a convolution': (_convolution, 'cuDNN, if this CuPy uses it'),
}


def _installed():
    """Names of the installed CuPy packages."""
    names = {dist.metadata['Name'] or '' for dist in importlib.metadata.distributions()}
    return sorted(name for name in names if re.fullmatch('cupy(-cuda.*|-rocm.*)?', name))


def check(gpu=0):
    """Yields findings, level and text, about CuPy and a GPU."""
    packages = _installed()
    if len(packages) > 1:
        yield 'error', (f'{" and ".join(packages)} conflict; pip uninstall them all, then install '
                        'one')
        return
    if not cuda.available:
        if importlib.util.find_spec('cupy') is None:
            yield 'ok', ("no GPU in use; to use one, pip install -e '.[cuda12]' (or cuda13) in the "
                         'clone and give --gpu 0')
        else:
            yield 'warning', (f'CuPy is installed, but cannot be used '
                              f'({explained(cuda._resolution_error)}); the CPU is used')
        return
    try:
        device = cuda.cupy.cuda.Device(gpu)
        name = cuda.cupy.cuda.runtime.getDeviceProperties(gpu)['name'].decode()
    except Exception as error:      # CuPy's own, which cannot be named without CuPy
        yield 'warning', f'GPU {gpu} cannot be used ({explained(error)}); the CPU is used'
        return
    yield 'ok', f'CuPy {cuda.cupy.__version__}, GPU {gpu} is {name}'
    with device:
        yield from _tries(gpu)
    if not cuda.cudnn_enabled and cudnn.frontend() is None:
        yield 'warning', ("no cuDNN: convolutions are slower; pip install -e '.[cudnn]' in the "
                          'clone')


def _tries(gpu):
    for what, (compute, missing) in TRIED.items():
        try:
            result = cuda.to_cpu(compute(cuda.cupy))
        except Exception as error:      # CuPy and CUDA's libraries each raise their own
            yield 'error', (f'GPU {gpu}: {what} fails ({shortened(str(error))}); probably missing: '
                            f'{missing}')
            return
        if not numpy.allclose(result, compute(numpy), rtol=TOLERANCE):
            yield 'error', (f'GPU {gpu}: {what} gives a wrong result; CuPy, the driver or the GPU '
                            'is broken')
            return
    yield 'ok', f'GPU {gpu} computes {", ".join(TRIED)}'
