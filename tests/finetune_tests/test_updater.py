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


def make(batch_size, update_size=10):
    random = numpy.random.RandomState(0)
    data = chainer.datasets.TupleDataset(
        random.randn(23, 4), random.randint(3, size=23).astype('i'))
    with chainer.using_config('dtype', numpy.float64):
        model = Classifier()
    optimizer = chainer.optimizers.RMSprop(.01).setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(.1))
    iterator = chainer.iterators.SerialIterator(data, update_size, shuffle=False)
    return AccumulatingUpdater(
        iterator, optimizer, batch_size, model, chainer.get_device('@numpy'),
        chainer.dataset.concat_examples)


def run(batch_size, n_updates=3, update_size=10, loss_scaling=False):
    updater = make(batch_size, update_size)
    optimizer = updater.get_optimizer('main')
    if loss_scaling:
        optimizer.loss_scaling()
    for _ in range(n_updates):
        observation = update(updater)
    return optimizer.target, observation


def update(updater):
    """One update; returns what it reports."""
    reporter, observation = chainer.Reporter(), {}
    reporter.add_observer('main', updater.get_optimizer('main').target)
    with reporter.scope(observation):
        updater.update()
    return observation


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


def weights(model):
    return {name: param.array.copy() for name, param in model.namedparams()}


@pytest.mark.parametrize('batch_size', [4, 10])
def test_scaled_loss_gives_the_same_weights(batch_size):
    """Bit for bit: scales are powers of two, and nothing overflows in float64."""
    expected, _ = run(batch_size)
    model, observation = run(batch_size, loss_scaling=True)
    assert observation['loss_scale'] == 4
    for name, array in weights(expected).items():
        assert (weights(model)[name] == array).all(), name


def test_update_that_overflows_is_left_out():
    updater = make(4)
    optimizer = updater.get_optimizer('main')
    optimizer.loss_scaling()
    model, loss_func = optimizer.target, updater.loss_func
    scales = []
    for overflow in (False, False, True, True, False, False):
        before = weights(model)
        updater.loss_func = lambda *arrays, overflow=overflow: loss_func(*arrays) * (
            numpy.inf if overflow else 1.)
        scales.append(update(updater)['loss_scale'])
        is_same = [(before[name] == array).all() for name, array in weights(model).items()]
        assert is_same == [overflow] * 4
        assert all(numpy.isfinite(array).all() for array in weights(model).values())
    growth = 2 ** .001      # doubles in 1000 updates from now on
    numpy.testing.assert_allclose(scales, [1, 2, 4, 2, 1, growth])


def test_state_of_loss_scaling_is_saved():
    updater, other = make(4), make(4)
    for each in updater, other:
        each.get_optimizer('main').loss_scaling()
        update(each)
    optimizer, loaded = (each.get_optimizer('main') for each in (updater, other))
    optimizer._loss_scale, optimizer._loss_scaling_isnan_ever = 3.5, True
    saved = chainer.serializers.DictionarySerializer()
    saved.save(updater)
    chainer.serializers.NpzDeserializer(saved.target).load(other)
    assert loaded._loss_scale == 3.5 and loaded._loss_scaling_isnan_ever is True
    plain = chainer.serializers.DictionarySerializer()
    plain.save(make(4))
    assert not any('loss_scal' in key for key in plain.target)
