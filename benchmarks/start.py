"""How the part stream starts on a pre-trained InceptionV3, and its first hundred updates.

    python benchmarks/start.py WEIGHTS.npz            # minutes: the start alone
    python benchmarks/start.py WEIGHTS.npz --updates 100  # hours: and the updates, resumable

WEIGHTS are those of ``model.pretrained``; the photographs ship with scikit-image, scikit-learn and
matplotlib. Writes ``start.md`` and ``start.png`` into ``results/benchmarks``, and what was measured
into ``results/benchmarks/start``.
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
import json
from pathlib import Path
import warnings

import chainer
import chainer.functions as F
import matplotlib
import numpy
from PIL import Image
import skimage
import sklearn

from finetune.config.settings import Model, Training
from finetune.data.transforms import test_transform, train_transform
from finetune.models.loss import smoothed_cross_entropy
from finetune.models.part_classifier import PartClassifier
from finetune.training.trainer import OPTIMIZERS
from finetune.weights import pretrained

matplotlib.use('Agg')
from matplotlib import pyplot   # noqa: E402

OUTPUT = Path('results/benchmarks')
FOLDERS = [Path(skimage.__file__).parent / 'data',
           Path(sklearn.__file__).parent / 'datasets/images',
           Path(matplotlib.get_data_path()) / 'sample_data']
PHOTOGRAPHS = ['astronaut.png', 'chelsea.png', 'coffee.png', 'motorcycle_left.png', 'rocket.jpg',
               'china.jpg', 'flower.jpg', 'grace_hopper.jpg']
N_CLASSES, RATIO, SIZE, N_CROPS = 200, .31, 299, 12
SMALL_SIZE, SMALL_N, SMALL_CROPS = 139, 4, 4        # of the updates
MIXTURES = [(encoding, k) for encoding in ('fve', 'gradient_fve') for k in (1, 5, 50)]
BEFORE = {'scaling': False}
STARTS = {'GAP': dict(encoding='gap'),
          **{f'{encoding}, K = {k}, {words}': dict(encoding=encoding, n_components=k, **settings)
             for encoding, k in MIXTURES for words, settings in (
                 ('before', BEFORE), ('now', {}),
                 ('mean, floor 0.01, before', dict(normalization='mean', var_floor=1e-2, **BEFORE)),
                 ('mean, floor 0.01, now', dict(normalization='mean', var_floor=1e-2)))}}
RUNS = {'GAP': STARTS['GAP'], **{f'{encoding}, K = {k}': STARTS[f'{encoding}, K = {k}, now']
                                 for encoding, k in MIXTURES},
        'fve, K = 1, before': STARTS['fve, K = 1, before']}
OPTIMISERS = {'RMSProp': Training(), 'Adam': Training(optimizer='adam')}
BEFORE_OPTIMISER = Training(rmsprop_alpha=.99, epsilon=1e-8)


def photograph(name):
    path = next(folder / name for folder in FOLDERS if (folder / name).exists())
    return numpy.asarray(Image.open(path).convert('RGB')).transpose(2, 0, 1)


def crops(n, n_crops, size, random, augment=False):
    """Crops (n n_crops, 3, size, size) around random points of the first photographs."""
    parts = []
    for img in map(photograph, PHOTOGRAPHS[:n]):
        h, w = (int(RATIO * extent) for extent in img.shape[1:])
        for _ in range(n_crops):
            y, x = random.randint(img.shape[1] - h), random.randint(img.shape[2] - w)
            crop = img[:, y:y + h, x:x + w]
            parts.append(train_transform(crop, size, random) if augment
                         else test_transform(crop, size))
    return numpy.stack(parts).astype('f')


def build(settings, weights, n_crops):
    numpy.random.seed(0)
    model = PartClassifier(Model(**settings), N_CLASSES, n_crops, 'mask', seed=0)
    pretrained.load_backbones(model, weights)
    return model


def norm(x):
    return float(numpy.sqrt((x.astype('d') ** 2).sum()))


def start(settings, model, conv_map):
    """Figures of the part stream before its first update; ConvMaps as in training."""
    n = len(conv_map) // N_CROPS
    visible, label = numpy.ones((n, N_CROPS), bool), numpy.arange(n, dtype='i')
    conv_map = chainer.Variable(conv_map)
    encoding = model.encode(conv_map, visible)
    scores = model.part_head(encoding)
    loss = smoothed_cross_entropy(scores, label, Training().label_smoothing)
    model.cleargrads()
    loss.backward()
    figures = {'norm of the encoding': float(numpy.linalg.norm(encoding.array, axis=1).mean()),
               'deviation of the scores': float(scores.array.std()),
               'cross entropy': float(F.softmax_cross_entropy(scores, label).array),
               'gradient to the ConvMaps': norm(conv_map.grad)}
    for name, training in (('0.99', BEFORE_OPTIMISER), ('0.9', Training())):
        head = model.part_head.copy('copy')
        optimizer = OPTIMIZERS['rmsprop'](training).setup(head)
        for param, source in zip(head.params(), model.part_head.params()):
            param.grad = source.grad.copy()
        optimizer.update()
        change = float(numpy.abs(head(encoding).array - scores.array).mean())
        figures[f'change of a score in the first step, alpha {name}'] = change
    return figures


def starts(weights):
    random = numpy.random.RandomState(0)
    model = build(STARTS['GAP'], weights, N_CROPS)
    parts = crops(len(PHOTOGRAPHS), N_CROPS, SIZE, random)
    with chainer.no_backprop_mode():
        conv_map = model.part_cnn(parts).array
    for name, settings in STARTS.items():
        path = OUTPUT / 'start' / f'{name}.json'
        if not path.exists():
            figures = start(settings, build(settings, weights, N_CROPS), conv_map)
            path.write_text(json.dumps(figures, indent=1))
            print(name, figures, flush=True)


def updates(settings, training, weights, n_updates):
    """Loss, scores, gradient and drift of the features in the first updates."""
    random = numpy.random.RandomState(0)
    model = build(settings, weights, SMALL_CROPS)
    visible = numpy.ones((SMALL_N, SMALL_CROPS), bool)
    label = numpy.arange(SMALL_N, dtype='i')
    optimizer = OPTIMIZERS[training.optimizer](training).setup(model)
    model.global_cnn.disable_update()
    model.global_head.disable_update()
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(training.weight_decay))
    probe = crops(SMALL_N, SMALL_CROPS, SMALL_SIZE, numpy.random.RandomState(1))
    first = features(model, probe)
    log = {'loss': [], 'deviation of the scores': [], 'gradient to the ConvMaps': [], 'drift': []}
    for i in range(n_updates):
        parts = crops(SMALL_N, SMALL_CROPS, SMALL_SIZE, random, augment=True)
        conv_map = model.part_conv_maps(parts, visible)
        scores = model.part_head(model.encode(conv_map, visible))
        loss = smoothed_cross_entropy(scores, label, training.label_smoothing)
        model.cleargrads()
        loss.backward(retain_grad=True)
        log['loss'].append(float(F.softmax_cross_entropy(scores, label).array))
        log['deviation of the scores'].append(float(scores.array.std()))
        log['gradient to the ConvMaps'].append(norm(conv_map.grad))
        optimizer.update()
        if i in (0, 1, 3) or i % 10 == 9:
            now = features(model, probe)
            cosine = (now * first).sum() / (norm(now) * norm(first))
            log['drift'].append((i + 1, 1 - float(cosine)))
    return log


def features(model, parts):
    """Average-pooled ConvMaps in test mode."""
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return F.mean(model.part_cnn(parts), axis=(2, 3)).array


def run_updates(weights, n_updates):
    cases = [(f'{name}, {optimiser}', settings, training) for optimiser, training in
             OPTIMISERS.items() for name, settings in RUNS.items() if 'before' not in name]
    cases.append(('fve, K = 1, before', RUNS['fve, K = 1, before'], BEFORE_OPTIMISER))
    for name, settings, training in cases:
        path = OUTPUT / 'start' / f'{n_updates} updates, {name}.json'
        if not path.exists():
            log = updates(settings, training, weights, n_updates)
            path.write_text(json.dumps(log))
            print(name, {key: values[::20] for key, values in log.items()}, flush=True)
    draw(n_updates)


def write_table():
    rows = {name: json.loads((OUTPUT / 'start' / f'{name}.json').read_text()) for name in STARTS}
    columns = list(rows['GAP'])
    lines = ['| part stream | ' + ' | '.join(columns) + ' |', '|' + '---|' * (len(columns) + 1)]
    for name, figures in rows.items():
        lines.append(f'| {name} | ' + ' | '.join(f'{figures[c]:.2g}' for c in columns) + ' |')
    (OUTPUT / 'start.md').write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


def draw(n_updates):
    panels = ['loss', 'deviation of the scores', 'gradient to the ConvMaps', 'drift']
    figure, axes = pyplot.subplots(2, len(panels), figsize=(16, 7), sharex=True, squeeze=False)
    for row, optimiser in zip(axes, OPTIMISERS):
        for name in RUNS:
            is_before = 'before' in name
            if is_before and optimiser != 'RMSProp':
                continue
            case = name if is_before else f'{name}, {optimiser}'
            log = json.loads((OUTPUT / 'start' / f'{n_updates} updates, {case}.json').read_text())
            style = dict(lw=2.5, color='black') if name == 'GAP' else dict(
                lw=1, ls='--' if name.startswith('gradient') else ':' if is_before else '-')
            for ax, panel in zip(row, panels):
                values = log[panel]
                x, y = zip(*values) if panel == 'drift' else (range(1, len(values) + 1), values)
                ax.plot(x, y, label=name, **style)
                ax.set_title(f'{optimiser}: {panel}')
                if panel != 'drift':
                    ax.set_yscale('log')
    axes[0, 0].legend(fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel('update')
    figure.tight_layout()
    figure.savefig(OUTPUT / 'start.png', dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('weights', help='.npz of an InceptionV3')
    parser.add_argument('--updates', type=int, default=0, help='number of updates (default: 0)')
    options = parser.parse_args()
    (OUTPUT / 'start').mkdir(parents=True, exist_ok=True)
    starts(options.weights)
    write_table()
    if options.updates:
        run_updates(options.weights, options.updates)


if __name__ == '__main__':
    warnings.filterwarnings('ignore')
    main()
