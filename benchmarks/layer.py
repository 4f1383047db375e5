"""Time and memory of the layer beside other ways to the same numbers, and how its cost grows.

    python benchmarks/layer.py

One CPU thread, float32, everything in one run, in turns; medians. Writes ``layer.md`` and
``layer.png`` into ``results/benchmarks``. Takes a quarter of an hour and 16 GB of memory.
"""
import fve_layer    # (before Chainer)

import functools
from pathlib import Path
import time
import tracemalloc

import chainer
import chainer.functions as F
import matplotlib
import numpy
from skimage.feature import fisher_vector as skimage_fisher_vector
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

matplotlib.use('Agg')
from matplotlib import pyplot   # noqa: E402

OUTPUT = Path('results/benchmarks')
REPEATS = 5
# N, T, D, K, share of the features that count
SHAPES = [(24, 256, 2048, 1, 1), (24, 256, 2048, 5, 1), (24, 256, 2048, 10, 1),
          (24, 960, 256, 10, 1), (8, 320, 2048, 50, 1), (24, 256, 2048, 10, .5),
          (24, 960, 256, 10, .5)]
LITERAL_LIMIT = 2 ** 27     # values in one of its arrays (N, T, K, D), of which there are thirty
MODES = FORWARD, UPDATE, STEP = 'forward', 'forward + update', 'forward + update + backward'
GROWTH_BASE = dict(N=8, T=256, D=256, K=8)
GROWTH = dict(N=(4, 8, 16, 32, 64), T=(64, 128, 256, 512, 1024, 2048),
              D=(64, 128, 256, 512, 1024, 2048), K=(1, 2, 4, 8, 16, 32, 64, 128, 256))


class Case:

    """Features and a mixture that describes them, overlapping components as in a CNN."""

    def __init__(self, n, t, d, k, share=1):
        random = numpy.random.RandomState(0)
        self.x = numpy.maximum(random.randn(n, t, d), 0).astype('f')      # ReLU-like
        self.mask = None if share == 1 else random.rand(n, t) < share
        mean, deviation = self.x.mean((0, 1)), self.x.std((0, 1))
        self.mean = (mean + .03 * deviation * random.randn(k, d)).astype('f')
        self.var = numpy.tile(deviation ** 2, (k, 1)).astype('f')
        self.weight = numpy.full(k, 1 / k, 'f')
        self.gfv = random.randn(n, 2 * k * d).astype('f')

    def images(self):
        """The features that count, image by image."""
        masks = [slice(None)] * len(self.x) if self.mask is None else self.mask
        return [x[mask] for x, mask in zip(self.x, masks)]


def ours(case):
    layer = fve_layer.FVELayer(case.x.shape[2], len(case.mean), seed=0)
    layer.mean, layer.var, layer.weight = case.mean, case.var, case.weight
    layer.n_updates += 1000

    def run(mode):
        with chainer.using_config('train', mode != FORWARD):
            x = chainer.Variable(case.x, requires_grad=mode == STEP)
            backward(layer(x, case.mask), case, mode)
    return dict.fromkeys(MODES, run)


def chainer_products(case):
    """Matrix products and automatic differentiation; the mixture gets gradients, not updates."""
    layer = fve_layer.GradientFVELayer(case.x.shape[2], len(case.mean), seed=0)
    layer.mean.array[...], layer.raw_var.array[...] = case.mean, numpy.log(case.var)
    layer.is_seeded = True

    def run(mode):
        layer.cleargrads()
        x = chainer.Variable(case.x, requires_grad=mode == STEP)
        backward(layer(x, case.mask), case, mode)
    return {FORWARD: run, STEP: run}


def chainer_literal(case):
    """The paper's equations as they stand, with arrays (N, T, K, D) and autograd."""
    if case.x.size * len(case.mean) > LITERAL_LIMIT:
        return {}
    shape = case.x.shape[:2] + case.mean.shape

    def run(mode):
        x = chainer.Variable(case.x, requires_grad=mode == STEP)
        mean, sigma = (numpy.broadcast_to(a, shape) for a in (case.mean, case.var ** .5))
        z = (F.broadcast_to(x[:, :, None], shape) - mean) / sigma
        logits = -.5 * F.sum(z ** 2, axis=3)
        constant = numpy.log(case.weight) - .5 * numpy.log(2 * numpy.pi * case.var).sum(axis=1)
        resp = F.softmax(logits + numpy.broadcast_to(constant, shape[:3]), axis=2)
        if case.mask is not None:
            resp *= numpy.broadcast_to(case.mask[..., None], shape[:3]).astype('f')
        if mode != FORWARD:
            m_step(case, resp.array)
        resp = F.broadcast_to(resp[..., None], shape)
        fv = F.concat((F.sum(resp * z, axis=1), F.sum(resp * (z ** 2 - 1), axis=1) / 2 ** .5))
        backward(F.reshape(fv, case.gfv.shape), case, mode)
    return dict.fromkeys(MODES, run)


def m_step(case, resp):
    x, resp = case.x[:, :, None], resp[..., None]
    s0 = resp.sum(axis=(0, 1))
    mean = (resp * x).sum(axis=(0, 1)) / s0
    return mean, (resp * (x - mean) ** 2).sum(axis=(0, 1)) / s0


