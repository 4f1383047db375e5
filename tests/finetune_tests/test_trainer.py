"""What is put together for training: the first update against one by hand, and the schedule."""
from types import SimpleNamespace

import chainer
import numpy
import pytest

from conftest import load
from finetune.config.config import read_config
from finetune.data.dataset import collate
from finetune.models.part_classifier import build_classifier
from finetune.runs.folder import RunFolder
from finetune.runs.opening import seed_generators
from finetune.training.trainer import build_trainer, build_updater, OPTIMIZERS

CPU = chainer.get_device('@numpy')


def make(config, data_set):
    seed_generators(config.training.seed, CPU)
    return build_classifier(config, data_set)


def test_first_update_by_hand(write_config):
    """w - rate (gradient + decay w), with the smoothed loss of the images of an update."""
    config = read_config(write_config(training={
        'optimizer': 'sgd', 'learning_rate': .01, 'weight_decay': .3, 'label_smoothing': .2,
        'update_size': 6, 'batch_size': 6}))
    data_set = load(config.data)
    model, other = make(config, data_set), make(config, data_set)
    before = {name: param.array.copy() for name, param in other.namedparams()}
    images = build_updater(other, config, data_set, CPU).get_iterator('main').next()
    assert len(images) == 6
    other.cleargrads()
    other(*collate(images), label_smoothing=.2).backward()
    reporter = chainer.Reporter()
    reporter.add_observer('main', model)
    with reporter:
        build_updater(model, config, data_set, CPU).update()
    gradients = {name: param.grad for name, param in other.namedparams()}
    for name, param in model.namedparams():
        expected = before[name] - .01 * (gradients[name] + .3 * before[name])
        numpy.testing.assert_allclose(param.array, expected, atol=1e-6, err_msg=name)
        assert (param.array != before[name]).any(), name


@pytest.mark.parametrize('name, rate', [('rmsprop', 'lr'), ('adam', 'alpha'), ('sgd', 'lr')])
def test_learning_rate_of_every_optimizer(name, rate, write_config, tmp_path):
    assert set(OPTIMIZERS) == {'rmsprop', 'adam', 'sgd'}
    config = read_config(write_config(training={'optimizer': name, 'learning_rate': .125}))
    data_set = load(config.data)
    trainer = build_trainer(make(config, data_set), config, data_set, CPU,
                            RunFolder(tmp_path / 'run'))
    optimizer = trainer.updater.get_optimizer('main')
    assert getattr(optimizer, rate) == .125
    trainer.updater.finalize()


@pytest.mark.parametrize('name', ['rmsprop', 'adam', 'sgd'])
def test_learning_rate_of_the_cnns(name, write_config, tmp_path):
    """The first steps of the CNNs are an eighth of what they are without the factor."""
    changes = []
    for factor in 1, .125:
        config = read_config(write_config(training={
            'optimizer': name, 'learning_rate': .25, 'lr_epochs': [1], 'lr_factor': .5,
            'cnn_lr_factor': factor, 'update_size': 12, 'batch_size': 12, 'weight_decay': 0}))
        data_set = load(config.data)
        model = make(config, data_set)
        before = {name: param.array.copy() for name, param in model.namedparams()}
        trainer = build_trainer(model, config, data_set, CPU, RunFolder(tmp_path / f'run{factor}'))
        for extension in ('lr_schedule', *(['cnn_lr_schedule'] if factor != 1 else [])):
            trainer.get_extension(extension).initialize(trainer)
        with trainer.reporter:
            trainer.updater.update()
        changes.append({name: param.array - before[name] for name, param in model.namedparams()})
        for extension in ('lr_schedule', *(['cnn_lr_schedule'] if factor != 1 else [])):
            trainer.get_extension(extension)(trainer)       # after the first epoch
        rates = {param.update_rule.hyperparam.alpha if name == 'adam' else
                 param.update_rule.hyperparam.lr for param in model.cnn_params()}
        assert rates == {.125 * factor}
        trainer.updater.finalize()
    for name, change in changes[0].items():
        factor = .125 if '_cnn/' in name else 1
        numpy.testing.assert_allclose(changes[1][name], factor * change, rtol=1e-3, atol=2e-7)
        assert change.any()


def arrays_of(link):
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(link)
    return {name: array.copy() for name, array in serializer.target.items()}


