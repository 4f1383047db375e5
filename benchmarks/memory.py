"""Memory and CPU time of a training step of a CNN, with and without ``training.recompute``.

    python benchmarks/memory.py [ARCHITECTURE [PIXELS]]

By default InceptionV3 with images of 299 pixels. Images have twelve part crops each of the same
size; the columns after the first are per crop and per pixel of a crop. Every setting has a process
of its own, whose memory is the peak of what it held during one forward and backward pass and
update, less what it held before, when the weights were there. The arrays after the update are
compared bit for bit.
"""
import fve_layer    # noqa: F401  (before Chainer)

import hashlib
import json
import os
import resource
import subprocess
import sys
import time

import chainer
import numpy

from finetune.compute.threads import one_thread
from finetune.config.settings import Model
from finetune.models.part_classifier import PartClassifier

N_PARTS, N_CLASSES = 12, 200
DEFAULTS = 'inception_v3', '299'
# Encoding, images, dtype and whether oneDNN computes, each without and with recomputation.
SETTINGS = [('gap', 1, 'float32', True), ('fve', 1, 'float32', True), ('fve', 2, 'float32', True),
            ('fve', 1, 'float32', False), ('fve', 1, 'mixed16', False)]


def peak():
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measure(architecture, size, encoding, n_images, dtype, use_onednn, recompute):
    """Memory in MB, seconds of CPU time, and a digest of all arrays after a step."""
    numpy.random.seed(0)
    model = PartClassifier(Model(architecture=architecture, encoding=encoding), N_CLASSES, N_PARTS,
                           mixed=dtype == 'mixed16', recompute=recompute)
    optimizer = chainer.optimizers.RMSprop(1e-4).setup(model)
    random = numpy.random.RandomState(0)
    images, parts = (random.uniform(-1, 1, (n, 3, size, size)).astype('f')
                     for n in (n_images, n_images * N_PARTS))
    visible, label = numpy.ones((n_images, N_PARTS), bool), numpy.zeros(n_images, 'i')
    before, start = peak(), time.process_time()
    with one_thread(), chainer.using_config('use_onednn', use_onednn):
        model.cleargrads()
        model(images, parts, visible, label).backward()
        optimizer.update()
    seconds = time.process_time() - start
    digest = hashlib.sha256()
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(model)
    for name in sorted(serializer.target):
        digest.update(numpy.ascontiguousarray(serializer.target[name]))
    return {'megabytes': peak() - before, 'seconds': seconds, 'digest': digest.hexdigest()}


def in_process(*setting):
    """The same in a process of its own, in which freed memory is returned at once."""
    environment = dict(os.environ, MALLOC_MMAP_THRESHOLD_='65536')
    output = subprocess.run([sys.executable, __file__, '--measure', json.dumps(setting)],
                            env=environment, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


def main(architecture, size):
    print(f'{architecture:46s}{"MB":>8s}{"a crop":>10s}{"B/pixel":>10s}{"CPU s":>8s}')
    for setting in SETTINGS:
        digests = [show(architecture, int(size), *setting, recompute)['digest']
                   for recompute in (False, True)]
        print('the same bits' if digests[0] == digests[1] else 'DIFFERENT RESULTS', flush=True)


def show(architecture, size, encoding, n_images, dtype, use_onednn, recompute):
    """Measures a setting and prints its line."""
    result = in_process(architecture, size, encoding, n_images, dtype, use_onednn, recompute)
    name = f'{encoding}, {n_images} image(s), {dtype}, {"oneDNN" if use_onednn else "NumPy"}'
    name += ', recomputed' if recompute else ''
    of_crop = result['megabytes'] / n_images / (N_PARTS + 1)
    print(f'{name:46s}{result["megabytes"]:8.0f}{of_crop:10.1f}{of_crop * 1e6 / size ** 2:10.0f}'
          f'{result["seconds"]:8.1f}', flush=True)
    return result


if __name__ == '__main__':
    if sys.argv[1:2] == ['--measure']:
        print(json.dumps(measure(*json.loads(sys.argv[2]))))
    else:
        main(*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1:])
