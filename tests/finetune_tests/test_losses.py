"""Losses with weights of classes, against scikit-learn and by hand in float64."""
import chainer
import numpy
import pytest
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_class_weight

from conftest import load
from finetune.config.config import read_config
from finetune.data.dataset import collate
from finetune.models.losses import balanced, stream_loss
from finetune.models.part_classifier import build_classifier
from finetune.runs.opening import seed_generators
from finetune.training.trainer import build_updater

N, CLASSES = 40, 6
CPU = chainer.get_device('@numpy')


@pytest.mark.parametrize('seed', range(3))
def test_balanced_weights_are_scikit_learns(seed):
    labels = numpy.random.RandomState(seed).choice(CLASSES, N, p=[.5, .2, .1, .1, .05, .05])
    there = numpy.unique(labels)
    weights = balanced(labels.astype('i'), CLASSES)
    assert weights.dtype == numpy.float32 and weights.shape == (CLASSES,)
    numpy.testing.assert_allclose(
        weights[there], compute_class_weight('balanced', classes=there, y=labels), rtol=1e-6)
    numpy.testing.assert_allclose(weights[labels].mean(), 1, rtol=1e-6)
    assert numpy.isfinite(weights).all()


@pytest.mark.parametrize('smoothing', [0, .1])
def test_weighted_loss_by_hand(smoothing):
    random = numpy.random.RandomState(0)
    g, p, a = random.randn(3, N, CLASSES)
    label, weight = random.randint(CLASSES, size=N), random.rand(CLASSES)
    scores = {'both': g + p, 'global': g, 'parts': p, 'aux': a}

    def loss_of(score):
        total = 0.
        for logits, k in zip(score, label):
            log_p = log_softmax(logits)
            target = [(1 - smoothing) * (c == k) + smoothing / CLASSES for c in range(CLASSES)]
            total -= weight[k] * numpy.dot(target, log_p)
        return total / N

    both, of_g, of_p, of_a = map(loss_of, scores.values())
    loss = stream_loss({name: chainer.Variable(score) for name, score in scores.items()},
                       label.astype('i'), smoothing, .3, weight)
    numpy.testing.assert_allclose(
        loss.array, .5 * both + .25 * of_g + .25 * (.7 * of_p + .3 * of_a), rtol=1e-10)


def test_training_weights_the_loss_of_all_training_images(write_config):
    """An update, cut into pieces, has the gradient of the weighted loss of its images."""
    config = read_config(write_config(
        data={'parts': 'GLOBAL'}, model={'encoding': 'gap'},
        training={'class_weight': 'balanced', 'batch_size': 2, 'cnn_lr_factor': 0}))
    data_set = load(config.data)
    data_set.train = data_set.train[:9]     # 4, 4 and 1
    gradients, losses = [], []
    for is_whole in True, False:
        seed_generators(0, CPU)
        model = build_classifier(config, data_set)
        updater = build_updater(model, config, data_set, CPU)
        if is_whole:
            arrays = collate(updater.get_iterator('main').next())
            scores = model.scores(*arrays[:3])
            weight = compute_class_weight('balanced', classes=numpy.arange(3),
                                          y=data_set.train.labels).astype('f')
            loss = stream_loss(scores, arrays[3], config.training.label_smoothing,
                               class_weight=weight)
            model.cleargrads()
            loss.backward()
            losses.append(float(loss.array))
        else:
            updater.update_weights = lambda: None
            reporter = chainer.Reporter()
            reporter.add_observer('main', model)
            with reporter:
                updater.update_core()
            losses.append(float(reporter.observation['main/loss']))
        gradients.append(model.global_head.W.grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    numpy.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-6)
