"""The classifier: a global stream, and a part stream whose features are encoded together."""
from pkgutil import resolve_name

import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from finetune.catalogue import ARCHITECTURES, ENCODINGS

# Terms of the loss: both streams together, and each alone.
LOSS_WEIGHTS = {'both': .5, 'global': .25, 'parts': .25}


class PartClassifier(chainer.Chain):

    """Classifier of images with any number of parts (Sects. 3.4, 4.5).

    The global stream is CNN -> global average pooling -> linear. The part stream has a CNN of its
    own, which sees all part crops of a batch at once; the local features of all parts of an image
    are encoded as one vector, which goes through a linear layer. The scores of both streams are
    summed.

    Args:
        settings (finetune.config.Model): Architecture and encoding.
        n_classes (int): Number of classes.
        n_parts (int): Number of part crops per image, P; 0: global stream only.
        missing (str): ``'zero'``: the features of hidden parts are zeros; ``'mask'``: they are
            left out; ``'centre'``: there are none, the data set crops the image's centre instead.
        seed (int): Seed of the mixture's initialisation.

    """

    def __init__(self, settings, n_classes, n_parts, missing='zero', seed=0):
        super().__init__()
        self.n_parts = n_parts
        self.missing = missing
        architecture = ARCHITECTURES[settings.architecture]
        cnn, n_features = resolve_name(architecture.cnn), architecture.n_features
        encoding = ENCODINGS[settings.encoding]
        with self.init_scope():
            self.global_cnn = cnn()
            self.global_head = _head(n_features, n_classes)
            if n_parts > 0:
                self.part_cnn = cnn()
                self.encoder = resolve_name(encoding.layer)(settings, n_features, n_parts, seed)
                self.part_head = _head(self.encoder.out_size, n_classes)
        self.encoder_input = resolve_name(encoding.input)
        self.l2_normalize = settings.l2_normalize

    def scores(self, img, parts, visible):
        """Class scores by stream.

        Args:
            img (array): Images, shape (N, 3, H, W).
            parts (array): Crops of the visible parts of all images, shape (M, 3, h, w).
            visible (array): Visible parts, shape (N, P), bool; M are true.

        Returns:
            dict of chainer.Variable: Scores (N, n_classes) by stream: ``'both'``, the sum of
            all streams; with parts also ``'global'`` and ``'parts'``, either stream alone.

        """
        global_scores = self.global_head(F.mean(self.global_cnn(img), axis=(2, 3)))
        if self.n_parts == 0:
            return {'both': global_scores}
        part_scores = self.part_head(self.encode(self.part_conv_maps(parts, visible), visible))
        return {'both': global_scores + part_scores, 'global': global_scores,
                'parts': part_scores}

    def encode(self, conv_map, visible):
        """One vector per image from the ConvMaps of all its parts (N P, C, h', w')."""
        encoding = self.encoder(*self.encoder_input(conv_map, visible, self.missing))
        return F.normalize(encoding) if self.l2_normalize else encoding

    def part_conv_maps(self, parts, visible):
        """ConvMaps of all parts, shape (N P, C, h', w'); zeros for hidden ones.

        Hidden parts do not go through the CNN: they take no time and do not enter its
        batch statistics.
        """
        if len(parts) == 0:
            parts = self.xp.zeros((1,) + parts.shape[1:], parts.dtype)
            with chainer.using_config('train', False):
                conv_map = self.part_cnn(parts)[:0]
        else:
            conv_map = self.part_cnn(parts)                    # (M, C, h', w')
        n_hidden = visible.size - len(conv_map)
        if n_hidden == 0:
            return conv_map
        zeros = self.xp.zeros((n_hidden,) + conv_map.shape[1:], conv_map.dtype)
        return F.permutate(F.concat((conv_map, zeros), axis=0), _slots(visible, len(conv_map)))

    def forward(self, img, parts, visible, label, label_smoothing=0.):
        """Loss of a batch (:func:`stream_loss`); reports accuracies and the encoding's state."""
        scores = self.scores(img, parts, visible)
        loss = stream_loss(scores, label, label_smoothing)
        chainer.report({'loss': loss, **{f'accuracy/{stream}': F.accuracy(score, label)
                                         for stream, score in scores.items()}}, self)
        if self.n_parts > 0:
            chainer.report(self.encoder.observation, self)
        return loss


def build_classifier(config, lists):
    """Classifier with random weights for an experiment and its data set."""
    n_parts = len(lists.part_names) if config.data.has_parts else 0
    return PartClassifier(config.model, len(lists.class_names), n_parts,
                          missing=config.data.missing, seed=config.training.seed)


def _slots(visible, n_visible):
    """Row (N P,) of every part's ConvMap in a list of visible parts first, then hidden ones."""
    visible = visible.ravel()
    xp = chainer.backend.get_array_module(visible)
    rows = xp.where(visible, xp.cumsum(visible) - 1, n_visible + xp.cumsum(~visible) - 1)
    return rows.astype(numpy.int32)


def stream_loss(scores, label, label_smoothing=0.):
    """Loss of both streams g and p and of their sum.

    .. math::

        L = \\frac{1}{2} CE(g + p) + \\frac{1}{4} CE(g) + \\frac{1}{4} CE(p),

    the aggregation of the authors' first experiments; CE(g) alone without parts.

    Args:
        scores (dict of chainer.Variable): See :meth:`PartClassifier.scores`.
        label (array): Classes, shape (N,), int32.
        label_smoothing (float): Share of the target spread evenly over all classes.

    Returns:
        chainer.Variable: The loss.

    """
    losses = {stream: smoothed_cross_entropy(score, label, label_smoothing)
              for stream, score in scores.items()}
    if len(losses) == 1:
        return losses['both']
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
