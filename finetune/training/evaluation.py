"""Accuracy on the test images."""
import chainer
import chainer.functions as F
from chainer.training import extensions

from finetune.data.dataset import collate


class Evaluator(extensions.Evaluator):

    """Chainer's evaluator with a mean over images, whatever the size of the last batch.

    Args:
        iterator (chainer.dataset.Iterator): One pass over the test images.
        model (finetune.models.part_classifier.PartClassifier): Classifier to evaluate.
        device: Where to compute.

    """

    def __init__(self, iterator, model, device):
        super().__init__(iterator, model, device=device)

    def evaluate(self):
        model = self.get_target('main')
        observation = {}
        with chainer.report_scope(observation):
            chainer.report(evaluate(model, self.get_iterator('main'), self.device), model)
        return observation


def evaluate(model, iterator, device):
    """Accuracies and loss over all images of an iterator, in test mode.

    Args:
        model (finetune.models.part_classifier.PartClassifier): Classifier to evaluate.
        iterator (chainer.dataset.Iterator): One pass over the images.
        device: Where to compute.

    Returns:
        dict: ``accuracy`` (of the summed scores) and ``loss``; with parts also
        ``accuracy_global`` and ``accuracy_parts``, of either stream alone. Accuracies in [0, 1].

    """
    iterator.reset()
    sums, n = {}, 0
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        for batch in iterator:
            for name, value in _sums(model, *collate(batch, device)).items():
                sums[name] = sums.get(name, 0.) + value
            n += len(batch)
    return {name: float(value) / n for name, value in sums.items()}


def _sums(model, img, parts, visible, label):
    """Numbers of correct predictions and sum of the losses of one batch."""
    global_logits, part_logits = model.logits(img, parts, visible)
    scores = {'accuracy': global_logits}
    if part_logits is not None:
        scores = {'accuracy': global_logits + part_logits,
                  'accuracy_global': global_logits, 'accuracy_parts': part_logits}
    sums = {name: (score.array.argmax(axis=1) == label).sum() for name, score in scores.items()}
    sums['loss'] = F.softmax_cross_entropy(scores['accuracy'], label).array * len(label)
    return sums
