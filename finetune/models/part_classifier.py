"""The classifier: a global stream, and a part stream whose features are encoded together."""
import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from fve_layer import FVELayer, GradientFVELayer
from fve_layer import gmm
from finetune.models.inception_v3 import InceptionV3
from finetune.models.small_cnn import SmallCNN

ARCHITECTURES = {'inception_v3': InceptionV3, 'small_cnn': SmallCNN}


class PartClassifier(chainer.Chain):

    """Classifier of images with any number of parts (Sects. 3.4, 4.5).

    The global stream is CNN -> global average pooling -> linear. The part stream has a CNN of its
    own, which sees all part crops of a batch at once; the ConvMaps of an image's parts become
    either one averaged vector per part, concatenated in the order of the parts (``gap``), or the
    Fisher vector of all their local features (``fve``, ``gradient_fve``), and then go through a
    linear layer. The logits of both streams are summed.

    Args:
        settings (finetune.config.Model): Architecture and encoding.
        n_classes (int): Number of classes.
        n_parts (int): Number of part crops per image, P; 0: global stream only.
        missing (str): ``'zero'``: the features of hidden parts are zeros; ``'mask'``: they are
            left out; ``'centre'``: there are none, the data set crops something else for them.
        seed (int): Seed of the mixture's seeding.

    """

    def __init__(self, settings, n_classes, n_parts, missing='zero', seed=0):
        super().__init__()
        self.n_parts = n_parts
        self.missing = missing
        cnn = ARCHITECTURES[settings.architecture]
        with self.init_scope():
            self.global_cnn = cnn()
            self.global_head = _head(self.global_cnn.n_features, n_classes)
            if n_parts > 0:
                self.part_cnn = cnn()
                n_features = self.part_cnn.n_features
                self.encoder = _encoder(settings, n_features, seed)
                self.part_head = _head(
                    n_parts * n_features if self.encoder is None else self.encoder.out_size,
                    n_classes)
        self.l2_normalize = settings.l2_normalize

    def logits(self, img, parts, visible):
        """Class scores of both streams.

        Args:
            img (array): Images, shape (N, 3, H, W).
            parts (array): Crops of the visible parts of all images, shape (M, 3, h, w).
            visible (array): Which parts these are, shape (N, P), bool; M are true.

        Returns:
            tuple of chainer.Variable: Scores (N, n_classes) of the global stream, and of the part
            stream (``None`` without parts).

        """
        global_logits = self.global_head(_average(self.global_cnn.conv_map(img)))
        if self.n_parts == 0:
            return global_logits, None
        return global_logits, self.part_head(self.encode_parts(parts, visible))

    def encode_parts(self, parts, visible):
        """One vector per image from the crops of its visible parts (M, 3, h, w)."""
        return self.encode(self.part_conv_maps(parts, visible), visible)

    def encode(self, conv_map, visible):
        """One vector per image from the ConvMaps of all its parts (N P, C, h', w')."""
        if self.encoder is None:
            return F.reshape(_average(conv_map), (len(visible), -1))    # (N, P C)
        fv = self.encoder(*self.encoder_input(conv_map, visible))       # (N, 2 K C)
        return F.normalize(fv) if self.l2_normalize else fv

    def encoder_input(self, conv_map, visible):
        """Local features (N, P h' w', C) of ConvMaps, and which are visible; ``None``: all."""
        x, mask = local_features(conv_map, visible)
        return x, mask if self.missing == 'mask' else None

    def part_conv_maps(self, parts, visible):
        """ConvMaps of all parts, shape (N P, C, h', w'); zeros for hidden ones.

        Hidden parts do not go through the CNN: they cost nothing and are not in its batch
        statistics.
        """
        if len(parts) == 0:
            parts = self.xp.zeros((1,) + parts.shape[1:], parts.dtype)
            with chainer.using_config('train', False):
                conv_map = self.part_cnn.conv_map(parts)[:0]
        else:
            conv_map = self.part_cnn.conv_map(parts)                    # (M, C, h', w')
        n_hidden = visible.size - len(conv_map)
        if n_hidden == 0:
            return conv_map
        zeros = self.xp.zeros((n_hidden,) + conv_map.shape[1:], conv_map.dtype)
        return F.permutate(F.concat((conv_map, zeros), axis=0), _slots(visible, len(conv_map)))

    def forward(self, img, parts, visible, label, label_smoothing=0.):
        """Loss of a batch (see :func:`part_loss`); reports accuracies and the mixture's state."""
        global_logits, part_logits = self.logits(img, parts, visible)
        loss, total = part_loss(global_logits, part_logits, label, label_smoothing)
        chainer.report({'loss': loss, 'accuracy': F.accuracy(total, label)}, self)
        if part_logits is not None:
            chainer.report({'accuracy_global': F.accuracy(global_logits, label),
                            'accuracy_parts': F.accuracy(part_logits, label)}, self)
            self._report_mixture()
        return loss

    def _report_mixture(self):
        encoder = self.encoder
        if isinstance(encoder, FVELayer):
            chainer.report({'weight_entropy': gmm.normalized_entropy(encoder.weight)}, self)
            if encoder.log_likelihood is not None:
                chainer.report({'log_likelihood': encoder.log_likelihood}, self)


