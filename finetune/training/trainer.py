"""Chainer's updater and trainer for an experiment."""
import chainer
from chainer.training import extensions

from finetune.data.dataset import EpochOrder, PartDataset
from finetune.data.loading import iterate
from finetune.runs.predictions import iterate_test_images
from finetune.training.extensions import (
    Evaluator, LearningRateSteps, show_progress, stop_on_non_number)
from finetune.training.updater import AccumulatingUpdater

OPTIMIZERS = {'rmsprop': lambda lr: chainer.optimizers.RMSprop(lr),
              'adam': lambda lr: chainer.optimizers.Adam(lr),
              'sgd': lambda lr: chainer.optimizers.MomentumSGD(lr, momentum=.9)}

PLOTS = {
    'accuracy': ['main/accuracy/both', *(f'validation/main/accuracy/{stream}'
                                         for stream in ('both', 'global', 'parts'))],
    'loss': ['main/loss', 'validation/main/loss'],
    'log_likelihood': ['main/log_likelihood'],
    'weight_entropy': ['main/weight_entropy'],
    'learning_rate': ['lr'],
}


def build_updater(model, config, lists, device):
    """Updater with the training images and the optimiser."""
    settings = config.training
    optimizer = OPTIMIZERS[settings.optimizer](settings.learning_rate).setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(settings.weight_decay))
    dataset = PartDataset(lists.train, config.data, train=True, seed=settings.seed)
    iterator = iterate(dataset, settings.update_size, settings.workers,
                       EpochOrder(len(dataset), settings.seed))

    def loss(*arrays):
        return model(*arrays, label_smoothing=settings.label_smoothing)

    return AccumulatingUpdater(iterator, optimizer, settings.batch_size, loss, device)


def build_trainer(model, config, lists, device, folder):
    """Trainer with all extensions: evaluation, log, plots, snapshots."""
    settings = config.training
    updater = build_updater(model, config, lists, device)
    trainer = chainer.training.Trainer(updater, (settings.epochs, 'epoch'), str(folder))
    attribute = 'alpha' if settings.optimizer == 'adam' else 'lr'
    trainer.extend(LearningRateSteps(
        attribute, settings.learning_rate, settings.lr_factor, settings.lr_epochs))
    trainer.extend(Evaluator(iterate_test_images(config, lists), model, device))
    trainer.extend(extensions.observe_value(
        'lr', lambda trainer: getattr(trainer.updater.get_optimizer('main'), attribute)))
    trainer.extend(extensions.LogReport(filename=folder.LOG))
    show_progress(trainer)
    trainer.extend(stop_on_non_number)
    for name, values in PLOTS.items():
        trainer.extend(extensions.PlotReport(
            values, 'epoch', filename=folder.picture(name).name))
    trainer.extend(extensions.snapshot(filename=folder.SNAPSHOT, n_retains=1))
    return trainer
