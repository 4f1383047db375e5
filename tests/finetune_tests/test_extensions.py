"""What a run shows and checks while it trains."""
import sys
from types import SimpleNamespace

import chainer
import chainer.links as L
import numpy
import pytest

from conftest import load
from finetune.config.config import read_config
from finetune.errors import InputError
from finetune.models.part_classifier import build_classifier
from finetune.runs.predictions import iterate_test_images, predict
from finetune.training import extensions
from finetune.training.extensions import drop_non_numbers, Evaluator, print_epoch
from finetune.training.extensions import ProgressBar, stop_on_non_number


def trainer_at(epoch, model=None, **observation):
    optimizer = chainer.optimizers.SGD(.5).setup(L.Linear(2, 2) if model is None else model)
    updater = SimpleNamespace(epoch=epoch, iteration=7, get_optimizer=lambda name: optimizer)
    return SimpleNamespace(updater=updater, observation=observation), optimizer


class Model(chainer.Chain):

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.bn = L.BatchNormalization(2)


def test_finite_arrays_pass():
    trainer, _ = trainer_at(1, Model(), **{'main/loss': numpy.float32(1)})
    stop_on_non_number(trainer)


@pytest.mark.parametrize('name', ['gamma', 'beta', 'avg_mean'])
def test_array_that_is_not_finite_is_named(name):
    model = Model()
    array = getattr(model.bn, name)
    getattr(array, 'array', array)[1] = numpy.nan
    trainer, _ = trainer_at(1, model)
    with pytest.raises(InputError, match=f'bn/{name} is not finite .* iteration 7'):
        stop_on_non_number(trainer)


def test_loss_that_is_not_finite_stops():
    trainer, _ = trainer_at(1, Model(), **{'main/loss': numpy.float32(numpy.inf)})
    with pytest.raises(InputError, match='the loss is not finite'):
        stop_on_non_number(trainer)


@pytest.mark.parametrize('sections, streams', [
    ({}, {'both', 'global', 'parts'}),
    ({'data': {'parts': 'GLOBAL'}, 'model': {'encoding': 'gap'}}, {'both'})])
def test_evaluator_observes_what_is_predicted(sections, streams, write_config):
    """Six images in batches of four: a mean of batches would not be that of images."""
    config = read_config(write_config(**sections))
    data_set = load(config.data)
    model, device = build_classifier(config, data_set), chainer.get_device('@numpy')
    with iterate_test_images(config, data_set) as iterator:
        predictions = predict(model, iterator, device)
        evaluator = Evaluator(iterator, model, device)
        evaluator.name = 'validation'
        for _ in range(2):      # every epoch anew
            assert evaluator() == {
                'validation/main/loss': predictions.loss,
                **{f'validation/main/accuracy/{stream}': predictions.accuracies[stream]
                   for stream in streams}}


@pytest.mark.parametrize('stream', ['global', 'part'])
@pytest.mark.parametrize('value', [1e37, 3e38, numpy.inf, -numpy.inf, numpy.nan])
def test_evaluation_whose_scores_are_not_finite_stops(value, stream, write_config):
    """A single score of one stream is enough; the loss of scores of 3e38 overflows."""
    config = read_config(write_config())
    data_set = load(config.data)
    model, device = build_classifier(config, data_set), chainer.get_device('@numpy')
    getattr(model, f'{stream}_head').b.array[0] = value
    with iterate_test_images(config, data_set) as iterator:
        evaluator = Evaluator(iterator, model, device)
        evaluator.name = 'validation'
        if value == 1e37:       # it is large, but the loss is finite
            assert numpy.isfinite(evaluator()['validation/main/loss'])
            return
        trainer, _ = trainer_at(1, model)
        trainer.out = 'results/run'
        with pytest.raises(InputError, match='^results/run: iteration 7, which is not saved: a '
                           'score or the loss of test images is not finite'):
            evaluator(trainer)


def test_score_of_a_class_that_no_image_has_must_be_finite(write_config):
    config = read_config(write_config())
    data_set = load(config.data)
    model, device = build_classifier(config, data_set), chainer.get_device('@numpy')
    model.part_head.b.array[0] = -numpy.inf      # the loss is finite
    with iterate_test_images(config, data_set) as iterator:
        batch = [example for example in iterator.dataset if example[-1] > 0]
    with pytest.raises(InputError, match='^the model: a score or the loss'):
        predict(model, [batch], device)


def test_means_that_an_overflow_made_infinite_are_not_logged():
    entry = {'main/loss': numpy.nan, 'main/encoder/log_likelihood': -numpy.inf, 'epoch': 3,
             'validation/main/loss': 1e30}
    drop_non_numbers(entry)
    assert entry == {'epoch': 3, 'validation/main/loss': 1e30}


def test_line_of_an_epoch(capsys):
    entry = {'epoch': 3, 'main/loss': 1.25, 'main/accuracy/both': .5, 'main/accuracy/parts': .1,
             'validation/main/loss': 2.5, 'validation/main/accuracy/both': .25,
             'validation/main/accuracy/parts': .2, 'lr': 1e-3, 'elapsed_time': 12.4}
    print_epoch(SimpleNamespace(get_extension=lambda name: SimpleNamespace(log=[{}, entry])))
    assert capsys.readouterr().out == (
        'epoch   3   loss 1.2500   accuracy 0.5000   test loss 2.5000   test accuracy 0.2500   '
        'lr 1.00e-03   12 s\n')


def test_progress_bar_is_on_the_terminal_only(monkeypatch, capsys):
    """Of 4 epochs with 2 steps, resumed after the first epoch; a step takes 20 seconds."""
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(extensions.time, 'monotonic', lambda: next(clock))
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    show = ProgressBar()
    stop = SimpleNamespace(get_training_length=lambda: (4, 'epoch'))
    for epoch in 1.5, 2, 2.5, 3, 3.5, 4.05:     # the last batch may begin the next epoch
        show(SimpleNamespace(stop_trigger=stop, updater=SimpleNamespace(epoch_detail=epoch)))
    printed = capsys.readouterr()
    first, second, *_, last = printed.err.strip().split('\r')
    assert first.startswith(f'[{"#" * 11}{"." * 19}] epoch 2 of 4\033')    # no pace yet
    assert f'[{"#" * 15}{"." * 15}] epoch 2 of 4, about 1:20 left\033' in second
    assert 'epoch 4 of 4, about 0:00 left' in last and '.' not in last
    assert printed.out == ''
    show.finalize()
    assert capsys.readouterr().err == '\r\033[J'
