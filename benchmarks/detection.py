"""Time to find the parts of an image with InceptionV3, and what it is made of.

    python benchmarks/detection.py                # minutes

Weights are random: the time does not depend on them. Photographs ship with scikit-image. Writes
``detection.md`` into ``results/benchmarks``.
"""
import fve_layer    # noqa: F401  (before Chainer)

import time

import chainer
import numpy
import skimage.data
import steps

from finetune.compute.threads import one_thread
from finetune.config.settings import Detector as Settings
from finetune.data import transforms
from finetune.models.inception_v3 import InceptionV3
from finetune.parts.cs_parts import box_search, clusters, saliency
from finetune.parts.cs_parts.detector import BATCH_SIZE, pooled_features

STEPS = ('forward', 'backward', 'saliency', 'groups', 'boxes')
N_FEATURES, N_SELECTED = 2048, 40


def seconds(cnn, size):
    """Seconds per image of each step."""
    device = chainer.get_device('@numpy')
    random = numpy.random.RandomState(0)
    weights = numpy.zeros((BATCH_SIZE, N_FEATURES), 'f')
    weights[:, random.permutation(N_FEATURES)[:N_SELECTED]] = 1
    settings = Settings(input_size=size)
    photographs = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()]
    img = [transforms.test_transform(photographs[i % 3].transpose(2, 0, 1), size)
           for i in range(BATCH_SIZE)]
    times = dict.fromkeys(STEPS, 0.)

    def timed(step, function, *arguments):
        start = time.perf_counter()
        result = function(*arguments)
        times[step] += (time.perf_counter() - start) / BATCH_SIZE
        return result

    features, x = timed('forward', pooled_features, cnn, img, device)
    gradients = timed('backward', saliency.pixel_gradients, features, x, weights)
    with one_thread():
        for gradient, image in zip(gradients, img):
            heat = timed('saliency', saliency.saliency_map, gradient, settings.sigma,
                         settings.gamma)
            mask = heat > clusters.otsu_threshold(heat)
            groups = timed('groups', clusters.group, heat, mask, image, settings.n_parts,
                           settings.columns)
            for part in range(settings.n_parts):
                timed('boxes', box_search.part_box, heat, groups == part, settings.smallest_box)
    return times


def main():
    cnn = InceptionV3()
    steps.write('detection', STEPS,         # after a warm-up
                lambda size: [seconds(cnn, size) for _ in range(2)][1])


if __name__ == '__main__':
    main()
