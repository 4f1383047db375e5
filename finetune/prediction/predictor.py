"""Classifies pictures without labels or annotations by a trained model."""
from dataclasses import replace
from pathlib import Path
import warnings

import chainer
import chainer.functions as F
from chainer.backends import cuda
import numpy

from finetune.compute.threads import one_thread
from finetune.config.project import HERE
from finetune.data.dataset import collate, mirrored, PartDataset
from finetune.data.records import Record
from finetune.errors import InputError
from finetune.parts.kind import parts_of
from finetune.parts.pictures import detected, listed, unknown
from finetune.prediction import evidence
from finetune.prediction.answers import Evaluation, joined, Prediction
from finetune.prediction.images import picture_of, pictures_of
from finetune.prediction.labelled import read_tests
from finetune.runs.archive import find_model
from finetune.runs.opening import open_model, read_settings


class Predictor:

    """A trained classifier, made by :func:`finetune.load`.

    Attributes:
        class_names (list of str): Names of the classes.
        part_names (list of str): Names of the P parts.
        stream (str): ``'both'``, or ``'global'`` if the parts of pictures are unknown, so that
            only the whole image is classified.
        upright (bool): Whether pictures are rotated by their EXIF orientation.
        flip (bool): Whether scores are means over a picture and its mirror image.
        folder (finetune.runs.folder.RunFolder or None): Folder of the run.

    """

    def __init__(self, run, parts, flip=None, folder=None):
        self.model, self.config, data_set, self.device = run
        self.batch_size = self.config.training.batch_size
        self.class_names = data_set.class_names
        self.flip = self.config.data.test_flip if flip is None else flip
        self.stream = 'global' if parts is None else 'both'
        self.folder = folder
        self._settings = replace(self.config.data, order='ordered')
        if parts is None:
            parts, self._settings.missing = unknown(self.config, data_set.part_names), 'zero'
        self._parts, self.part_names, self.upright = parts, parts.part_names, parts.upright

    def __repr__(self):
        return f'<{len(self.class_names)} classes by {self.folder}>'

    def predict(self, images, batch_size=None):
        """Classifies images of any size.

        Args:
            images: One image, or a list, generator or other iterable of images. An image is

                - a path (str or pathlib.Path);
                - a PIL image of any mode, which is rotated by its EXIF data as a file is;
                - an array of uint8: (H, W, 3), (H, W, 4) or (H, W), as PIL would convert it to
                  RGB, or (3, H, W). An array whose last axis has 3 or 4 elements is (H, W, 3) or
                  (H, W, 4), whatever its first axis is.

                The path of a folder stands for all pictures in it and in its folders, sorted by
                their paths; an array of four axes for a batch.
            batch_size (int or None): Number of images per batch; ``None``: as in training. It
                affects results by rounding only. The images of a batch are in memory together.

        Returns:
            finetune.prediction.answers.Prediction: A row per image in their order; a single image
            has one row.

        Raises:
            TypeError: If an image is none of these.
            ValueError: If there is no image, or an array has another shape or dtype.
            finetune.errors.InputError: If a file is not a picture.

        """
        return joined(list(map(self.classify, self._batches(images, batch_size))))

    def features(self, images, batch_size=None):
        """Vectors of images: the inputs of the linear layers that compute the scores.

        Args:
            images, batch_size: As for :meth:`predict`.

        Returns:
            numpy.ndarray: (n, F), float32: the average-pooled ConvMap of the whole image, followed
            by the encoding of the parts after its normalisation. A model without parts has only one
            of them, and so has one whose :attr:`stream` is ``'global'``. With :attr:`flip`, vectors
            are means over the picture and its mirror image. Scores are linear in them.

        """
        return numpy.concatenate([self._mean_of_views(self._features, list(examined))
                                  for examined in self._batches(images, batch_size)])

    def evaluate(self, photographs, batch_size=None):
        """Classifies pictures of known classes.

        Args:
            photographs (str or pathlib.Path): Folder with one folder of pictures per class, or CSV
                file with the columns ``path`` and ``class``. All pictures are classified, but if
                they are split (folders ``train`` and ``test``, column ``split``), only the test
                images. Classes are matched by name; some may be missing.
            batch_size (int or None): As for :meth:`predict`.

        Returns:
            finetune.prediction.answers.Evaluation: Accuracies and the predictions. A warning says
            how many of the pictures the model was trained on.

        """
        data_set = read_tests(Path(photographs), self.class_names)
        n_trained_on = self.folder.n_trained_on(data_set) if self.folder else None
        if n_trained_on:
            warnings.warn(f'{photographs}: the model was trained on {n_trained_on} of these '
                          f'{len(data_set.test)} pictures, so the accuracy is too high',
                          stacklevel=2)
        prediction = self.predict(data_set.test.paths, batch_size)
        return Evaluation(prediction, data_set.test.labels, n_trained_on)

    def _batches(self, images, batch_size):
        """Yields batches of images with their parts."""
        batch = None
        for batch in batches(pictures_of(images, self.upright), batch_size or self.batch_size):
            yield self.examine(batch)
        if batch is None:
            raise ValueError('there is no image; give one or more')

    def picture(self, image, number=1):
        """The :class:`Picture` of an image that :meth:`predict` accepts."""
        return picture_of(image, self.upright, number)

    def examine(self, pictures):
        """Finds the parts of pictures; returns an :class:`Examined`."""
        with one_thread():
            return Examined(pictures, self._parts, self._settings)

    def classify(self, examined):
        """The :class:`Prediction` for a batch."""
        examples, images = list(examined), [str(record.path) for record in examined.records]
        scores = self._mean_of_views(self._scores, examples)
        is_finite = numpy.isfinite(scores).all(axis=1)
        if not is_finite.all():
            raise InputError(f'{images[int(is_finite.argmin())]}: a score of this picture is not '
                             'finite; train the model again with a lower '
                             'training.learning_rate.')
        boxes = [examined.part_boxes(i, examined.read_image(i).shape[1:])[1]
                 for i in range(len(examined))]
        visible = numpy.stack([visible for _, _, visible, _ in examples])
        return Prediction(scores, numpy.int32(boxes), visible, images, self.class_names)

    def _mean_of_views(self, compute, examples):
        """Means of what a function computes from images and, with :attr:`flip`, their mirror
        images."""
        views = [examples, list(map(mirrored, examples))] if self.flip else [examples]
        with one_thread(), chainer.using_config('train', False), chainer.no_backprop_mode(), \
                numpy.errstate(over='ignore', invalid='ignore'):
            values = [compute(*collate(view, self.device)[:3]).array for view in views]
            return cuda.to_cpu(sum(values) / len(values))

    def _scores(self, img, crops, visible):
        return self.model.scores(img, crops, visible)[self.stream]

    def _features(self, img, crops, visible):
        features, _ = self.model.features(img, crops, visible)
        if self.stream == 'global':
            return features['global']
        return F.concat(list(features.values()), axis=1)

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
    folder = find_model(run, project)
    opened = open_model(folder, read_settings(folder, gpu))
    return Predictor(opened, _parts(folder, opened, part_file, detector), flip, folder)


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
        found_by = find_model(detector_run, config.project).detector
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
