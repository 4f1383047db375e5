"""What a classifier says of the test images."""
import collections
from typing import Any, NamedTuple

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


class Predictions(NamedTuple):
    """What a classifier says of n images."""

    label: Any          # (n,): true classes
    n_visible: Any      # (n,): numbers of parts that it was given
    classes: dict       # (n,) predicted classes: 'accuracy' of the summed scores; with parts also
                        # 'accuracy_global' and 'accuracy_parts', of either stream alone
    loss: float         # mean cross entropy of the summed scores

    @property
    def accuracies(self):
        """Share of correct predictions by the keys of ``classes``."""
        return {name: float((classes == self.label).mean())
                for name, classes in self.classes.items()}


def evaluate(model, iterator, device):
    """Accuracies, in [0, 1], and loss over all images of an iterator, in test mode."""
    iterator.reset()
    predictions = predict(model, iterator, device)
    return {**predictions.accuracies, 'loss': predictions.loss}


def predict(model, batches, device):
    """Classifies images, in test mode.

    Args:
        model (finetune.models.part_classifier.PartClassifier): Classifier to evaluate.
        batches (iterable of list): Examples of a :class:`~finetune.data.dataset.PartDataset`.
        device: Where to compute.

    Returns:
        Predictions: In the order of the images, on the CPU.

    """
    arrays, loss = collections.defaultdict(list), 0.
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        for batch in batches:
            img, parts, visible, label = collate(batch, device)
            scores = _scores(*model.logits(img, parts, visible))
            loss += F.softmax_cross_entropy(scores['accuracy'], label).array * len(label)
            arrays['label'].append(label)
            arrays['n_visible'].append(visible.sum(axis=1))
            for name, score in scores.items():
                arrays[name].append(score.array.argmax(axis=1))
    arrays = {name: chainer.backends.cuda.to_cpu(device.xp.concatenate(pieces))
              for name, pieces in arrays.items()}
    label, n_visible = arrays.pop('label'), arrays.pop('n_visible')
    return Predictions(label, n_visible, arrays, float(loss) / len(label))


def _scores(global_logits, part_logits):
    if part_logits is None:
        return {'accuracy': global_logits}
    return {'accuracy': global_logits + part_logits,
            'accuracy_global': global_logits, 'accuracy_parts': part_logits}
