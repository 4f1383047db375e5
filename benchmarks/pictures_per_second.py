"""Pictures that a finished run classifies per second of one core, by Chainer and by onnxruntime.

    OMP_NUM_THREADS=1 python benchmarks/pictures_per_second.py RUN PICTURES       # a minute

RUN has no parts, or parts that are visible in all pictures of the folder PICTURES. Files are read
and prepared by the same code for both, which the row *preparation* has alone. Seconds are those of
the process, so that other work of the machine counts little. Writes
``pictures_per_second.md`` into ``results/benchmarks``.
"""
import fve_layer    # noqa: F401  (before Chainer)

from pathlib import Path
import sys
import tempfile
import time

import chainer
import numpy
import onnxruntime

import finetune
from finetune.data.picture_folders import find_pictures
from finetune.export import onnx_file
from finetune.prediction.predictor import batches

OUTPUT = Path('results/benchmarks')
N_REPEATS = 5


def use_onnxruntime(predictor, run):
    """Makes a predictor compute scores by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'model.onnx')
        onnx_file.export(run, path)
        session = onnxruntime.InferenceSession(path.read_bytes(), options)

    def scores(img, crops, visible):
        inputs = {'images': img}
        if visible.size:
            inputs |= {'parts': crops.reshape(*visible.shape, *crops.shape[1:]), 'visible': visible}
        return chainer.Variable(session.run(None, inputs)[0])
    predictor._scores = scores


def prepare(predictor, paths):
    """Reads pictures, finds their parts and makes the network's inputs, and nothing else."""
    for batch in batches(map(predictor.picture, paths), predictor.batch_size):
        list(predictor.examine(batch))


def rate(work, paths):
    """Pictures per second, the median of some calls after a first one."""
    times = []
    for _ in range(N_REPEATS + 1):
        start = time.process_time()
        work(paths)
        times.append(time.process_time() - start)
    return len(paths) / numpy.median(times[1:])


def main(run, folder):
    paths, _ = find_pictures(Path(folder))
    lines = ['| computed by | without mirror images | with mirror images |', '|---|---|---|']
    predictors = {flip: finetune.load(run, flip=flip) for flip in (False, True)}
    expected = predictors[True].predict(paths).scores

    def add(name, works):
        lines.append(f'| {name} | ' + ' | '.join(f'{rate(work, paths):.0f}' for work in works)
                     + ' |')

    add('preparation', [lambda paths: prepare(predictors[False], paths)])
    add('Chainer', [predictor.predict for predictor in predictors.values()])
    for predictor in predictors.values():
        use_onnxruntime(predictor, run)
    add('onnxruntime', [predictor.predict for predictor in predictors.values()])
    difference = abs(predictors[True].predict(paths).scores - expected).max()
    assert difference < 1e-3 * abs(expected).max()
    lines[2] = lines[2].removesuffix('|') + '| |'
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / 'pictures_per_second.md').write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


if __name__ == '__main__':
    main(*sys.argv[1:])
