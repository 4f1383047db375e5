"""The loss of a classifier of two streams."""
import chainer
import chainer.functions as F

from fve_layer.arrays import Array

# Weights of the losses; the loss of the part stream includes that of its auxiliary head.
LOSS_WEIGHTS = {'both': .5, 'global': .25, 'parts': .25}


def stream_loss(scores: dict[str, chainer.Variable], label: Array, label_smoothing: float = 0.,
                aux_lambda: float = 0.) -> chainer.Variable:
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

    """
    losses = {stream: smoothed_cross_entropy(score, label, label_smoothing)
              for stream, score in scores.items()}
    if len(losses) == 1:
        return losses['both']
    if 'aux' in losses:
        losses['parts'] = (1 - aux_lambda) * losses['parts'] + aux_lambda * losses.pop('aux')
    return sum(LOSS_WEIGHTS[stream] * loss for stream, loss in losses.items())


def smoothed_cross_entropy(logits: chainer.Variable, label: Array,
                           label_smoothing: float = 0.) -> chainer.Variable:
    """Cross entropy with a target of 1 - e for the label, plus e / n_classes for every class."""
    loss = F.softmax_cross_entropy(logits, label)
    if label_smoothing == 0:
        return loss
    even = -F.mean(F.log_softmax(logits))
    return (1 - label_smoothing) * loss + label_smoothing * even
