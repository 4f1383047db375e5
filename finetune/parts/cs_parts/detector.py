"""A part detector: a CNN, the choice of its features, and the search for boxes.

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
from finetune.config.catalogue import ARCHITECTURES, PACKAGED_WEIGHTS
from finetune.config.schema import check, fill, read_yaml
from finetune.config.settings import Config, Detector as Settings
from finetune.data import transforms
from finetune.errors import InputError
from finetune.files import write_text
from finetune.parts.boxes import frame_boxes
from finetune.parts.cs_parts import box_search, clusters, saliency, selection
from finetune.weights import pretrained

# Images per batch. It is constant because rounding errors, and thus boxes, depend on it.
BATCH_SIZE = 8
SETTINGS, WEIGHTS = 'settings.yml', 'weights.npz'
FITS = {'crop': transforms.test_transform, 'squash': transforms.squash}
NO_FOLD = -1        # of images that no SVM has seen, or all


class Parts(NamedTuple):
    """The parts of an image and their origin, in pixels of the network's input."""

    boxes: numpy.ndarray        # (P, 4) int, (y_min, x_min, y_max, x_max)
    visible: numpy.ndarray      # (P,) bool; all or none
    saliency: numpy.ndarray     # (H, W)
    groups: numpy.ndarray       # (H, W) int, -1: none


class Transform(NamedTuple):
    """How pictures become inputs of the network."""

    fit: str = 'crop'                   # `data.box_frame_fit`
    interpolation: str = 'bilinear'     # `data.interpolation`

    def apply(self, image: numpy.ndarray, size: int) -> numpy.ndarray:
        """The square input (3, size, size) of an image (3, H, W), uint8, RGB."""
        return FITS[self.fit](image, size, self.interpolation)


class Detector:

    """Finds the parts of images.

    Args:
        settings (finetune.config.settings.Detector): Settings of the detector.
        architecture (str): Key of :data:`finetune.config.catalogue.ARCHITECTURES`.
        cnn (chainer.Link): Maps images (N, 3, H, W) to ConvMaps (N, C, h, w).
        choice (SparseSVMs or AllFeatures): Chooses features, see
            :mod:`finetune.parts.cs_parts.selection`.
        device (chainer.backend.Device): Device that computes.
        transform (Transform or None): How pictures become inputs of the network; ``None``: the
            default one.

    """

    def __init__(self, settings: Settings, architecture: str, cnn: chainer.Link,
                 choice: selection.SparseSVMs | selection.AllFeatures,
                 device: chainer.backend.Device, transform: Transform | None = None):
        self.settings = settings
        self.architecture = architecture
        self.cnn = cnn
        self.choice = choice
        self.device = device
        self.transform = transform or Transform()
        cnn.to_device(device)

    @property
    def n_parts(self) -> int:
        """Number of parts of every image."""
        return self.settings.n_parts

    def input(self, image: numpy.ndarray) -> numpy.ndarray:
        """The network's input, (3, input_size, input_size), of an image (3, H, W), uint8, RGB."""
        return self.transform.apply(image, self.settings.input_size)

    def find(self, images: list[numpy.ndarray]) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Finds parts in images (3, H, W), uint8, RGB, of any size.

        Returns:
            tuple of numpy.ndarray: Boxes (N, P, 4), float32, (y_min, x_min, y_max, x_max) in pixels
            of each image, and visibility (N, P), bool. If nothing is found in an image, all its
            parts are hidden.

        """
        inputs = list(map(self.input, images))
        found = [parts for i in range(0, len(inputs), BATCH_SIZE)
                 for parts in self.look(inputs[i:i + BATCH_SIZE])]
        in_image = [frame_boxes(parts.boxes, image.shape[1:], self.settings.input_size,
                                self.transform.fit) for parts, image in zip(found, images)]
        return (numpy.array(in_image, numpy.float32).reshape(-1, self.n_parts, 4),
                numpy.array([parts.visible for parts in found]).reshape(-1, self.n_parts))

    def look(self, img: Sequence[numpy.ndarray], folds: Sequence[int] | None = None
             ) -> list[Parts]:
        """Finds the :class:`Parts` of up to BATCH_SIZE inputs (3, H, W) of the network.

        ``folds`` are the folds of training images, whose SVMs have not seen them.
        """
        gradients = self._gradients(img, [NO_FOLD] * len(img) if folds is None else folds)
        with one_thread():
            return [self._parts(gradient, image) for gradient, image in zip(gradients, img)]

    def _gradients(self, img, folds):
        """Gradients with respect to pixels, (N, H, W)."""
        features, x = pooled_features(self.cnn, img, self.device)
        folds = numpy.array([*folds, *[NO_FOLD] * (BATCH_SIZE - len(img))])
        weights = self.choice.weights(chainer.backends.cuda.to_cpu(features.array), folds)
        return saliency.pixel_gradients(features, x, self.device.send(weights))[:len(img)]

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
            **target.target, **self.choice.arrays})
        write_text(folder / SETTINGS, yaml.safe_dump({
            'architecture': self.architecture, **self.transform._asdict(),
            **asdict(self.settings)}))


def load(folder: Path, device: chainer.backend.Device) -> Detector:
    """Loads a detector that :meth:`Detector.save` wrote."""
    where, settings = folder / SETTINGS, Settings()
    tree = read_yaml(where)
    architecture = tree.pop('architecture', None)
    transform = Transform(*(tree.pop(name, default)
                            for name, default in Transform()._asdict().items()))
    fill(settings, tree, str(where))
    check(settings, str(where))
    for name, value, choices in (('architecture', architecture, ARCHITECTURES),
                                 ('fit', transform.fit, FITS),
                                 ('interpolation', transform.interpolation, transforms.FILTERS)):
        if value not in choices:
            raise InputError(f'{where}: {name} is {value!r}, but must be one of '
                             f'{", ".join(choices)}.')
    path = folder / WEIGHTS
    choice = selection.load(pretrained.read_weights(path), settings.features,
                            ARCHITECTURES[architecture].n_features, str(path))
    return Detector(settings, architecture, load_cnn(architecture, path), choice, device, transform)


def architecture_of(config: Config) -> str:
    """Architecture of the weights in ``detector.cnn``: the model's, if they are not packaged."""
    return (PACKAGED_WEIGHTS.get(config.detector.cnn) or config.model).architecture


def load_cnn(architecture: str, path: Path) -> chainer.Link:
    """Loads a CNN that saves memory, if it can, because its inputs are large."""
    known = ARCHITECTURES[architecture]
    cnn = resolve_name(known.cnn)(**({'recompute': True} if known.bytes_recomputing else {}))
    pretrained.load_cnn(cnn, path)
    return cnn


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
