"""The classifier: a global stream, and a part stream that encodes all parts of an image."""
from pkgutil import resolve_name
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from fve_layer.arrays import Array
from finetune.config.catalogue import ARCHITECTURES, ENCODINGS, STEPS
from finetune.config.settings import Config, Model
from finetune.models.losses import stream_loss


class PartClassifier(chainer.Chain):

    """Classifier of images with any number of parts (Sects. 3.4, 4.5).

    The global stream is CNN -> global average pooling -> linear. The part stream has its own CNN,
    which processes all part crops of a batch at once; the local features of all parts of an image
    are encoded as one vector, which goes through a linear layer. The scores of both streams are
    summed.

    Three components are optional: a 1 x 1 convolution before the encoding, :attr:`steps` between
    the encoding and the linear layer, and an auxiliary head on the average-pooled ConvMaps of the
    parts, which is used in the loss only.

    Args:
        settings (finetune.config.settings.Model): Architecture and encoding.
        n_classes (int): Number of classes.
        n_parts (int): Number P of part crops per image; 0: the ConvMap of the whole image is
            encoded, unless the encoding is ``'gap'``.
        missing (str): ``'zero'``: the features of hidden parts are zeros; ``'mask'``: they are
            masked; ``'centre'``: the data set crops the image's centre, so no part is hidden.
        seed (int): Seed of the mixture's initialisation.
        mixed (bool): Whether the CNNs compute in float16. Weights, encoding, linear layers and
            batch statistics are always float32.
        recompute (bool): Whether the backward pass recomputes the activations of the CNNs.
        frozen (bool): Whether the CNNs are frozen, including the statistics of batch
            normalisation.
        freeze_batch_norm (bool): Whether batch normalisation keeps and uses its running statistics
            while the other weights of the CNNs, and its own scale and shift, learn.

    Differs from Chainer's mixed16, which the authors' code sets and whose weights are float16.
    """

    def __init__(self, settings: Model, n_classes: int, n_parts: int, missing: str = 'zero',
                 seed: int = 0, mixed: bool = False, recompute: bool = False,
                 frozen: bool = False, freeze_batch_norm: bool = False) -> None:
        super().__init__()
        self.n_classes, self.n_parts = n_classes, n_parts
        self.missing = missing
        self.settings = settings
        self.aux_lambda = settings.aux_lambda       # decays during training
        self.mixed, self.frozen = mixed, frozen
        self.freeze_batch_norm = freeze_batch_norm
        self.given_conv_maps = False    # whether inputs are ConvMaps in place of images and crops
        self.synchronized = False       # whether batch statistics are computed over all ranks
        architecture = ARCHITECTURES[settings.architecture]
        cnn, n_features = resolve_name(architecture.cnn), architecture.n_features
        self.encoding = ENCODINGS[settings.encoding]
        # Without parts, GAP is the global stream.
        self.has_global_stream = n_parts > 0 or settings.encoding == 'gap'
        self.has_encoder = n_parts > 0 or settings.encoding != 'gap'
        options = {'recompute': True} if recompute else {}      # not every CNN supports it
        with self.init_scope():
            self.global_cnn = cnn(**options)
            if self.has_global_stream:
                self.global_head = _head(n_features, n_classes)
            if n_parts > 0:
                self.part_cnn = cnn(**options)
            if self.has_encoder:
                self._add_encoder(n_features, n_classes, seed)
        self._encoder_input = resolve_name(self.encoding.input)

    @property
    def steps(self) -> dict[str, chainer.Link]:
        """Links between the encoding and the class layer by name, in the order of execution."""
        return {name: self[name] for name in STEPS if hasattr(self, name)}

    @property
    def heads(self) -> dict[str, chainer.Link]:
        """The class layer of each stream."""
        names = {'global': 'global_head', 'parts': 'part_head'}
        return {stream: self[name] for stream, name in names.items() if hasattr(self, name)}

    def cnn_params(self) -> list[chainer.Parameter]:
        """Parameters of the CNNs, which may be pre-trained."""
        return [param for link in self.children() if link.name in ('global_cnn', 'part_cnn')
                for param in link.params()]

    def _add_encoder(self, n_features, n_classes, seed):
        settings, n_channels = self.settings, n_features
        if settings.comp_size:
            n_channels = n_features if settings.comp_size < 0 else settings.comp_size
            self.compression = L.Convolution2D(n_features, n_channels, ksize=1)
        n_parts = max(self.n_parts, 1)      # the whole image counts as a part
        self.encoder = resolve_name(self.encoding.layer)(
            n_channels, n_parts, seed,
            **{name: getattr(settings, name) for name in self.encoding.settings})
        size = self.encoder.out_size
        for name, (setting, link) in STEPS.items() if self.encoding.has_steps else ():
            if getattr(settings, setting):
                setattr(self, name, resolve_name(link)(settings, size))
                size = getattr(self[name], 'out_size', size)
        self.part_head = _head(size, n_classes)
        if settings.aux_lambda:
            self.aux_head = L.Linear(self.n_parts * n_features, n_classes)

    def scores(self, img: Array, parts: Array, visible: Array) -> dict[str, chainer.Variable]:
        """Class scores by stream.

        Args:
            img (array): Images, shape (N, 3, H, W).
            parts (array): Crops of the visible parts of all images, shape (M, 3, h, w).
            visible (array): Visible parts, shape (N, P), bool; M are true.

        Returns:
            dict of chainer.Variable: Scores (N, n_classes) by stream: ``'both'``, the sum of all
            streams; with parts also ``'global'`` and ``'parts'``, each stream alone; in training
            also ``'aux'``, those of the auxiliary head if it exists.

        """
        features, conv_map = self.features(img, parts, visible)
        streams = {stream: self.heads[stream](x) for stream, x in features.items()}
        if self.n_parts == 0:
            score, = streams.values()
            return {'both': score}
        scores = {'both': streams['global'] + streams['parts'], **streams}
        if self.settings.aux_lambda and chainer.config.train:
            pooled = F.mean(conv_map, axis=(2, 3))                          # (N P, C)
            scores['aux'] = self.aux_head(F.reshape(pooled, (len(visible), -1)))
        return scores

    def features(self, img: Array, parts: Array, visible: Array
                 ) -> tuple[dict[str, chainer.Variable], chainer.Variable]:
        """The inputs of the class layers, and the ConvMaps that are encoded, if any are.

        Args:
            img, parts, visible (array): See :meth:`scores`.

        Returns:
            dict of chainer.Variable: By stream, ``'global'``: the pooled ConvMap (N, C) of the
            whole image; ``'parts'``: the encoding after all :attr:`steps`.
            chainer.Variable: ConvMaps (N P, C, h', w') of the parts, or of the whole image.

        """
        conv_map, features = self.conv_maps(self.global_cnn, img), {}
        if self.has_global_stream:
            features['global'] = F.mean(conv_map, axis=(2, 3))
        if self.has_encoder:
            conv_map, visible = self.encoded_maps(conv_map, parts, visible)
            features['parts'] = self.encode(conv_map, visible)
        return features, conv_map

    def encode(self, conv_map: chainer.Variable, visible: Array) -> chainer.Variable:
        """Encodes the ConvMaps (N P, C, h', w') of all parts as one vector per image."""
        *_, vector = self.vectors(self.encoder_input(conv_map, visible), conv_map).values()
        return vector

    def vectors(self, inputs: tuple, conv_map: chainer.Variable) -> dict[str, chainer.Variable]:
        """The encoding (N, out_size) of :meth:`encoder_input` and the output of each step.

        The dict is in the order of execution; the last vector is the class layer's input.
        """
        x = self.encoder(*inputs)
        vectors = {'encoding': x}
        for name, step in self.steps.items():
            x = vectors[name] = step(x, conv_map)
        return vectors

    def encoded_maps(self, conv_map: chainer.Variable, parts: Array, visible: Array
                     ) -> tuple[chainer.Variable, Array]:
        """ConvMaps that are encoded, those of the parts or of the image, and which are visible."""
        if self.n_parts > 0:
            return self.part_conv_maps(parts, visible), visible
        return conv_map, self.xp.ones((len(conv_map), 1), bool)

    def encoder_input(self, conv_map: chainer.Variable, visible: Array) -> tuple:
        """Arguments of the encoding's layer: features and mask, or ConvMaps and visible parts."""
        if self.settings.comp_size:
            conv_map = self.compression(conv_map)
            conv_map *= visible.reshape(-1, 1, 1, 1).astype(conv_map.dtype)    # removes the bias
        return self._encoder_input(conv_map, visible, self.missing)

    def conv_maps(self, cnn: chainer.Link, images: Array) -> chainer.Variable:
        """ConvMaps (N, C, h, w), float32: of images (N, 3, H, W), or given in their place."""
        if self.given_conv_maps:
            return chainer.as_variable(images.astype(numpy.float32))
        return self.computed_conv_maps(cnn, images)

    def computed_conv_maps(self, cnn: chainer.Link, images: Array) -> chainer.Variable:
        """ConvMaps (N, C, h, w), float32, that a CNN computes from images (N, 3, H, W)."""
        if self.frozen and chainer.config.train:
            with chainer.using_config('train', False), chainer.no_backprop_mode():
                return self.computed_conv_maps(cnn, images)
        # Batch normalisation is the only function of the CNNs that differs in training.
        with chainer.using_config('train', chainer.config.train and not self.freeze_batch_norm):
            if not self.mixed:
                return cnn(images)
            return F.cast(cnn(images.astype(numpy.float16)), numpy.float32)

    def part_conv_maps(self, parts: Array, visible: Array) -> chainer.Variable:
        """ConvMaps (N P, C, h', w') of all parts; zeros for hidden parts.

        Hidden parts do not go through the CNN: they take no time and do not affect batch
        statistics.
        """
        if self.synchronized and chainer.config.train:
            conv_map = self._synchronized_conv_maps(parts)
        elif len(parts) == 0:
            parts = self.xp.zeros((1,) + parts.shape[1:], parts.dtype)
            with chainer.using_config('train', False), chainer.no_backprop_mode():
                conv_map = self.conv_maps(self.part_cnn, parts)[:0]
        else:
            conv_map = self.conv_maps(self.part_cnn, parts)    # (M, C, h', w')
        n_hidden = visible.size - len(conv_map)
        if n_hidden == 0 and not self.synchronized:
            return conv_map
        zeros = self.xp.zeros((n_hidden,) + conv_map.shape[1:], conv_map.dtype)
        return F.permutate(F.concat((conv_map, zeros), axis=0), _slots(visible, len(conv_map)))

    def _synchronized_conv_maps(self, parts):
        """ConvMaps of visible parts, with batch statistics of all ranks.

        The graph is the same on every rank, even without crops, so that gradients are summed in
        the same order.
        """
        shown = parts
        if len(parts) == 0:
            shown = self.xp.zeros((1,) + parts.shape[1:], parts.dtype)
        with chainer.using_config('in_batch_statistics', len(parts) > 0):
            return self.conv_maps(self.part_cnn, shown)[:len(parts)]

    def forward(self, img: Array, parts: Array, visible: Array, label: Array,
                label_smoothing: float = 0., class_weight: Array | None = None
                ) -> chainer.Variable:
        """Loss of a batch (:func:`stream_loss`); reports accuracies and the encoding's state."""
        scores = self.scores(img, parts, visible)
        loss = stream_loss(scores, label, label_smoothing, self.aux_lambda, class_weight)
        chainer.report({'loss': loss, **{f'accuracy/{stream}': F.accuracy(score, label)
                                         for stream, score in scores.items()}}, self)
        if self.has_encoder:
            chainer.report(self.encoder.observation, self)
        return loss


def build_classifier(config: Config, data_set: Any) -> PartClassifier:
    """Makes a classifier with random weights for an experiment and its data set."""
    n_parts = len(data_set.part_names) if config.data.has_parts else 0
    return PartClassifier(config.model, len(data_set.class_names), n_parts,
                          missing=config.data.missing, seed=config.training.seed,
                          mixed=config.training.dtype == 'mixed16',
                          recompute=config.training.recompute,
                          frozen=config.training.cnn_lr_factor == 0,
                          freeze_batch_norm=config.training.freeze_batch_norm)


def _slots(visible, n_visible):
    """Row (N P,) of every part's ConvMap in an array of visible parts followed by hidden parts."""
    visible = visible.ravel()
    xp = chainer.backend.get_array_module(visible)
    rows = xp.where(visible, xp.cumsum(visible) - 1, n_visible + xp.cumsum(~visible) - 1)
    return rows.astype(numpy.int32)


def _head(in_size, n_classes):
    return L.Linear(in_size, n_classes, initialW=chainer.initializers.HeNormal())