def backward(fv, case, mode):
    if mode == STEP:
        fv.grad = case.gfv
        fv.backward()


def sklearn_mixture(case):
    mixture = GaussianMixture(len(case.mean), covariance_type='diag')
    mixture.weights_, mixture.means_, mixture.covariances_ = case.weight, case.mean, case.var
    mixture.precisions_cholesky_ = 1 / numpy.sqrt(case.var)
    return mixture


def scikit_image(case):
    mixture = sklearn_mixture(case)
    return {FORWARD: lambda mode: [skimage_fisher_vector(x, mixture) for x in case.images()]}


def scikit_learn(case):
    """scikit-image's Fisher vector and one E- and M-step of scikit-learn."""
    mixture = sklearn_mixture(case)

    def run(mode):
        features = numpy.concatenate(case.images())
        _, log_resp = mixture._e_step(features)
        sklearn_mixture(case)._m_step(features, log_resp)
        scikit_image(case)[FORWARD](mode)
    return {UPDATE: run}


PEERS = {'FVELayer': ours, 'Chainer, matrix products': chainer_products,
         'Chainer, equations as they stand': chainer_literal, 'scikit-image': scikit_image,
         'scikit-image + scikit-learn': scikit_learn}


def median_times(runs):
    """Seconds of each of some functions, which take turns."""
    for run in runs:
        run()
    times = numpy.empty((REPEATS, len(runs)))
    for row in times:
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            row[i] = time.perf_counter() - start
    return numpy.median(times, axis=0)


def peak_memory(run):
    """Bytes that a call has at most on top of what was there before."""
    run()
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def compare(shape):
    """Times (s) and peak memory (multiples of the input) by peer and mode."""
    case = Case(*shape)
    runs = {(name, mode): functools.partial(run, mode) for name, peer in PEERS.items()
            for mode, run in peer(case).items()}
    times = dict(zip(runs, median_times(list(runs.values()))))
    peaks = {name: peak_memory(run) / case.x.nbytes for (name, mode), run in runs.items()
             if mode == STEP}
    return times, peaks


def machine_rates():
    """Matrix products in GFLOP/s and copies, read and written, in GB/s."""
    a = numpy.random.rand(2048, 2048).astype('f')
    b, c = numpy.ones((2, 2 ** 24), 'f')
    product, copy = median_times([lambda: a @ a, lambda: numpy.copyto(b, c)])
    return 2 * 2048 ** 3 / product / 1e9, 2 * b.nbytes / copy / 1e9


def growth():
    """Seconds of a step of ours and values on the axis, by axis."""
    curves = {}
    for axis, values in GROWTH.items():
        runs = [functools.partial(ours(Case(**{
            name.lower(): size for name, size in {**GROWTH_BASE, axis: value}.items()}))[STEP],
            STEP) for value in values]
        curves[axis] = values, median_times(runs)
    return curves


def table(results):
    lines = ['| N, T, D, K | mode | FVELayer: ms | '
             + ' | '.join(f'{name}: times' for name in list(PEERS)[1:]) + ' |',
             '|---' * (len(PEERS) + 2) + '|']
    for shape, (times, peaks) in results.items():
        title = ', '.join(map(str, shape[:4])) + (', half masked' if shape[4] < 1 else '')
        for mode in MODES:
            base = times['FVELayer', mode]
            ratios = [f'{times[name, mode] / base:.1f}' if (name, mode) in times else ''
                      for name in list(PEERS)[1:]]
            lines.append(f'| {title} | {mode} | {1000 * base:.1f} | {" | ".join(ratios)} |')
        values = [f'{peaks[name]:.1f}' if name in peaks else '' for name in PEERS]
        lines.append(f'| {title} | the same, peak memory / x | {" | ".join(values)} |')
    return '\n'.join(lines)


def draw(curves, path):
    figure, axes = pyplot.subplots(1, 4, figsize=(11, 2.8), sharey=True, layout='constrained')
    for axis, (name, (values, times)) in zip(axes, curves.items()):
        slope = numpy.polyfit(numpy.log(values[-3:]), numpy.log(times[-3:]), 1)[0]
        axis.loglog(values, 1000 * times, 'o-')
        axis.set(xlabel=name, title=f'grows like {name}^{slope:.2f}')
        axis.set_xticks(values, values)
        axis.minorticks_off()
        axis.tick_params(axis='x', labelsize=8)
    axes[0].set_yticks((2, 5, 10, 20, 50), (2, 5, 10, 20, 50))
    axes[0].set_ylabel('a step, ms')
    figure.suptitle('FVELayer, one thread; otherwise ' + ', '.join(
        f'{name} = {value}' for name, value in GROWTH_BASE.items()), fontsize=10)
    figure.savefig(path, dpi=120)


def main():
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1):
        product, copy = machine_rates()
        text = (f'One thread: matrix products {product:.0f} GFLOP/s, copies {copy:.0f} GB/s read '
                'and written.\n\n')
        results = {}
        for shape in SHAPES:
            print(shape, flush=True)
            results[shape] = compare(shape)
        text += table(results)
        (OUTPUT / 'layer.md').write_text(text + '\n', encoding='utf-8')
        print(text)
        draw(growth(), OUTPUT / 'layer.png')
    print(f'{OUTPUT}/layer.md, {OUTPUT}/layer.png')


if __name__ == '__main__':
    main()
