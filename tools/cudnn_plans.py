"""Asks cuDNN, on a machine without a GPU, whether it can compute the networks' convolutions.

    pip install nvidia-cudnn-frontend nvidia-cudnn-cu12 nvidia-cuda-nvrtc-cu12    # 0.8 GB
    python tools/cudnn_plans.py

The graphs are those of finetune.compute.cudnn, for an H100 that is described to cuDNN; nothing is
computed. In place of CUDA's driver and runtime, a C compiler makes libraries of the functions that
are asked for. The exit code is 1 if a convolution has no plan.
"""
import ctypes
import itertools
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time

import numpy

from finetune.compute import cudnn
from finetune.compute.convolution import Convolution2D
from finetune.models.efficientnet_lite import EfficientNetLite0
from finetune.models.inception_v3 import InceptionV3
from finetune.models.small_cnn import SmallCNN
import chainer     # after finetune, which makes it importable

NETWORKS = ((InceptionV3, (16, 3, 299, 299)), (EfficientNetLite0, (16, 3, 224, 224)),
            (SmallCNN, (16, 3, 96, 96)))
H100 = {
    'deviceName': 'NVIDIA H100 80GB HBM3', 'deviceVersion': 900, 'deviceVer': 900, 'smVersion': 900,
    'driverVersion': 12080, 'driverVer': 12080, 'cudaDeviceId': 0, 'totalGlobalMem': 85029158912,
    'maxGridSize': [2147483647, 65535, 65535], 'maxBlockSize': [1024, 1024, 64],
    'multiProcessorCount': 132, 'smCountOrigin': 0, 'regsPerBlock': 65536, 'warpSize': 32,
    'maxRegistersPerSM': 65536, 'maxCtasPerSM': 32, 'maxThreadsPerBlock': 1024,
    'maxThreadsPerSM': 2048, 'maxSharedMemoryPerBlock': 49152, 'pciDeviceId': 0x2330,
    'maxSharedMemoryPerBlockOptin': 232448, 'oversizedSharedMemoryPerBlock': 0,
    'reservedSharedMemoryPerBlock': 1024, 'isTccDriver': 0, 'supportCoopLaunch': 1,
    'smClockRateKHz': 1980000, 'memClockRateKHz': 2619000, 'memoryBusWidth': 5120,
    'l2CacheSize': 52428800}
# Versions, and the current device with its number of processors and compute capability.
RUNTIME = """
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 12090; return 0; }
const char *cudaGetErrorString(int error) { return "no GPU"; }
int cudaGetLastError(void) { return 0; }
int cudaDeviceGetAttribute(int *value, int attribute, int device)
{ *value = attribute == 16 ? 132 : attribute == 75 ? 9 : 0; return 0; }
"""
DRIVER = '\n'.join(f'int {name}(void) {{ return 100; }}' for name in (
    'cuInit', 'cuGetErrorString', 'cuGetProcAddress', 'cuModuleLoadData', 'cuModuleUnload',
    'cuModuleGetFunction', 'cuFuncSetAttribute', 'cuLaunchKernelEx', 'cuTensorMapEncodeTiled',
    'cuTensorMapEncodeIm2col', 'cuLaunchKernel', 'cuDriverGetVersion', 'cuCtxGetCurrent'))


def load(name, source, folder):
    """A library of that name, found by all that ask for it later."""
    library = Path(folder, name)
    subprocess.run(['cc', '-shared', '-fPIC', '-w', '-x', 'c', '-', '-o', str(library),
                    f'-Wl,-soname,{name}'], input=source, text=True, check=True)
    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


def shapes(network, shape):
    """Shapes and geometries of all convolutions of a network."""
    found, forward = set(), Convolution2D.forward

    def record(link, x):
        found.add((shape[0], *x.shape[1:], link.W.shape, link.geometry(x.shape[2:])))
        return forward(link, x)

    Convolution2D.forward = record
    try:
        with chainer.using_config('train', False), chainer.no_backprop_mode(), \
                chainer.using_config('use_onednn', False):      # which calls no link
            network()(numpy.zeros((1, *shape[1:]), 'f'))
    finally:
        Convolution2D.forward = forward
    return sorted(found)


def main():
    with tempfile.TemporaryDirectory() as folder:
        load('libcuda.so.1', DRIVER, folder)
        load('libcudart.so.12', RUNTIME, folder)
        if cudnn.frontend() is None:
            sys.exit('the packages of the first line above are not installed')
        device = cudnn.frontend().create_device_properties(json.dumps(H100))
        print(f'cuDNN {cudnn.frontend().backend_version()}\n')
        return 1 if ask(device) else 0


def ask(device):
    """Prints a table; returns the number of convolutions without a plan."""
    n_failed = 0
    print('| network | type | deterministic | TF32 | convolutions | plans | workspace, MiB | s |\n'
          '|---|---|---|---|---|---|---|---|')
    for (network, shape), dtype, deterministic, tf32 in itertools.product(
            NETWORKS, cudnn.DTYPES, (False, True), (False, True)):
        if tf32 and dtype != 'float32':
            continue
        started, convolutions, workspaces = time.monotonic(), shapes(network, shape), []
        for *x_shape, weight_shape, geometry in convolutions:
            try:
                operation = cudnn.ConvolutionPlans(tuple(x_shape), weight_shape, dtype, geometry,
                                                   deterministic, tf32, device_property=device)
            except (RuntimeError, cudnn.frontend().cudnnGraphNotSupportedError) as error:
                n_failed += 1
                print(x_shape, weight_shape, geometry, str(error)[:200])
                continue
            workspaces += [graph.get_workspace_size() for graph, *_ in operation.plans.values()]
        print(f'| {network.__name__} | {dtype} | {deterministic} | {tf32} | {len(convolutions)} | '
              f'{len(workspaces)} of {3 * len(convolutions)} | '
              f'{max(workspaces, default=0) / 2 ** 20:.0f} | {time.monotonic() - started:.0f} |',
              flush=True)
    return n_failed


if __name__ == '__main__':
    sys.exit(main())
