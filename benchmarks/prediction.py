"""Time to predict a picture with InceptionV3 and four parts that are found, and what it is made of.

    python benchmarks/prediction.py               # minutes

Weights are random: the time does not depend on them. Photographs ship with scikit-image. Writes
``prediction.md`` into ``results/benchmarks``.
"""
import fve_layer    # noqa: F401  (before Chainer)

from pathlib import Path
import tempfile
import time

import chainer
import numpy
from PIL import Image
import skimage.data
import steps

from finetune.compute.threads import one_thread
from finetune.config.settings import Config, Detector as Settings
from finetune.data.dataset import collate
from finetune.data.records import DataSet
from finetune.models.inception_v3 import InceptionV3
from finetune.models.part_classifier import build_classifier
from finetune.parts.cs_parts.detector import BATCH_SIZE, Detector
from finetune.parts.cs_parts.selection import SparseSVMs
from finetune.parts.pictures import Source
from finetune.prediction.predictor import Predictor
from finetune.runs.opening import FinishedRun

STEPS = ('read', 'find parts', 'crop', 'whole image', 'parts', 'encoding')
N_CLASSES, N_FEATURES = 200, 2048


def make_predictor(size):
    """A model of random weights that finds four parts."""
    device = chainer.get_device('@numpy')
    config, names = Config(), [f'part_{i}' for i in range(1, 5)]
    config.data.parts, config.data.missing = 'CS_PARTS', 'mask'
    config.data.input_size = config.data.part_input_size = size
    data_set = DataSet([str(i) for i in range(N_CLASSES)], names, [], [])
    model = build_classifier(config, data_set)
    random = numpy.random.RandomState(0)
    model.encoder.mean[...] = random.normal(size=model.encoder.mean.shape)
    coefficients = random.normal(size=(N_CLASSES, N_FEATURES)).astype('f')
    svms = SparseSVMs([(coefficients, numpy.zeros(N_CLASSES, 'f'))], 'selected')
    found_by = Detector(Settings(input_size=size), 'inception_v3', InceptionV3(), svms, device)
    source = Source(lambda pictures: found_by.find([picture.image for picture in pictures]), names)
    return Predictor(FinishedRun(model, config, data_set, device), source)


def seconds(predictor, paths):
    """Seconds per picture of each step."""
    times, model = {}, predictor.model

    def timed(step, function, *arguments):
        start = time.perf_counter()
        result = function(*arguments)
        times[step] = (time.perf_counter() - start) / len(paths)
        return result

    with one_thread(), chainer.using_config('train', False):
        pictures = timed('read', lambda: [predictor.picture(path) for path in paths])
        examined = timed('find parts', predictor.examine, pictures)
        img, crops, visible, _ = timed('crop', lambda: collate(list(examined)))
        with chainer.no_backprop_mode():
            timed('whole image', model.conv_maps, model.global_cnn, img)
            conv_map = timed('parts', model.part_conv_maps, crops, visible)
            timed('encoding', lambda: model.part_head(model.encode(conv_map, visible)))
    return times


def main():
    photographs = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f'{i}.jpg') for i in range(BATCH_SIZE)]
        for i, path in enumerate(paths):
            Image.fromarray(photographs[i % 3]).save(path)

        def seconds_of(size):
            predictor = make_predictor(size)
            return [seconds(predictor, paths) for _ in range(2)][1]     # after a warm-up

        steps.write('prediction', STEPS, seconds_of)


if __name__ == '__main__':
    main()
