"""Classifies pictures without labels or annotations by a trained model."""
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import chainer
import chainer.functions as F
from chainer.backends import cuda
import numpy

from finetune.compute.threads import one_thread
from finetune.config.project import HERE
from finetune.data import pictures
from finetune.data.dataset import collate, mirrored, PartDataset
from finetune.data.records import Record
from finetune.errors import InputError
from finetune.parts.kind import parts_of
from finetune.parts.pictures import detected, listed, Picture, unknown
from finetune.prediction import evidence
from finetune.runs.chosen import find_run
from finetune.runs.opening import open_model, read_settings


class Prediction(NamedTuple):
    """Predictions for n images, as NumPy arrays."""

    scores: Any         # (n, n_classes), float32: sums of the streams' scores
    boxes: Any          # (n, P, 4), int32: part boxes (y_min, x_min, y_max, x_max), pixels
    visible: Any        # (n, P), bool: visible parts

    @property
    def classes(self):
        """The predicted class of each image, (n,)."""
        return self.scores.argmax(axis=1)

    @property
    def probabilities(self):
        """Softmax of the scores, (n, n_classes)."""
        return F.softmax(self.scores).array

    def top(self, k):
        """The k classes with the highest scores of each image, (n, k), the highest first."""
        return numpy.argsort(-self.scores, axis=1, kind='stable')[:, :k]


class Predictor:

    """A trained classifier, made by :func:`finetune.load`.

    Attributes:
        class_names (list of str): Names of the classes.
        part_names (list of str): Names of the P parts.
        stream (str): ``'both'``, or ``'global'`` if the parts of pictures are unknown, so that
            only the whole image is classified.
        upright (bool): Whether pictures are rotated by their EXIF orientation.
        flip (bool): Whether scores are means over a picture and its mirror image.

    """

    def __init__(self, run, parts, flip=None):
        self.model, self.config, data_set, self.device = run
        self.batch_size = self.config.training.batch_size
        self.class_names = data_set.class_names
        self.flip = self.config.data.test_flip if flip is None else flip
        self.stream = 'global' if parts is None else 'both'
        self._settings = replace(self.config.data, order='ordered')
        if parts is None:
            parts, self._settings.missing = unknown(self.config, data_set.part_names), 'zero'
        self._parts, self.part_names, self.upright = parts, parts.part_names, parts.upright

    def predict(self, images, batch_size=None):
        """Classifies images of any size.

        Args:
            images (iterable): Paths of pictures, or arrays (3, H, W), uint8, RGB.
            batch_size (int or None): Number of images per batch; ``None``: as in training. It
                affects results by rounding only.

        Returns:
            Prediction: Rows in the order of the images.

        Raises:
            ValueError: If there is no image, or an array has another shape or dtype.

        """
        pictures = (self.picture(image, i) for i, image in enumerate(images, 1))
        answers = [self.classify(self.examine(batch))
                   for batch in batches(pictures, batch_size or self.batch_size)]
        if not answers:
            raise ValueError('there is no image to predict')
        return Prediction(*map(numpy.concatenate, zip(*answers)))

    def picture(self, image, number=1):
        """The :class:`Picture` of an image that :meth:`predict` accepts."""
        if isinstance(image, (str, Path)):
            return Picture(str(image), pictures.read_image(image, self.upright))
        image = numpy.asarray(image)
        if image.ndim != 3 or len(image) != 3 or image.dtype != numpy.uint8 or not image.size:
            raise ValueError(f'image {number} must have the shape (3, H, W) and be uint8, not '
                             f'{image.shape} and {image.dtype}')
        return Picture(f'image {number}', image)

    def examine(self, pictures):
        """Finds the parts of pictures; returns an :class:`Examined`."""
        with one_thread():
            return Examined(pictures, self._parts, self._settings)

    def classify(self, examined):
        """The :class:`Prediction` for a batch."""
        with one_thread(), chainer.using_config('train', False), chainer.no_backprop_mode(), \
                numpy.errstate(over='ignore', invalid='ignore'):
            examples = list(examined)
            scores, visible = self._scores(examples)
            if self.flip:
                scores = (scores + self._scores(map(mirrored, examples))[0]) / 2
        scores = cuda.to_cpu(scores)
        is_finite = numpy.isfinite(scores).all(axis=1)
        if not is_finite.all():
            raise InputError(f'{examined.records[int(is_finite.argmin())].path}: a score of this '
                             'picture is not finite; train the model again with a lower '
                             'training.learning_rate.')
        boxes = [examined.part_boxes(i, examined.read_image(i).shape[1:])[1]
                 for i in range(len(examined))]
        return Prediction(scores, numpy.int32(boxes), cuda.to_cpu(visible))

    def _scores(self, examples):
        img, crops, visible, _ = collate(list(examples), self.device)
        return self.model.scores(img, crops, visible)[self.stream].array, visible

    def explain(self, example, label):
        """Evidence for a class: see :func:`finetune.prediction.evidence.explain`.

        It is that of the picture alone, without its mirror image.
        """
        with one_thread():
            return evidence.explain(self.model, example, label, self.stream)


class Examined(PartDataset):

    """Pictures with their parts, transformed like test images.

    Args:
        pictures (list of Picture): The pictures.
        parts (finetune.parts.pictures.PictureParts): Finds their parts.
        settings (finetune.config.settings.Data): Settings of the network's input.

    """

    def __init__(self, pictures, parts, settings):
        records = [Record(picture.name, picture.name, 0, *found)
                   for picture, *found in zip(pictures, *parts.find(pictures))]
        super().__init__(records, parts, settings, train=False, seed=0)
        self._pictures = pictures

    def read_image(self, i):
        return self._pictures[i].image


def load(run, gpu=-1, part_file=None, detector=None, project=HERE, flip=None):
    """Loads the model of a finished run: see :func:`finetune.load`."""
    folder = find_run(run, project)
    opened = open_model(folder, read_settings(folder, gpu))
    return Predictor(opened, _parts(folder, opened, part_file, detector), flip)


def _parts(folder, run, table, detector_run):
    """Parts from a table, from another run's detector, or from the model's own kind of parts.

    ``None`` if parts are unknown; then only the global stream can predict.
    """
    config, part_names = run.config, run.data_set.part_names
    if table and detector_run:
        raise InputError('--parts and --detector exclude each other; give one of them.')
    if (table or detector_run) and not config.data.has_parts:
        raise InputError(f'{folder}: the model has no part stream (data.parts '
                         f'{config.data.parts}); leave out --{"parts" if table else "detector"}.')
    if table:
        return listed(table, config, part_names)
    if detector_run:
        found_by = find_run(detector_run, config.project).detector
        if not found_by.is_dir():
            raise InputError(f'{detector_run}: has no detector; give the folder of a run with '
                             'data.parts CS_PARTS and detector.cnn.')
        return detected(found_by, config, part_names, run.device)
    return parts_of(config).in_pictures(part_names, folder.detector, run.device)


def batches(items, size):
    """Lists of up to ``size`` items."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
