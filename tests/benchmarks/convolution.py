"""A forward and backward pass of the CNNs on the CPU: our convolution beside Chainer's link.

    python tests/benchmarks/convolution.py

Both on all cores: ours as the program runs it, with threads of its own and BLAS limited to one,
Chainer's with the threads of BLAS. Everything in one run, in turns; medians.
"""
import fve_layer    # noqa: F401  (before Chainer)

import time

import chainer.functions as F
import chainer.links as L
import numpy
from threadpoolctl import threadpool_limits

from finetune.models import convolution, inception_v3, small_cnn

REPEATS = 5
# Module, its network, and the images of a step: a batch of minibirds' crops, two of CUB-200-2011
# with four parts each.
NETWORKS = ((small_cnn, 'SmallCNN', (240, 3, 32, 32)),
            (inception_v3, 'InceptionV3', (10, 3, 299, 299)))


def network(module, name, link):
    """A network made with a link for its convolutions."""
    original, module.Convolution2D = module.Convolution2D, link
    try:
        return getattr(module, name)()
    finally:
        module.Convolution2D = original


def seconds(model, x, n_threads):
    """Of one forward and backward pass."""
    with threadpool_limits(n_threads):
        start = time.perf_counter()
        model.cleargrads()
        F.sum(model(x)).backward()
        return time.perf_counter() - start


def main():
    print(f'{convolution.N_THREADS} threads')
    print(f'{"":24s}{"Chainer, ms":>14s}{"ours, ms":>14s}{"Chainer / ours":>16s}')
    for module, name, shape in NETWORKS:
        x = numpy.random.RandomState(0).uniform(-1, 1, shape).astype('f')
        variants = ((network(module, name, L.Convolution2D), convolution.N_THREADS),
                    (network(module, name, convolution.Convolution2D), 1))
        times = [[seconds(model, x, n_threads) for model, n_threads in variants]
                 for _ in range(REPEATS + 1)]
        chainers, ours = 1000 * numpy.median(times[1:], axis=0)
        title = f'{name}, {len(x)} x {shape[2]} pixels'
        print(f'{title:30s}{chainers:8.0f}{ours:14.0f}{chainers / ours:16.2f}', flush=True)


if __name__ == '__main__':
    main()