def _slots(visible, n_visible):
    """For every part (N P,), in which row its ConvMap is: visible parts first, then hidden ones."""
    visible = visible.ravel()
    xp = chainer.backend.get_array_module(visible)
    rows = xp.where(visible, xp.cumsum(visible) - 1, n_visible + xp.cumsum(~visible) - 1)
    return rows.astype(numpy.int32)


def local_features(conv_map, visible):
    """The local features of an image's parts, as one unordered set (Sect. 3.4).

    Args:
        conv_map (chainer.Variable): ConvMaps, shape (N P, C, h, w).
        visible (array): Which parts count, shape (N, P), bool.

    Returns:
        tuple: Features, a Variable of shape (N, P h w, C), and which of them are visible, an array
        of shape (N, P h w).

    """
    n, p = visible.shape
    c, h, w = conv_map.shape[1:]
    x = F.reshape(conv_map, (n, p, c, h * w))
    x = F.transpose(x, (0, 1, 3, 2))                # (N, P, h w, C)
    return F.reshape(x, (n, p * h * w, c)), visible.repeat(h * w, axis=1)


def part_loss(global_logits, part_logits, label, label_smoothing=0.):
    """Loss of both streams and of their sum.

    .. math::

        L = \\frac{1}{2} CE(g + p) + \\frac{1}{4} CE(g) + \\frac{1}{4} CE(p),

    the aggregation of the authors' first experiments; CE(g) alone without parts.

    Args:
        global_logits, part_logits (chainer.Variable): Scores, shape (N, n_classes); those of the
            parts may be ``None``.
        label (array): Classes, shape (N,), int32.
        label_smoothing (float): Share of the target that is spread evenly over all classes.

    Returns:
        tuple of chainer.Variable: The loss, and the scores to predict from (N, n_classes).

    """
    if part_logits is None:
        return smoothed_cross_entropy(global_logits, label, label_smoothing), global_logits
    total = global_logits + part_logits
    losses = [smoothed_cross_entropy(logits, label, label_smoothing)
              for logits in (total, global_logits, part_logits)]
    return .5 * losses[0] + .25 * losses[1] + .25 * losses[2], total


def smoothed_cross_entropy(logits, label, label_smoothing=0.):
    """Cross entropy with a target of 1 - e for the label, plus e / n_classes for every class."""
    loss = F.softmax_cross_entropy(logits, label)
    if label_smoothing == 0:
        return loss
    even = -F.mean(F.log_softmax(logits))
    return (1 - label_smoothing) * loss + label_smoothing * even


def _average(conv_map):
    """Global average pooling (GAP)."""
    return F.mean(conv_map, axis=(2, 3))


def _head(in_size, n_classes):
    return L.Linear(in_size, n_classes, initialW=chainer.initializers.HeNormal())


def _encoder(settings, n_features, seed):
    """The layer that turns local features into one vector; ``None`` for ``gap``."""
    if settings.encoding == 'gap':
        return None
    common = dict(norm_filter=settings.norm_filter, normalization=settings.normalization,
                  var_floor=settings.var_floor, seed=seed)
    if settings.encoding == 'gradient_fve':
        return GradientFVELayer(n_features, settings.n_components, **common)
    return FVELayer(n_features, settings.n_components, ema_decay=settings.ema_decay,
                    init=settings.init, **common)
