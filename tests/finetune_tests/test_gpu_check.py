"""What doctor says of CuPy and a GPU; on machines without one with a stand-in of NumPy."""
import contextlib
import types

from chainer.backends import cuda
from chainer.testing import attr
import numpy
import pytest

from finetune.checks import gpu
from finetune.compute.gpu_errors import explained


@pytest.fixture
def stand_in(monkeypatch):
    """NumPy as if it were CuPy, with a device; returns it to be broken."""
    cupy = types.ModuleType('cupy')
    vars(cupy).update(vars(numpy))
    cupy.__version__ = '14.0'
    cupy.cuda = types.SimpleNamespace(
        Device=lambda gpu: contextlib.nullcontext(), runtime=types.SimpleNamespace(
            getDeviceProperties=lambda gpu: {'name': b'some GPU'}))
    names = {'available': True, 'cupy': cupy, 'cudnn_enabled': True, 'to_cpu': numpy.asarray}
    monkeypatch.setattr(gpu, 'cuda', types.SimpleNamespace(**names))
    return cupy


def test_gpu_that_works(stand_in):
    assert list(gpu.check(1)) == [
        ('ok', 'CuPy 14.0, GPU 1 is some GPU'),
        ('ok', 'GPU 1 computes a kernel, a matrix product, a convolution')]


@pytest.mark.parametrize('name, what, missing', [
    ('exp', 'a kernel', 'NVRTC'), ('arange', 'a kernel', 'NVRTC')])
def test_what_is_missing(name, what, missing, stand_in):
    def broken(*arguments, **options):
        raise RuntimeError('CUDA_ERROR_NO_BINARY_FOR_GPU:\nno kernel image is available')

    setattr(stand_in, name, broken)
    (_, (level, text)) = gpu.check()
    assert level == 'error' and '\n' not in text
    assert text.startswith(f'GPU 0: {what} fails (CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel')
    assert missing in text


@pytest.mark.parametrize('what', gpu.TRIED)
def test_each_of_them_may_fail_or_be_wrong(what, stand_in, monkeypatch):
    compute, missing = gpu.TRIED[what]
    monkeypatch.setitem(gpu.TRIED, what, (
        lambda xp: compute(xp) * (1 if xp is numpy else 1.01), missing))
    assert list(gpu.check())[-1] == (
        'error', f'GPU 0: {what} gives a wrong result; CuPy, the driver or the GPU is broken')
    monkeypatch.setitem(gpu.TRIED, what, (lambda xp: 1 / 0, missing))
    level, text = list(gpu.check())[-1]
    assert level == 'error' and text.endswith(f'probably missing: {missing}')


def test_no_cudnn(stand_in):
    gpu.cuda.cudnn_enabled = False
    assert list(gpu.check())[-1][0] == 'warning'


def test_cupy_that_cannot_be_used(monkeypatch):
    monkeypatch.setattr(gpu, 'cuda', types.SimpleNamespace(
        available=False, _resolution_error=ImportError('libcublas.so.12:\ncannot open')))
    monkeypatch.setattr('importlib.util.find_spec', lambda name: object())
    assert list(gpu.check()) == [('warning', 'CuPy is installed, but cannot be used '
                                  '(libcublas.so.12: cannot open; this CuPy needs the libraries of '
                                  "another CUDA than is installed: pip install -e '.[cuda12]' "
                                  '(or cuda13) in the clone); the CPU is used')]
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert [level for level, _ in gpu.check()] == ['ok']


@pytest.mark.parametrize('message, reason, advice', [
    ('====\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: libcuda.so.1: no such file',
     'ImportError: libcuda.so.1: no such file', "install NVIDIA's driver"),
    ('libnvrtc.so.11.2: cannot open', 'libnvrtc.so.11.2: cannot open', 'another CUDA'),
    ('cudaErrorInsufficientDriver: CUDA driver version is insufficient', '', 'update the driver'),
    ('cudaErrorInvalidDevice: invalid device ordinal', '', 'there are fewer GPUs'),
    ('cudaErrorNoDevice: no CUDA-capable device is detected', '', 'nvidia-smi'),
    ('CuPy is not installed', '', "pip install -e '.[cuda12]'")])
def test_what_helps(message, reason, advice, stand_in):
    """The messages are CuPy's and CUDA's own."""
    text = explained(RuntimeError(message))
    assert text.startswith(reason) and advice in text.split(';')[1]

    def unusable(gpu):
        raise RuntimeError(message)

    stand_in.cuda.Device = unusable
    (level, finding), = gpu.check(2)
    assert level == 'warning' and finding == f'GPU 2 cannot be used ({text}); the CPU is used'


def test_two_cupys(stand_in, monkeypatch):
    names = 'cupy-cuda12x', 'cupy-cuda11x', 'numpy', 'cupyx-other'
    monkeypatch.setattr('importlib.metadata.distributions', lambda: [
        types.SimpleNamespace(metadata={'Name': name}) for name in names])
    assert list(gpu.check()) == [('error', 'cupy-cuda11x and cupy-cuda12x conflict; pip '
                                  'uninstall them all, then install one')]


@attr.gpu
def test_on_a_gpu():
    assert ('ok', 'GPU 0 computes a kernel, a matrix product, a convolution') in gpu.check()
    assert cuda.available
