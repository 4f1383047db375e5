"""Gradients of many small pieces against those of one batch."""
import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

from finetune.training.updater import AccumulatingUpdater


class Classifier(chainer.Chain):

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.hidden = L.Linear(4, 6, initialW=chainer.initializers.HeNormal(
                rng=numpy.random.RandomState(0)))
            self.head = L.Linear(6, 3, initialW=chainer.initializers.HeNormal(
                rng=numpy.random.RandomState(1)))

    def forward(self, x, label):
        loss = F.softmax_cross_entropy(self.head(F.tanh(self.hidden(x))), label)
        chainer.report({'loss': loss, 'n': len(x)}, self)
        return loss


def run(batch_size, n_updates=3, update_size=10):
    random = numpy.random.RandomState(0)
    data = chainer.datasets.TupleDataset(
        random.randn(23, 4), random.randint(3, size=23).astype('i'))
    with chainer.using_config('dtype', numpy.float64):
        model = Classifier()
    optimizer = chainer.optimizers.RMSprop(.01).setup(model)
    iterator = chainer.iterators.SerialIterator(data, update_size, shuffle=False)
    updater = AccumulatingUpdater(
        iterator, optimizer, batch_size, model, chainer.get_device('@numpy'),
        chainer.dataset.concat_examples)
    reporter = chainer.Reporter()
    reporter.add_observer('main', model)
    observation = {}
    with reporter.scope(observation):
        for _ in range(n_updates):
            updater.update()
    return model, observation


@pytest.mark.parametrize('batch_size', [1, 2, 4, 7])    # 4 and 7 leave a short last piece
def test_pieces_equal_one_big_batch(batch_size):
    expected, expected_observation = run(10)
    model, observation = run(batch_size)
    params = dict(model.namedparams())
    assert len(params) == 4
    for name, param in expected.namedparams():
        numpy.testing.assert_allclose(params[name].array, param.array, rtol=1e-6, err_msg=name)
    numpy.testing.assert_allclose(
        observation['main/loss'], expected_observation['main/loss'], rtol=1e-6)


def test_reports_are_weighted_by_images():
    _, observation = run(4)     # pieces of 4, 4 and 2 images
    assert float(observation['main/n']) == pytest.approx((4 * 4 + 4 * 4 + 2 * 2) / 10)
