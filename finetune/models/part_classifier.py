"""The classifier: a global stream, and a part stream whose features are encoded together."""
from pkgutil import resolve_name

import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from finetune.config.catalogue import ARCHITECTURES, ENCODINGS, STEPS

# Terms of the loss: both streams together, and each alone. The part stream's includes that of its
# auxiliary head.
LOSS_WEIGHTS = {'both': .5, 'global': .25, 'parts': .25}


class PartClassifier(chainer.Chain):

    """Classifier of images with any number of parts (Sects. 3.4, 4.5).

    The global stream is CNN -> global average pooling -> linear. The part stream has a CNN of its
    own, which sees all part crops of a batch at once; the local features of all parts of an image
    are encoded as one vector, which goes through a linear layer. The scores of both streams are
    summed.

    Three things are there if the settings ask for them: a 1 x 1 convolution before the encoding,
    :attr:`steps` between it and the linear layer, and an auxiliary head on the average-pooled
    ConvMaps of the parts, which has its share in the loss only.

    Args:
        settings (finetune.config.settings.Model): Architecture and encoding.
        n_classes (int): Number of classes.
        n_parts (int): Number of part crops per image, P; 0: the whole image only, whose ConvMap is
            encoded unless the encoding is ``'gap'``.
        missing (str): ``'zero'``: the features of hidden parts are zeros; ``'mask'``: they are
            left out; ``'centre'``: there are none, the data set crops the image's centre instead.
        seed (int): Seed of the mixture's initialisation.
        mixed (bool): Whether the CNNs compute in float16, with weights in float32. The encoding,
            the linear layers and batch statistics are float32 in any case.
        recompute (bool): Whether the CNNs keep little for the backward pass and compute it again
            there; with the same results.
        frozen (bool): Whether training leaves the CNNs as they are: no gradient, and batch
            normalisation by the statistics they came with.

    Differs from Chainer's mixed16, which the authors' code sets: its weights are float16.
    """

    def __init__(self, settings, n_classes, n_parts, missing='zero', seed=0, mixed=False,
                 recompute=False, frozen=False):
        super().__init__()
        self.n_classes, self.n_parts = n_classes, n_parts
        self.missing = missing
        self.settings = settings
        self.aux_lambda = settings.aux_lambda       # decays during training
        self.mixed, self.frozen = mixed, frozen
        self.synchronized = False       # whether batch statistics are those of all ranks
        architecture = ARCHITECTURES[settings.architecture]
        cnn, n_features = resolve_name(architecture.cnn), architecture.n_features
        self.encoding = ENCODINGS[settings.encoding]
        # Of the whole image alone, GAP is the global stream.
        self.has_global_stream = n_parts > 0 or settings.encoding == 'gap'
        self.has_encoder = n_parts > 0 or settings.encoding != 'gap'
        options = {'recompute': True} if recompute else {}      # not every CNN has it
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
    def steps(self):
        """Links between the encoding and the class layer by name, in their order."""
        return {name: self[name] for name in STEPS if hasattr(self, name)}

    def cnn_params(self):
        """Parameters of the CNNs, which start from weights; those of all else are new."""
        return [param for link in self.children() if link.name in ('global_cnn', 'part_cnn')
                for param in link.params()]

    def _add_encoder(self, n_features, n_classes, seed):
        settings, n_channels = self.settings, n_features
        if settings.comp_size:
            n_channels = n_features if settings.comp_size < 0 else settings.comp_size
            self.compression = L.Convolution2D(n_features, n_channels, ksize=1)
        n_parts = max(self.n_parts, 1)      # the whole image is one
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

    def scores(self, img, parts, visible):
        """Class scores by stream.

        Args:
            img (array): Images, shape (N, 3, H, W).
            parts (array): Crops of the visible parts of all images, shape (M, 3, h, w).
            visible (array): Visible parts, shape (N, P), bool; M are true.

        Returns:
            dict of chainer.Variable: Scores (N, n_classes) by stream: ``'both'``, the sum of
            all streams or those of the only one; with parts also ``'global'`` and ``'parts'``,
            either stream alone; in training also ``'aux'``, of the auxiliary head if there is one.

        """
        conv_map, streams = self.conv_maps(self.global_cnn, img), {}
        if self.has_global_stream:
            streams['global'] = self.global_head(F.mean(conv_map, axis=(2, 3)))
        if self.has_encoder:
            conv_map, visible = self.encoded_maps(conv_map, parts, visible)
            streams['parts'] = self.part_head(self.encode(conv_map, visible))
        if self.n_parts == 0:
            score, = streams.values()
            return {'both': score}
        scores = {'both': streams['global'] + streams['parts'], **streams}
        if self.settings.aux_lambda and chainer.config.train:
            pooled = F.mean(conv_map, axis=(2, 3))                          # (N P, C)
            scores['aux'] = self.aux_head(F.reshape(pooled, (len(visible), -1)))
        return scores

    def encode(self, conv_map, visible):
        """One vector per image from the ConvMaps of all its parts (N P, C, h', w')."""
        *_, vector = self.vectors(self.encoder_input(conv_map, visible), conv_map).values()
        return vector

    def vectors(self, inputs, conv_map):
        """The encoding (N, out_size) of :meth:`encoder_input`, and what each step makes of it.

        They are in a dict by name, in their order; the last one goes into the class layer.
        """
        x = self.encoder(*inputs)
        vectors = {'encoding': x}
        for name, step in self.steps.items():
            x = vectors[name] = step(x, conv_map)
        return vectors

    def encoded_maps(self, conv_map, parts, visible):
        """ConvMaps that are encoded, and which are visible: of parts, or of the image."""
        if self.n_parts > 0:
            return self.part_conv_maps(parts, visible), visible
        return conv_map, self.xp.ones((len(conv_map), 1), bool)

    def encoder_input(self, conv_map, visible):
        """Arguments of the encoding's layer: local features and their mask, or ConvMaps."""
        if self.settings.comp_size:
            conv_map = self.compression(conv_map)
            conv_map *= visible.reshape(-1, 1, 1, 1).astype(conv_map.dtype)    # no bias of hidden
        return self._encoder_input(conv_map, visible, self.missing)

    def conv_maps(self, cnn, images):
        """ConvMaps (N, C, h, w), float32, of images (N, 3, H, W) by one of the CNNs."""
        if self.frozen and chainer.config.train:
            with chainer.using_config('train', False), chainer.no_backprop_mode():
                return self.conv_maps(cnn, images)
        if not self.mixed:
            return cnn(images)
        return F.cast(cnn(images.astype(numpy.float16)), numpy.float32)

    def part_conv_maps(self, parts, visible):
        """ConvMaps of all parts, shape (N P, C, h', w'); zeros for hidden ones.

        Hidden parts do not go through the CNN: they take no time and do not enter its
        batch statistics.
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
        """Those of all ranks' crops, by the same graph on each, so that they sum in one order."""
        shown = parts
        if len(parts) == 0:
            shown = self.xp.zeros((1,) + parts.shape[1:], parts.dtype)
        with chainer.using_config('in_batch_statistics', len(parts) > 0):
            return self.conv_maps(self.part_cnn, shown)[:len(parts)]

    def forward(self, img, parts, visible, label, label_smoothing=0.):
        """Loss of a batch (:func:`stream_loss`); reports accuracies and the encoding's state."""
        scores = self.scores(img, parts, visible)
        loss = stream_loss(scores, label, label_smoothing, self.aux_lambda)
        chainer.report({'loss': loss, **{f'accuracy/{stream}': F.accuracy(score, label)
                                         for stream, score in scores.items()}}, self)
        if self.has_encoder:
            chainer.report(self.encoder.observation, self)
        return loss


