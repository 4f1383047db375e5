"""Time for a picture by Chainer and by onnxruntime, with four parts or with none.

    python benchmarks/export.py                   # minutes

Weights are random: the time does not depend on them. Writes ``export.md`` into
``results/benchmarks``.
"""
import fve_layer    # noqa: F401  (before Chainer)

from pathlib import Path
import time

import chainer
import numpy
import onnxruntime

from finetune.compute.threads import N_THREADS
from finetune.config.settings import Config
from finetune.data.records import DataSet
from finetune.export.classifier import classifier_graph
from finetune.models.part_classifier import build_classifier

OUTPUT = Path('results/benchmarks')
N_CLASSES, N_IMAGES, N_REPEATS = 200, 4, 3
# Architecture, pixels, parts.
MODELS = (('inception_v3', 299, 4), ('inception_v3', 427, 4), ('efficientnet_lite0', 224, 4),
          ('efficientnet_lite0', 224, 0))


def seconds(compute):
    """Seconds for a picture, the median of some calls after a first one."""
    times = []
    for _ in range(N_REPEATS + 1):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return numpy.median(times[1:]) / N_IMAGES


def row(architecture, size, n_parts):
    config = Config()
    config.model.architecture = architecture
    config.data.parts, config.data.missing = 'CS_PARTS' if n_parts else 'GLOBAL', 'mask'
    config.data.input_size = config.data.part_input_size = size
    model = build_classifier(config, DataSet(
        list(map(str, range(N_CLASSES))), [f'part_{i}' for i in range(n_parts)], [], []))
    random = numpy.random.RandomState(0)
    img = random.uniform(-1, 1, (N_IMAGES, 3, size, size)).astype('f')
    parts = random.uniform(-1, 1, (N_IMAGES, n_parts, 3, size, size)).astype('f')
    visible = numpy.ones((N_IMAGES, n_parts), bool)
    content = classifier_graph(model, config).model('benchmark', '', {}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = N_THREADS
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])

    def by_chainer():
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            return model.scores(img, parts[visible], visible)['both'].array

    inputs = {'images': img, 'parts': parts, 'visible': visible} if n_parts else {'images': img}

    def by_onnxruntime():
        return session.run(None, inputs)[0]

    expected, times = by_chainer(), (seconds(by_chainer), seconds(by_onnxruntime))
    difference = abs(by_onnxruntime() - expected).max() / abs(expected).max()
    return (f'| {architecture}, {size} | {n_parts} | {len(content) / 1e6:.0f} | '
            f'{times[0]:.3f} | {times[1]:.3f} | {times[0] / times[1]:.1f} | {difference:.0e} |')


def main():
    lines = ['| CNN, size | parts | file, MB | Chainer, s | onnxruntime, s | ratio | difference |',
             '|---' * 7 + '|']
    for model in MODELS:
        lines.append(row(*model))
        print(lines[-1], flush=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / 'export.md').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
