"""Whether a GPU can be used, and computes what training needs."""
import importlib.metadata
import importlib.util
import re

from chainer.backends import cuda
import numpy

from finetune.compute import cudnn
from finetune.compute.convolution import convolution_2d
from finetune.compute.gpu_errors import explained
from finetune.errors import shortened

TOLERANCE = 1e-3        # relative; a GPU may round to TF32


def _kernel(xp):
    return xp.exp(xp.arange(6, dtype=xp.float32) / 6)


def _product(xp):
    x = xp.arange(64, dtype=xp.float32).reshape(8, 8) / 64
    return x @ x.T


def _convolution(xp):
    x = xp.arange(200, dtype=xp.float32).reshape(2, 4, 5, 5) / 200
    return convolution_2d(x, x[:, :, :3, :3]).array


# What is tried in turn, and what is probably missing if it fails.
TRIED = {
    'a kernel': (_kernel, "CUDA's compiler (NVRTC) or headers, or a CuPy that knows this GPU"),
    'a product of matrices': (_product, 'cuBLAS'),
    'a convolution': (_convolution, 'cuDNN, if this CuPy uses it'),
}


def _installed():
    """Names of the packages with CuPy."""
    names = {dist.metadata['Name'] or '' for dist in importlib.metadata.distributions()}
    return sorted(name for name in names if re.fullmatch('cupy(-cuda.*|-rocm.*)?', name))


def check(gpu=0):
    """Findings about CuPy and a GPU, for ``doctor``.

    Args:
        gpu (int): Its id.

    Yields:
        tuple: Level and text.

    """
    packages = _installed()
    if len(packages) > 1:
        yield 'error', (f'{" and ".join(packages)} hide one another; pip uninstall them all, then '
                        'install one')
        return
    if not cuda.available:
        if importlib.util.find_spec('cupy') is None:
            yield 'ok', ("no GPU in use; with one, pip install -e '.[cuda12]' (or cuda13) in the "
                         'clone and give --gpu 0')
        else:
            yield 'warning', (f'CuPy is installed, but cannot be used '
                              f'({explained(cuda._resolution_error)}); a CPU is used')
        return
    try:
        device = cuda.cupy.cuda.Device(gpu)
        name = cuda.cupy.cuda.runtime.getDeviceProperties(gpu)['name'].decode()
    except Exception as error:      # CuPy's own, which cannot be named without CuPy
        yield 'warning', f'GPU {gpu} cannot be used ({explained(error)}); a CPU is used'
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
            yield 'error', (f'GPU {gpu}: {what} fails ({shortened(str(error))}); what is missing '
                            f'is probably {missing}')
            return
        if not numpy.allclose(result, compute(numpy), rtol=TOLERANCE):
            yield 'error', (f'GPU {gpu}: {what} has a wrong result; CuPy, the driver or the GPU is '
                            'broken')
            return
    yield 'ok', f'GPU {gpu} computes {", ".join(TRIED)}'
