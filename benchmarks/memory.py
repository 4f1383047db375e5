"""Memory and CPU time of a training step of InceptionV3, with and without ``training.recompute``.

    python benchmarks/memory.py

Images have twelve part crops each, all at 299 pixels. Every setting has a process of its own, whose
memory is the peak of what it held during one forward and backward pass and update, less what it
held before, when the weights were there. The arrays after the update are compared bit for bit.
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

N_PARTS, SIZE, N_CLASSES = 12, 299, 200
# Encoding, images and dtype, each without and with recomputation.
SETTINGS = [('gap', 1, 'float32'), ('fve', 1, 'float32'), ('fve', 2, 'float32'),
            ('fve', 1, 'mixed16')]


def peak():
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measure(encoding, n_images, dtype, recompute):
    """Memory in MB, seconds of CPU time, and a digest of all arrays after a step."""
    numpy.random.seed(0)
    model = PartClassifier(Model(encoding=encoding), N_CLASSES, N_PARTS, mixed=dtype == 'mixed16',
                           recompute=recompute)
    optimizer = chainer.optimizers.RMSprop(1e-4).setup(model)
    random = numpy.random.RandomState(0)
    images, parts = (random.uniform(-1, 1, (n, 3, SIZE, SIZE)).astype('f')
                     for n in (n_images, n_images * N_PARTS))
    visible, label = numpy.ones((n_images, N_PARTS), bool), numpy.zeros(n_images, 'i')
    before, start = peak(), time.process_time()
    with one_thread():
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
    output = subprocess.run([sys.executable, __file__, json.dumps(setting)], env=environment,
                            check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


def main():
    print(f'{"":36s}{"MB":>8s}{"a crop":>10s}{"CPU s":>8s}')
    for setting in SETTINGS:
        digests = [show(*setting, recompute)['digest'] for recompute in (False, True)]
        print('the same bits' if digests[0] == digests[1] else 'DIFFERENT RESULTS', flush=True)


def show(encoding, n_images, dtype, recompute):
    """Measures a setting and prints its line."""
    result = in_process(encoding, n_images, dtype, recompute)
    name = f'{encoding}, {n_images} image(s), {dtype}{", recomputed" if recompute else ""}'
    megabytes = result['megabytes']
    print(f'{name:36s}{megabytes:8.0f}{megabytes / n_images / (N_PARTS + 1):10.1f}'
          f'{result["seconds"]:8.1f}', flush=True)
    return result


if __name__ == '__main__':
    if len(sys.argv) > 1:
        print(json.dumps(measure(*json.loads(sys.argv[1]))))
    else:
        main()