@pytest.mark.parametrize('name', ['rmsprop', 'adam', 'sgd'])
def test_cnns_without_a_learning_rate_stay_as_they_are(name, write_config, tmp_path):
    config = read_config(write_config(training={
        'optimizer': name, 'cnn_lr_factor': 0, 'weight_decay': .1, 'epochs': 1}))
    data_set = load(config.data)
    model = make(config, data_set)
    before = arrays_of(model)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        img, parts, visible, _ = collate([build_updater(
            model, config, data_set, CPU).get_iterator('main').next()[0]])
        expected = model.conv_maps(model.part_cnn, parts).array
    in_training = model.conv_maps(model.part_cnn, parts)
    assert (in_training.array == expected).all() and in_training.creator is None
    with chainer.using_config('train', False):      # what spoke for a class needs gradients
        assert model.conv_maps(model.part_cnn, parts).creator is not None
    trainer = build_trainer(model, config, data_set, CPU, RunFolder(tmp_path / 'run'))
    trainer.run()
    trainer.updater.finalize()
    changed = {name for name, array in arrays_of(model).items() if (array != before[name]).any()}
    assert {name.split('/')[0] for name in changed} == {
        'global_head', 'part_head', 'encoder', 'scaling'}
    assert 'encoder/mean' in changed and not any('_cnn' in name for name in changed)
    chainer.serializers.load_npz(tmp_path / 'run/snapshot_iter_2', trainer)      # can be resumed


@pytest.mark.parametrize('recompute', [False, True])
def test_frozen_batch_norm_keeps_its_statistics_while_weights_learn(recompute, write_config,
                                                                    tmp_path):
    config = read_config(write_config(training={
        'freeze_batch_norm': True, 'recompute': recompute, 'epochs': 1}))
    data_set = load(config.data)
    model = make(config, data_set)
    before = arrays_of(model)
    _, parts, _, _ = collate([build_updater(
        model, config, data_set, CPU).get_iterator('main').next()[0]])
    in_training = model.conv_maps(model.part_cnn, parts)
    model.part_cnn.recompute = False
    with chainer.using_config('train', False):
        expected = model.conv_maps(model.part_cnn, parts)
    assert (in_training.array == expected.array).all()
    gradients = []
    for conv_map in in_training, expected:
        model.cleargrads()
        conv_map.grad = numpy.random.RandomState(0).randn(*conv_map.shape).astype('f')
        conv_map.backward()             # which recomputes in training
        gradients.append({name: param.grad.tobytes() for name, param in
                          model.part_cnn.namedparams()})
    assert gradients[0] == gradients[1]
    trainer = build_trainer(model, config, data_set, CPU, RunFolder(tmp_path / 'run'))
    trainer.run()
    trainer.updater.finalize()
    unchanged = {name for name, array in arrays_of(model).items() if (array == before[name]).all()}
    assert unchanged == {name for name in before if name.endswith(
        ('bn/avg_mean', 'bn/avg_var', 'bn/N', 'encoder/seed'))}


@pytest.mark.parametrize('settings, expected', [
    ({'optimizer': 'rmsprop'}, {'alpha': .9, 'eps': 1e-6}),
    ({'optimizer': 'rmsprop', 'rmsprop_alpha': .75, 'epsilon': .125}, {'alpha': .75, 'eps': .125}),
    ({'optimizer': 'adam', 'epsilon': .125}, {'eps': .125})])
def test_optimizers_have_their_settings(settings, expected, write_config):
    config = read_config(write_config(training=settings))
    data_set = load(config.data)
    optimizer = build_updater(make(config, data_set), config, data_set, CPU).get_optimizer('main')
    assert {name: getattr(optimizer, name) for name in expected} == expected


def test_auxiliary_head_loses_its_weight_step_by_step(write_config, tmp_path):
    config = read_config(write_config(
        model={'aux_lambda': .8, 'aux_rate': .25, 'aux_step': 2}, training={'epochs': 5}))
    data_set = load(config.data)
    model, folder = make(config, data_set), RunFolder(tmp_path / 'run')
    trainer, weights = build_trainer(model, config, data_set, CPU, folder), []
    schedule = trainer.get_extension('aux_schedule')
    for epoch in range(5):
        schedule(SimpleNamespace(updater=SimpleNamespace(epoch_detail=epoch)))
        weights.append(model.aux_lambda)
    numpy.testing.assert_allclose(weights, [.8, .8, .2, .2, .05])
    trainer.updater.finalize()
