"""CNNs on the CPU: Chainer's convolutions, ours by NumPy and by oneDNN, and PyTorch.

    python benchmarks/cnns.py [NETWORK ...]

Of each network a training step (forward and backward pass) with the statistics of the batch and
with given ones, as in fine-tuning, and a forward pass in test mode. PyTorch computes the same
layers with the same arrays, channels last; it is left out if the package torch is not there, as is
oneDNN. All in one process, in turns: first in one with one thread, then in one with a thread for
each core. Medians, and medians of the ratios to PyTorch.
"""
import fve_layer    # noqa: F401  (before Chainer)

import itertools
import os
from pathlib import Path
import subprocess
import sys
import time
import types
from unittest import mock

import chainer
import chainer.functions as F
import numpy
from threadpoolctl import threadpool_limits

from finetune.compute import convolution, layers, onednn
from finetune.compute.geometry import Geometry
from finetune.compute.threads import N_THREADS
from finetune.models import efficientnet_lite, inception_v3, small_cnn

try:
    import torch
except ImportError:
    torch = None

REPEATS = 5
OUTPUT = Path('results/benchmarks/cnns.md')
# Network and the images of a step: a batch of minibirds' crops, photographs, two images of
# CUB-200-2011 with four parts each.
NETWORKS = ((small_cnn.SmallCNN, (240, 3, 32, 32)),
            (efficientnet_lite.EfficientNetLite0, (16, 3, 224, 224)),
            (inception_v3.InceptionV3, (10, 3, 299, 299)))
NAMES = 'Chainer', 'NumPy', 'oneDNN', 'PyTorch'
# Whether batch normalisation is in training mode, and whether there is a backward pass.
MODES = {'step': (True, True), 'step, given statistics': (False, True), 'forward': (False, False)}


class ChainersConvolution(convolution.Convolution2D):

    """The same link, computed by Chainer's function."""

    def forward(self, x):
        return convolution.by_chainer(x, self.W, self.geometry(x.shape[2:]))


def chainer_pass(network, x, mode, link):
    """A function that runs one pass; ``link`` is the class of its convolutions."""
    train, is_step = MODES[mode]
    with mock.patch.object(layers, 'Convolution2D', link):
        model = network()

    def step():
        model.cleargrads()
        with chainer.using_config('train', train):
            F.sum(model(x)).backward()

    def forward():
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            model(x)
    return step if is_step else forward


def torch_convolution(link):
    """A module that computes a convolution, with TensorFlow's padding where the link has it."""
    o, c, *kernel = link.W.shape

    class Same(torch.nn.Conv2d):
        def forward(self, x):
            (top, bottom), (left, right) = Geometry.of(
                x.shape[2:], kernel, link.stride, link.pad).pad
            if (top, left) == (bottom, right):
                self.padding = top, left
            else:
                x = torch.nn.functional.pad(x, (left, right, top, bottom))
            return super().forward(x)

    same = link.pad == 'SAME'
    module = (Same if same else torch.nn.Conv2d)(
        c * link.groups, o, kernel, link.stride, 0 if same else link.pad, groups=link.groups,
        bias=False)
    module.weight.data = torch.from_numpy(link.W.array)
    return module


def torch_pass(network, x, mode):
    """The same network in PyTorch, by running its code on PyTorch's tensors."""
    train, is_step = MODES[mode]
    activations = {'relu': torch.nn.ReLU, 'relu6': torch.nn.ReLU6, None: torch.nn.Identity}
    model = network()
    modules = {id(link): torch.nn.Sequential(
        torch_convolution(link.conv),
        torch.nn.BatchNorm2d(len(link.bn.avg_mean), eps=link.bn.eps),
        activations[link.activation](inplace=True),
    ).to(memory_format=torch.channels_last).train(train)
        for link in model.links() if isinstance(link, layers.ConvBN)}
    x = torch.from_numpy(x).to(memory_format=torch.channels_last)
    functions = types.SimpleNamespace(concat=lambda maps: torch.cat(maps, 1))
    pools = {
        'average_pool': lambda x, _: torch.nn.functional.avg_pool2d(
            x, 3, 1, 1, count_include_pad=False),
        'max_pool': lambda x: torch.nn.functional.max_pool2d(x, 3, 2)}

    def run():
        for module in modules.values():
            module.zero_grad()
        with mock.patch.object(layers.ConvBN, 'forward', lambda link, x: modules[id(link)](x)), \
                mock.patch.multiple(inception_v3, F=functions, **pools), \
                torch.set_grad_enabled(is_step):
            y = model(x)
        if is_step:
            y.sum().backward()
    return run


def variants(network, x, mode):
    """By name: a pass, and what has to hold while it runs."""
    own = chainer_pass(network, x, mode, convolution.Convolution2D)
    yield 'Chainer', chainer_pass(network, x, mode, ChainersConvolution), (N_THREADS, False)
    yield 'NumPy', own, (1, False)
    if onednn.library() is not None and network is not small_cnn.SmallCNN:     # never uses it
        yield 'oneDNN', own, (1, True)
    if torch is not None:
        yield 'PyTorch', torch_pass(network, x, mode), (N_THREADS, False)


def seconds(run, n_threads, use_onednn):
    """Of one pass, with so many threads of BLAS."""
    limits = threadpool_limits(n_threads, user_api='blas')
    with limits, chainer.using_config('use_onednn', use_onednn):
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


def measure(names):
    """Lines of the table for the threads of this process."""
    if torch is not None:
        torch.set_num_threads(N_THREADS)
    for (network, shape), mode in itertools.product(NETWORKS, MODES):
        if not names or network.__name__ in names:
            yield line(network, shape, mode)


def line(network, shape, mode):
    x = numpy.random.RandomState(0).uniform(-1, 1, shape).astype('f')
    names, passes, conditions = zip(*variants(network, x, mode))
    times = dict(zip(names, numpy.transpose([
        [seconds(run, *condition) for run, condition in zip(passes, conditions)]
        for _ in range(REPEATS + 1)][1:])))
    cells = [f'{1000 * numpy.median(times[name]):.0f}' if name in times else '-' for name in NAMES]
    ratios = [f'{numpy.median(times[name] / times["PyTorch"]):.2f}'
              if {name, 'PyTorch'} <= set(times) else '-' for name in ('NumPy', 'oneDNN')]
    title = f'{network.__name__}, {len(x)} x {shape[2]} pixels, {mode}'
    return f'| {title} | {N_THREADS} | ' + ' | '.join(cells + ratios) + ' |'


def main():
    lines = ['| | threads | Chainer, ms | NumPy | oneDNN | PyTorch | NumPy / PyTorch '
             '| oneDNN / PyTorch |', '|---' * 8 + '|']
    for n_threads in sorted({1, os.cpu_count()}):
        environment = {**os.environ, 'OMP_NUM_THREADS': str(n_threads)}
        lines += subprocess.run(
            [sys.executable, __file__, '--measure', *sys.argv[1:]], check=True,
            stdout=subprocess.PIPE, text=True, env=environment).stdout.splitlines()
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


if __name__ == '__main__':
    if sys.argv[1:2] == ['--measure']:
        print(*measure(sys.argv[2:]), sep='\n', flush=True)
    else:
        main()
