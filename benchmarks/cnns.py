"""A forward and backward pass of the CNNs on the CPU: Chainer's links, ours, oneDNN and PyTorch.

    python benchmarks/cnns.py

PyTorch computes the same layers with the same arrays, channels last; it is left out if the package
torch is not there, as is oneDNN without the extra onednn. All in one process, in turns: first in
one with one thread, then in one with a thread for each core. Medians, and ratios to PyTorch.
"""
import fve_layer    # noqa: F401  (before Chainer)

import os
from pathlib import Path
import subprocess
import sys
import time
import types
from unittest import mock

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
from threadpoolctl import threadpool_limits

from finetune.compute import layers, onednn
from finetune.compute.threads import N_THREADS
from finetune.models import inception_v3, small_cnn

try:
    import torch
except ImportError:
    torch = None

REPEATS = 5
OUTPUT = Path('results/benchmarks/cnns.md')
# Network and the images of a step: a batch of minibirds' crops, two images of CUB-200-2011 with
# four parts each.
NETWORKS = ((small_cnn.SmallCNN, (240, 3, 32, 32)), (inception_v3.InceptionV3, (10, 3, 299, 299)))


def chainer_step(network, x, links):
    """A function that runs one pass; ``links`` is the class of its convolutions."""
    with mock.patch.object(layers, 'Convolution2D', links):
        model = network()

    def step():
        model.cleargrads()
        y = model(x)
        F.sum(y).backward()
        return y.array
    return step


def torch_step(network, x):
    """The same network in PyTorch, by running its code on PyTorch's tensors."""
    model, modules = network(), {}
    for link in model.links():
        if isinstance(link, layers.ConvBN):
            conv = torch.nn.Conv2d(*link.conv.W.shape[1::-1], link.conv.W.shape[2:],
                                   link.conv.stride, link.conv.pad, bias=False)
            conv.weight.data = torch.from_numpy(link.conv.W.array)
            modules[id(link)] = torch.nn.Sequential(
                conv, torch.nn.BatchNorm2d(len(link.bn.avg_mean), eps=link.bn.eps),
                torch.nn.ReLU(inplace=True)).to(memory_format=torch.channels_last)
    x = torch.from_numpy(x).to(memory_format=torch.channels_last)
    functions = types.SimpleNamespace(concat=lambda maps: torch.cat(maps, 1))
    pools = {
        'average_pool': lambda x, _: torch.nn.functional.avg_pool2d(
            x, 3, 1, 1, count_include_pad=False),
        'max_pool': lambda x: torch.nn.functional.max_pool2d(x, 3, 2)}

    def step():
        for module in modules.values():
            module.zero_grad()
        with mock.patch.object(layers.ConvBN, 'forward', lambda link, x: modules[id(link)](x)), \
                mock.patch.multiple(inception_v3, F=functions, **pools):
            y = model(x)
        y.sum().backward()
        return y.detach().numpy()
    return step


def variants(network, x):
    """By name: a step, and what has to hold while it runs."""
    own = chainer_step(network, x, layers.Convolution2D)
    yield 'Chainer', chainer_step(network, x, L.Convolution2D), (N_THREADS, False)
    yield 'ours', own, (1, False)
    if onednn.library() is not None:
        yield 'oneDNN', own, (1, True)
    if torch is not None:
        yield 'PyTorch', torch_step(network, x), (N_THREADS, False)


def seconds(step, n_threads, use_onednn):
    """Of one pass, with so many threads of BLAS."""
    limits = threadpool_limits(n_threads, user_api='blas')
    with limits, chainer.using_config('use_onednn', use_onednn):
        start = time.perf_counter()
        step()
        return time.perf_counter() - start


def measure():
    """Lines of the table for the threads of this process."""
    if torch is not None:
        torch.set_num_threads(N_THREADS)
    for network, shape in NETWORKS:
        x = numpy.random.RandomState(0).uniform(-1, 1, shape).astype('f')
        names, steps, conditions = zip(*variants(network, x))
        times = [[seconds(step, *condition) for step, condition in zip(steps, conditions)]
                 for _ in range(REPEATS + 1)]
        median = dict(zip(names, 1000 * numpy.median(times[1:], axis=0)))
        cells = [f'{median[name]:.0f}' if name in median else '-'
                 for name in ('Chainer', 'ours', 'oneDNN', 'PyTorch')]
        ratios = [f'{median[name] / median["PyTorch"]:.2f}' if {name, 'PyTorch'} <= set(median)
                  else '-' for name in ('ours', 'oneDNN')]
        title = f'{network.__name__}, {len(x)} x {shape[2]} pixels'
        yield f'| {title} | {N_THREADS} | ' + ' | '.join(cells + ratios) + ' |'


def main():
    lines = ['| | threads | Chainer, ms | ours | oneDNN | PyTorch | ours / PyTorch '
             '| oneDNN / PyTorch |', '|---' * 8 + '|']
    for n_threads in sorted({1, os.cpu_count()}):
        lines += subprocess.run(
            [sys.executable, __file__, '--measure'], check=True, stdout=subprocess.PIPE, text=True,
            env={**os.environ, 'OMP_NUM_THREADS': str(n_threads)}).stdout.splitlines()
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


if __name__ == '__main__':
    if '--measure' in sys.argv:
        print(*measure(), sep='\n')
    else:
        main()
