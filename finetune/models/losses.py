"""The loss of a classifier's streams."""
import chainer
import chainer.functions as F
import numpy

from fve_layer.arrays import Array

# Weights of the losses; the loss of the part stream includes that of its auxiliary head.
LOSS_WEIGHTS = {'both': .5, 'global': .25, 'parts': .25}


def stream_loss(scores: dict[str, chainer.Variable], label: Array, label_smoothing: float = 0.,
                aux_lambda: float = 0., class_weight: Array | None = None) -> chainer.Variable:
    """Loss of the scores g and p of both streams and of their sum.

    .. math::

        L = \\frac{1}{2} CE(g + p) + \\frac{1}{4} CE(g) + \\frac{1}{4} CE(p).

    Without parts the loss is CE of the only stream. With an auxiliary head a, CE(p) becomes

    .. math::

        (1 - \\lambda_{aux}) CE(p) + \\lambda_{aux} CE(a).

    Differs from both versions of the authors' code. That of their first experiments has this loss,
    but also predicts with the auxiliary head: p is (1 - lambda) times the scores of the Fisher
    vector plus lambda times those of the head. The loss of the released version is
    (CE(g) + CE(p)) / 2, with the auxiliary head in CE(p) as here.

    Args:
        scores (dict of chainer.Variable): See :meth:`PartClassifier.scores`.
        label (array): Classes, shape (N,), int32.
        label_smoothing (float): Share of the target that is spread evenly over all classes.
        aux_lambda (float): Weight of the auxiliary head.
        class_weight (array or None): Weight of the loss of each class's images, shape
            (n_classes,), float32 (:func:`balanced`); ``None``: 1.

    """
    losses = {stream: smoothed_cross_entropy(score, label, label_smoothing, class_weight)
              for stream, score in scores.items()}
    if len(losses) == 1:
        return losses['both']
    if 'aux' in losses:
        losses['parts'] = (1 - aux_lambda) * losses['parts'] + aux_lambda * losses.pop('aux')
    return sum(LOSS_WEIGHTS[stream] * loss for stream, loss in losses.items())


def smoothed_cross_entropy(logits: chainer.Variable, label: Array,
                           label_smoothing: float = 0., class_weight: Array | None = None
                           ) -> chainer.Variable:
    """Cross entropy with a target of 1 - e for the label, plus e / n_classes for every class.

    The loss of each image is multiplied by the weight of its label, then averaged over images.
    """
    loss = F.softmax_cross_entropy(logits, label, class_weight=class_weight)
    if label_smoothing == 0:
        return loss
    log_p = F.log_softmax(logits)
    if class_weight is not None:
        log_p *= class_weight[label][:, None]
    return (1 - label_smoothing) * loss - label_smoothing * F.mean(log_p)


def balanced(labels: numpy.ndarray, n_classes: int) -> numpy.ndarray:
    """Weights (n_classes,), float32, with which every class weighs as much as the others.

    They are n / (n_classes n_c), as scikit-learn's ``class_weight='balanced'``, for n_c of the n
    ``labels`` in class c; their mean over the images is 1. Classes without images do not count.
    """
    counts = numpy.bincount(labels, minlength=n_classes)
    return (len(labels) / (numpy.count_nonzero(counts) * numpy.maximum(counts, 1))
            ).astype(numpy.float32)