def build_classifier(config, data_set):
    """Classifier with random weights for an experiment and its data set."""
    n_parts = len(data_set.part_names) if config.data.has_parts else 0
    return PartClassifier(config.model, len(data_set.class_names), n_parts,
                          missing=config.data.missing, seed=config.training.seed,
                          mixed=config.training.dtype == 'mixed16',
                          recompute=config.training.recompute,
                          frozen=config.training.cnn_lr_factor == 0)


def _slots(visible, n_visible):
    """Row (N P,) of every part's ConvMap in a list of visible parts first, then hidden ones."""
    visible = visible.ravel()
    xp = chainer.backend.get_array_module(visible)
    rows = xp.where(visible, xp.cumsum(visible) - 1, n_visible + xp.cumsum(~visible) - 1)
    return rows.astype(numpy.int32)


def stream_loss(scores, label, label_smoothing=0., aux_lambda=0.):
    """Loss of both streams g and p and of their sum.

    .. math::

        L = \\frac{1}{2} CE(g + p) + \\frac{1}{4} CE(g) + \\frac{1}{4} CE(p),

    the aggregation of the authors' first experiments; CE(g) alone without parts. With an auxiliary
    head a, CE(p) becomes

    .. math::

        (1 - \\lambda_{aux}) CE(p) + \\lambda_{aux} CE(a).

    Differs from the authors' code: the released one has (CE(g) + CE(p)) / 2, with the auxiliary
    head in CE(p) as here; that of their first experiments also predicted with the auxiliary head,
    p being (1 - lambda) times the scores of the Fisher vector plus lambda times those of the head.

    Args:
        scores (dict of chainer.Variable): See :meth:`PartClassifier.scores`.
        label (array): Classes, shape (N,), int32.
        label_smoothing (float): Share of the target spread evenly over all classes.
        aux_lambda (float): Weight of the auxiliary head.

    Returns:
        chainer.Variable: The loss.

    """
    losses = {stream: smoothed_cross_entropy(score, label, label_smoothing)
              for stream, score in scores.items()}
    if len(losses) == 1:
        return losses['both']
    if 'aux' in losses:
        losses['parts'] = (1 - aux_lambda) * losses['parts'] + aux_lambda * losses.pop('aux')
    return sum(LOSS_WEIGHTS[stream] * loss for stream, loss in losses.items())


def smoothed_cross_entropy(logits, label, label_smoothing=0.):
    """Cross entropy with a target of 1 - e for the label, plus e / n_classes for every class."""
    loss = F.softmax_cross_entropy(logits, label)
    if label_smoothing == 0:
        return loss
    even = -F.mean(F.log_softmax(logits))
    return (1 - label_smoothing) * loss + label_smoothing * even


def _head(in_size, n_classes):
    return L.Linear(in_size, n_classes, initialW=chainer.initializers.HeNormal())
