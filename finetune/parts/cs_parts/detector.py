"""A part detector: a CNN, the features selected for each class, and the search for boxes.

Korsch, Bodesheim, Denzler: Classification-Specific Parts for Improving Fine-Grained Visual
Categorization, GCPR 2019.
"""
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

import chainer
from chainer import serializers
import chainer.functions as F
import numpy
import yaml

from finetune import files
from finetune.compute.threads import one_thread
from finetune.config.catalogue import ARCHITECTURES
from finetune.config.schema import check, fill, read_yaml
from finetune.config.settings import Detector as Settings
from finetune.data import transforms
from finetune.errors import InputError
from finetune.files import write_text
from finetune.parts.boxes import frame_boxes
from finetune.parts.cs_parts import box_search, clusters, saliency
from finetune.parts.cs_parts.selection import feature_weights
from finetune.weights import pretrained

# Images per batch. It is constant because rounding errors, and thus boxes, depend on it.
BATCH_SIZE = 8
SETTINGS, WEIGHTS = 'settings.yml', 'weights.npz'


class Parts(NamedTuple):
    """The parts of an image and their origin, in pixels of the network's input."""

    boxes: numpy.ndarray        # (P, 4) int, (y_min, x_min, y_max, x_max)
    visible: numpy.ndarray      # (P,) bool; all or none
    saliency: numpy.ndarray     # (H, W)
    groups: numpy.ndarray       # (H, W) int, -1: none


class Detector:

    """Finds the parts of images.

    Args:
        settings (finetune.config.settings.Detector): Settings of the detector.
        architecture (str): Key of :data:`finetune.config.catalogue.ARCHITECTURES`.
        cnn (chainer.Link): Maps images (N, 3, H, W) to ConvMaps (N, C, h, w).
        coefficients (numpy.ndarray): (n_classes, C), of the sparse SVM.
        intercepts (numpy.ndarray): (n_classes,), of the sparse SVM.
        device (chainer.backend.Device): Device that computes.

    """

    def __init__(self, settings: Settings, architecture: str, cnn: chainer.Link,
                 coefficients: numpy.ndarray, intercepts: numpy.ndarray,
                 device: chainer.backend.Device):
        self.settings = settings
        self.architecture = architecture
        self.cnn = cnn
        self.coefficients, self.intercepts = coefficients, intercepts
        self._weights = feature_weights(coefficients, settings.features)
        self.device = device
        cnn.to_device(device)

    @property
    def n_parts(self) -> int:
        """Number of parts of every image."""
        return self.settings.n_parts

    def find(self, images: list[numpy.ndarray]) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Finds parts in images (3, H, W), uint8, RGB, of any size.

        Returns:
            tuple of numpy.ndarray: Boxes (N, P, 4), float32, (y_min, x_min, y_max, x_max) in pixels
            of each image, and visibility (N, P), bool. If nothing is found in an image, all its
            parts are hidden.

        """
        inputs = [transforms.test_transform(image, self.settings.input_size) for image in images]
        found = [parts for i in range(0, len(inputs), BATCH_SIZE)
                 for parts in self.look(inputs[i:i + BATCH_SIZE])]
        in_image = [frame_boxes(parts.boxes, image.shape[1:], self.settings.input_size,
                                'crop') for parts, image in zip(found, images)]
        return (numpy.array(in_image, numpy.float32).reshape(-1, self.n_parts, 4),
                numpy.array([parts.visible for parts in found]).reshape(-1, self.n_parts))

    def look(self, img: Sequence[numpy.ndarray]) -> list[Parts]:
        """Finds the :class:`Parts` of up to BATCH_SIZE inputs (3, H, W) of the network."""
        gradients, _ = self.gradients(img)
        with one_thread():
            return [self._parts(gradient, image) for gradient, image in zip(gradients, img)]

    def gradients(self, img: Sequence[numpy.ndarray]) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Computes gradients with respect to pixels (N, H, W), and predicted classes (N,)."""
        features, x = pooled_features(self.cnn, img, self.device)
        on_cpu = chainer.backends.cuda.to_cpu(features.array)
        classes = (on_cpu @ self.coefficients.T + self.intercepts).argmax(axis=1)
        gradients = saliency.pixel_gradients(
            features, x, self.device.send(self._weights[classes]))
        return gradients[:len(img)], classes[:len(img)]

    def _parts(self, gradient, img):
        settings = self.settings
        heat = saliency.saliency_map(gradient, settings.sigma, settings.gamma)
        if not heat.any():
            return Parts(numpy.zeros((self.n_parts, 4), int), numpy.zeros(self.n_parts, bool), heat,
                         numpy.full(heat.shape, -1))
        mask = heat > clusters.otsu_threshold(heat)
        groups = clusters.group(heat, mask, img, settings.n_parts, settings.columns)
        members = [groups == i for i in range(settings.n_parts)]
        members = [pixels if pixels.any() else mask for pixels in members]
        found = [box_search.part_box(heat, pixels, settings.smallest_box) for pixels in members]
        return Parts(numpy.array(found), numpy.ones(len(found), bool), heat, groups)

    def save(self, folder: Path) -> None:
        """Writes settings and weights into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        target = serializers.DictionarySerializer()
        target['global_cnn'].save(self.cnn)
        files.write_arrays(folder / WEIGHTS, {
            **target.target, 'svm/W': self.coefficients, 'svm/b': self.intercepts})
        write_text(folder / SETTINGS, yaml.safe_dump(
            {'architecture': self.architecture, **asdict(self.settings)}))


def load(folder: Path, device: chainer.backend.Device) -> Detector:
    """Loads a detector that :meth:`Detector.save` wrote."""
    where, settings = folder / SETTINGS, Settings()
    tree = read_yaml(where)
    architecture = tree.pop('architecture', None)
    fill(settings, tree, str(where))
    check(settings, str(where))
    if architecture not in ARCHITECTURES:
        raise InputError(f'{where}: architecture is {architecture!r}, but must be one of '
                         f'{", ".join(ARCHITECTURES)}.')
    cnn = resolve_name(ARCHITECTURES[architecture].cnn)()
    svm = _svm(folder / WEIGHTS, ARCHITECTURES[architecture].n_features)
    pretrained.load_cnn(cnn, folder / WEIGHTS)
    return Detector(settings, architecture, cnn, *svm, device)


def _svm(path: Path, n_features: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    arrays = pretrained.read_weights(path)
    coefficients, intercepts = (arrays.get(f'svm/{key}', numpy.zeros(())) for key in 'Wb')
    n_classes = intercepts.size
    if (coefficients.shape, intercepts.shape) != ((n_classes, n_features), (n_classes,)):
        raise InputError(f'{path}: has no sparse SVM of {n_features} features (svm/W and svm/b); '
                         'find the parts again.')
    return coefficients, intercepts


def pooled_features(cnn: chainer.Link, img: Sequence[numpy.ndarray], device: chainer.backend.Device
                    ) -> tuple[chainer.Variable, chainer.Variable]:
    """Averages the ConvMaps of up to BATCH_SIZE inputs (3, H, W) of a CNN in test mode.

    Returns:
        tuple of chainer.Variable: Features (BATCH_SIZE, C) and inputs (BATCH_SIZE, 3, H, W), padded
        by copies of the last input.

    """
    img = numpy.stack([*img, *[img[-1]] * (BATCH_SIZE - len(img))])
    x = chainer.Variable(device.send(img))
    with chainer.using_config('train', False):
        return F.mean(cnn(x), axis=(2, 3)), x
