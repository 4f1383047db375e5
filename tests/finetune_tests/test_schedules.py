"""Learning rates as functions of the epochs done."""
import json
from pathlib import Path

import chainer
import chainer.links as L
from chainer.training import extensions
import numpy
import pytest

from conftest import run
from finetune.training import trainer
from finetune.training.schedules import cosine, Schedule, steps, warmed_up


@pytest.mark.parametrize('done, expected', [
    (0, 1), (1, 1), (1.99, 1), (2, .1), (4.5, .1), (5, .01), (9, .01)])
def test_steps(done, expected):
    assert steps(1, .1, [2, 5])(done) == pytest.approx(expected)


def test_no_step_goes_below_the_smallest_value():
    assert steps(1, .1, [2, 5], smallest=.05)(9) == .05


@pytest.mark.parametrize('done, expected', [
    (0, 1), (2.5, .2 + .8 * (1 + 2 ** -.5) / 2), (5, .6), (10, .2), (11, .2)])
def test_cosine(done, expected):
    assert cosine(1, 10, .2)(done) == pytest.approx(expected)


def test_warm_up():
    """Ten updates an epoch: the first is with a twentieth, the twentieth with all of it."""
    rate = warmed_up(steps(2, .1, [3]), 2, .1)
    assert [rate(done) for done in (0, .1, .9, 1.9, 2, 3)] == pytest.approx(
        [.1, .2, 1, 2, 2, .2])
    unchanged = steps(1, .1, [3])
    assert warmed_up(unchanged, 0, .1) is unchanged


@pytest.mark.parametrize('n_images', [6, 5])
def test_steps_are_those_of_chainers_exponential_shift(n_images, tmp_path):
    rates = []
    for kind in ('ours', 'chainers'):
        optimizer = chainer.optimizers.SGD(1).setup(L.Linear(2, 2))
        iterator = chainer.iterators.SerialIterator(numpy.zeros((n_images, 2), 'f'), 2)
        updater = chainer.training.StandardUpdater(
            iterator, optimizer, loss_func=lambda x: chainer.functions.sum(optimizer.target(x)))
        trainer = chainer.training.Trainer(updater, (6, 'epoch'), str(tmp_path))
        if kind == 'ours':
            trainer.extend(Schedule([optimizer], 'lr', steps(1, .1, [2, 5])))
        else:
            trainer.extend(extensions.ExponentialShift('lr', .1, init=1),
                           trigger=chainer.training.triggers.ManualScheduleTrigger([2, 5], 'epoch'))
        at_iterations = []
        trainer.extend(lambda trainer: at_iterations.append(optimizer.lr), name='at_iterations',
                       trigger=(1, 'iteration'), priority=0)
        trainer.run()
        rates.append(at_iterations)
    assert len(rates[0]) == 6 * n_images // 2
    numpy.testing.assert_allclose(*rates)


def test_cosine_with_warm_up_in_a_run_that_is_resumed(write_config, monkeypatch):
    """The log has the rate of the last update of every epoch."""
    config = write_config(training={
        'epochs': 4, 'lr_schedule': 'cosine', 'lr_warmup': 2, 'learning_rate': 1e-3})
    assert run('train', config, '--output', 'whole') == 0
    real = trainer.show_progress

    def stop(at):
        real(at)

        @chainer.training.make_extension(trigger=(2, 'epoch'), priority=-10)
        def interrupt(_):
            raise KeyboardInterrupt
        at.extend(interrupt)

    monkeypatch.setattr(trainer, 'show_progress', stop)
    assert run('train', config, '--output', 'resumed') != 0
    monkeypatch.setattr(trainer, 'show_progress', real)
    assert run('train', config, '--output', 'resumed') == 0
    logs = [json.loads(Path(folder, 'log').read_text()) for folder in ('whole', 'resumed')]
    rates = [[entry['lr'] for entry in log] for log in logs]
    assert rates[0] == rates[1]
    assert rates[0][0] < rates[0][1] > rates[0][2] > rates[0][3] > 0
    assert (Path('whole/model.npz').read_bytes() == Path('resumed/model.npz').read_bytes())
