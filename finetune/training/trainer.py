"""Chainer's updater and trainer for an experiment."""
import functools
import math

import chainer
from chainer.serializers import save_npz
from chainer.training import extensions, triggers

from finetune.data.dataset import EpochOrder, PartDataset
from finetune.data.iterators import iterate
from finetune.models.losses import balanced
from finetune.runs import snapshot
from finetune.runs.predictions import iterate_test_images, n_test_views
from finetune.training.extensions import average_batch_norm, drop_non_numbers, Evaluator, keep_best
from finetune.training.extensions import peak_memory, show_progress, stop_on_non_number
from finetune.training.extensions import StopWhenStale, tensorboard
from finetune.training.plots import plot_log
from finetune.training.schedules import cosine, Schedule, steps, warmed_up
from finetune.training.updater import AccumulatingUpdater, WeightDecay

# Functions of the section ``training`` that create optimizers.
OPTIMIZERS = {
    'rmsprop': lambda settings: chainer.optimizers.RMSprop(
        settings.learning_rate, settings.rmsprop_alpha, settings.epsilon),
    'adam': lambda settings: chainer.optimizers.Adam(settings.learning_rate, eps=settings.epsilon),
    'sgd': lambda settings: chainer.optimizers.MomentumSGD(settings.learning_rate, momentum=.9)}

STEPS_ON_CONV_MAPS = 200    # of a training on kept ConvMaps between two snapshots, at least


def build_updater(model, config, data_set, device, comm=None, make=PartDataset):
    """Builds the optimiser, and its updater with the training images or this rank's share.

    ``make`` makes the dataset of the images (:func:`finetune.training.inputs.inputs_of`).
    """
    settings = config.training
    optimizer = OPTIMIZERS[settings.optimizer](settings).setup(model)
    for param in model.cnn_params() if model.frozen else ():
        param.update_rule.enabled = False
    optimizer.add_hook(WeightDecay(settings.weight_decay))
    if settings.dtype == 'mixed16':
        optimizer.loss_scaling()
    dataset = make(data_set.train, data_set.parts, config.data, train=True, seed=settings.seed)
    iterator = iterate(dataset, settings.update_size, settings.workers if dataset.is_slow else 0,
                       EpochOrder(len(dataset), settings.seed), _share(comm))

    class_weight = None
    if settings.class_weight == 'balanced':
        class_weight = device.send(balanced(data_set.train.labels, model.n_classes))

    def loss(*arrays):
        return model(*arrays, label_smoothing=settings.label_smoothing, class_weight=class_weight)

    return AccumulatingUpdater(iterator, optimizer, settings.batch_size, loss, device, comm=comm)


def _share(comm):
    return (0, 1) if comm is None else (comm.rank, comm.size)


def build_trainer(model, config, data_set, device, folder, comm=None, make=PartDataset):
    """Builds the trainer with all extensions; only rank 0 writes files.

    ``make`` makes datasets, see :func:`build_updater`.
    """
    settings = config.training
    updater = build_updater(model, config, data_set, device, comm, make)
    stop = triggers.IntervalTrigger(settings.epochs, 'epoch')
    if settings.patience:
        stop = StopWhenStale(settings.epochs, settings.patience)
    trainer = chainer.training.Trainer(updater, stop, str(folder))
    attribute = 'alpha' if settings.optimizer == 'adam' else 'lr'
    rate = _learning_rate(settings, len(data_set.train))
    trainer.extend(Schedule([updater.get_optimizer('main')], attribute, rate), name='lr_schedule')
    if settings.cnn_lr_factor not in (0, 1):
        of_cnns = [param.update_rule.hyperparam for param in model.cnn_params()]
        trainer.extend(Schedule(of_cnns, attribute, lambda done: settings.cnn_lr_factor
                                * rate(done)), name='cnn_lr_schedule')
    if config.model.aux_lambda:
        every = range(config.model.aux_step, settings.epochs, config.model.aux_step)
        trainer.extend(Schedule([model], 'aux_lambda', steps(
            config.model.aux_lambda, config.model.aux_rate, every)), name='aux_schedule')
    if comm is not None and not settings.sync_batch_norm:
        trainer.extend(average_batch_norm(comm))
    test_images = iterate_test_images(config, data_set, share=_share(comm), make=make)
    trainer.extend(Evaluator(test_images, model, device, comm, n_test_views(config)),
                   trigger=_evaluation(settings))
    if comm is None or comm.rank == 0:
        _extend_with_output(trainer, config, attribute, folder, len(data_set.train))
    return trainer


def _extend_with_output(trainer, config, attribute, folder, n_images):
    """Adds log, plots, snapshots and printed progress."""
    settings = config.training
    trainer.extend(extensions.observe_value(
        'lr', lambda trainer: getattr(trainer.updater.get_optimizer('main'), attribute)))
    trainer.extend(extensions.observe_value('memory', peak_memory))
    trainer.extend(extensions.LogReport(filename=folder.LOG, postprocess=drop_non_numbers))
    show_progress(trainer)
    trainer.extend(stop_on_non_number)
    evaluated = 'held out' if config.data.split == 'validation' else 'test'
    trainer.extend(plot_log(folder, settings.epochs, evaluated))
    if settings.keep_best or settings.patience:
        trainer.extend(keep_best(folder), trigger=_evaluation(settings))
    if settings.tensorboard:
        trainer.extend(tensorboard(folder), name='tensorboard')
    # Compression would take longer than an epoch on kept ConvMaps, and save a few per cent.
    trainer.extend(extensions.snapshot(functools.partial(save_npz, compression=False),
                                       snapshot.NAME, n_retains=1),
                   trigger=_snapshots(settings, n_images))


def _evaluation(settings):
    """Trigger of evaluations on the test images."""
    return Every(1 if settings.patience else settings.evaluate_every, settings.epochs)


def _snapshots(settings, n_images):
    """Trigger of snapshots: after each epoch; less often where they would take longer than it."""
    n_steps = math.ceil(n_images / settings.update_size)
    step = math.ceil(STEPS_ON_CONV_MAPS / n_steps) if settings.keeps_conv_maps else 1
    return Every(step, settings.epochs)


class Every(triggers.ManualScheduleTrigger):

    """Trigger after every ``step`` epochs, and after the last one."""

    def __init__(self, step, n_epochs):
        super().__init__([*range(step, n_epochs, step), n_epochs], 'epoch')

    def serialize(self, serializer):
        """Also forgets that the last epoch was reached: the run may be trained longer."""
        super().serialize(serializer)
        self.finished = False


def _learning_rate(settings, n_images):
    """The learning rate as a function of the completed epochs."""
    if settings.lr_schedule == 'cosine':
        rate = cosine(settings.learning_rate, settings.epochs, settings.lr_target)
    else:
        rate = steps(settings.learning_rate, settings.lr_factor, settings.lr_epochs,
                     settings.lr_target)
    return warmed_up(rate, settings.lr_warmup, settings.update_size / n_images)
