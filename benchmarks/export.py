"""Time for a picture by Chainer and by onnxruntime, with InceptionV3 and four parts.

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
N_CLASSES, N_PARTS, N_IMAGES, N_REPEATS = 200, 4, 4, 3
SIZES = 299, 427


def seconds(compute):
    """Seconds for a picture, the median of some calls after a first one."""
    times = []
    for _ in range(N_REPEATS + 1):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return numpy.median(times[1:]) / N_IMAGES


def row(size):
    config = Config()
    config.data.parts, config.data.missing = 'CS_PARTS', 'mask'
    config.data.input_size = config.data.part_input_size = size
    model = build_classifier(config, DataSet(
        list(map(str, range(N_CLASSES))), [f'part_{i}' for i in range(N_PARTS)], [], []))
    random = numpy.random.RandomState(0)
    img = random.uniform(-1, 1, (N_IMAGES, 3, size, size)).astype('f')
    parts = random.uniform(-1, 1, (N_IMAGES, N_PARTS, 3, size, size)).astype('f')
    visible = numpy.ones((N_IMAGES, N_PARTS), bool)
    content = classifier_graph(model, config).model('benchmark', '', {}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = N_THREADS
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])

    def by_chainer():
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            return model.scores(img, parts[visible], visible)['both'].array

    def by_onnxruntime():
        return session.run(None, {'images': img, 'parts': parts, 'visible': visible})[0]

    expected, times = by_chainer(), (seconds(by_chainer), seconds(by_onnxruntime))
    difference = abs(by_onnxruntime() - expected).max() / abs(expected).max()
    return (f'| {size} | {len(content) / 1e6:.0f} | {times[0]:.2f} | {times[1]:.2f} | '
            f'{times[0] / times[1]:.1f} | {difference:.0e} |')


def main():
    lines = ['| pixels | file, MB | Chainer, s | onnxruntime, s | ratio | difference |',
             '|---|---|---|---|---|---|']
    for size in SIZES:
        lines.append(row(size))
        print(lines[-1], flush=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / 'export.md').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
