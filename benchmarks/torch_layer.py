"""Time and memory of the layer for PyTorch beside other ways to the same numbers.

    python benchmarks/torch_layer.py            # some minutes; needs PyTorch and scikit-image

One thread, float32, everything in one run, in turns; medians of the process's CPU time, which other
programs hardly change. Writes ``torch_layer.md`` into ``results/benchmarks``. All but the Chainer
link are modules of PyTorch that update the same mixture by EM in a step. Memory is the growth of
the process's peak in a step, in a process of its own.
"""
import fve_layer    # (before Chainer)

import argparse
import functools
import multiprocessing
from pathlib import Path
import re
import time

import chainer
from layer import Case, FORWARD, ours, STEP
import numpy
from threadpoolctl import threadpool_limits
import torch

from fve_layer.torch import copy_state, FVELayer

OUTPUT = Path('results/benchmarks/torch_layer.md')
SHAPES = [(24, 256, 2048, 1), (24, 256, 2048, 5), (24, 256, 2048, 10), (24, 960, 256, 10)]
EINSUM_LIMIT = 2 ** 27      # values in one of its arrays (N, T, K, D)
MODES = FORWARD, STEP
REPEATS, OF_WRAPPERS = 9, 41     # the module and the link differ by a few per cent


class Autograd(torch.nn.Module):

    """The same mixture, EM and Fisher vector, with automatic differentiation.

    Args:
        case (Case): Features and mixture.
        sums (function): Takes features (N, T, D), means, variances (K, D) and log weights (K,);
            returns responsibilities (N, T, K) and their sums with x and x^2, each (N, K, D).

    """

    def __init__(self, case, sums):
        super().__init__()
        for name in 'mean', 'var', 'weight':
            self.register_buffer(name, torch.from_numpy(getattr(case, name)).clone())
        self.sums = sums

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                resp, s1, s2 = (a.sum(0) for a in self.sums(x, self.mean, self.var,
                                                            self.weight.log()))
                s0 = resp.sum(0)
                mean = s1 / s0[:, None]
                var = (s2 / s0[:, None] - mean ** 2).clamp(min=1e-3)
                for old, new in ((self.mean, mean), (self.var, var), (self.weight, s0 / s0.sum())):
                    old.lerp_(new, .1)
        resp, s1, s2 = self.sums(x, self.mean, self.var, self.weight.log())
        s0, sigma = resp.sum(1)[..., None], self.var.sqrt()
        mean_part = (s1 - self.mean * s0) / sigma
        sigma_part = (s2 - 2 * self.mean * s1 + self.mean ** 2 * s0) / self.var - s0
        scale = (x.shape[1] * self.weight[:, None]).rsqrt()
        return torch.stack((mean_part * scale, sigma_part * scale / 2 ** .5), 1).flatten(1)


def products(x, mean, var, log_weight):
    """Matrix products alone."""
    constant = log_weight - .5 * (var.log() + mean ** 2 / var).sum(1)
    resp = torch.softmax(x @ (mean / var).T - .5 * (x * x) @ (1 / var).T + constant, 2)
    return resp, resp.transpose(1, 2) @ x, resp.transpose(1, 2) @ (x * x)


def einsums(x, mean, var, log_weight):
    """The equations as they stand, with arrays (N, T, K, D)."""
    z = (x[:, :, None] - mean) / var.sqrt()
    resp = torch.softmax(log_weight - .5 * var.log().sum(1) - .5 * (z * z).sum(3), 2)
    s1, s2 = (torch.einsum('ntk,ntkd->nkd', resp, a[:, :, None].expand_as(z))
              for a in (x, x * x))
    return resp, s1, s2


def of_module(module, case):
    x, gfv = torch.from_numpy(case.x), torch.from_numpy(case.gfv)

    def run(mode):
        module.train(mode == STEP)
        features = x.detach().requires_grad_(mode == STEP)      # shares memory
        fv = module(features)
        if mode == STEP:
            fv.backward(gfv)
        return fv, features.grad
    return run


def peers(case):
    """Functions of a mode, by name."""
    layer = FVELayer(case.x.shape[2], len(case.mean), seed=0)
    link = fve_layer.FVELayer(case.x.shape[2], len(case.mean), seed=0)
    link.mean, link.var, link.weight = case.mean, case.var, case.weight
    copy_state(link, layer)
    layer.n_updates += 1000
    found = {'FVELayer, PyTorch': of_module(layer, case), 'FVELayer, Chainer': ours(case)[STEP],
             'matrix products, autograd': of_module(Autograd(case, products), case)}
    if case.x.size * len(case.mean) <= EINSUM_LIMIT:
        found['einsum, autograd'] = of_module(Autograd(case, einsums), case)
    return found


def check(case):
    """All of PyTorch give the same Fisher vectors and gradients."""
    expected, *others = (run(STEP) for name, run in peers(case).items() if 'Chainer' not in name)
    for other in others:
        for a, b in zip(expected, other):
            error = (a - b).abs().max() / a.abs().max()
            assert error < 1e-2, error


def median_times(runs, repeats):
    """Seconds of CPU time of each of some functions, which take turns."""
    times = numpy.empty((repeats, len(runs)))
    for row in times:
        for i, run in enumerate(runs):
            run()       # so that all find their own memory in the caches and in the allocator
            start = time.process_time()
            run()
            row[i] = time.process_time() - start
    return numpy.median(times, axis=0)


def memory_of(shape, name):
    """Growth of a new process's peak memory in a step, as a multiple of the input's."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(_growth, (shape, name))


def _growth(shape, name):
    torch.set_num_threads(1)
    peers(Case(2, 8, *shape[2:]))[name](STEP)       # what is needed once
    case = Case(*shape)
    run = peers(case)[name]
    Path('/proc/self/clear_refs').write_text('5')       # the peak becomes what there is now
    before = _peak()
    run(STEP)
    return (_peak() - before) / case.x.nbytes


def _peak():
    """Peak resident memory of this process in bytes (Linux)."""
    return 1024 * int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1])


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    chainer.global_config.dtype = numpy.float32
    check(Case(4, 64, 32, 3))
    rows = []
    with threadpool_limits(1):
        for shape in SHAPES:
            case = Case(*shape)
            runs = peers(case)
            for mode in MODES:
                calls = [functools.partial(run, mode) for run in runs.values()]
                module, link = median_times(calls[:2], OF_WRAPPERS)
                own, *others = median_times([calls[0], *calls[2:]], REPEATS)
                ratios = [link / module, *(other / own for other in others)]
                rows.append([', '.join(map(str, shape)), mode, f'{1000 * module:.1f}',
                             *(f'{ratio:.2f}' for ratio in ratios)])
            memory = {name: memory_of(shape, name) for name in runs}
            rows.append([', '.join(map(str, shape)), 'memory of a step / x',
                         *(f'{value:.1f}' for value in memory.values())])
            print(*rows[-3:], sep='\n', flush=True)
    header = ['N, T, D, K', 'mode', 'FVELayer, PyTorch: ms', 'FVELayer, Chainer: times',
              'matrix products: times', 'einsum: times']
    lines = ['| ' + ' | '.join(header) + ' |', '|---' * len(header) + '|']
    lines += ['| ' + ' | '.join(row + [''] * (len(header) - len(row))) + ' |' for row in rows]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
