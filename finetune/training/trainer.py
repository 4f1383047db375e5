"""One experiment: data, model, optimiser and Chainer's trainer put together, run and saved."""
from dataclasses import replace
from pathlib import Path
import random

import chainer
from chainer.training import extensions
import numpy
from threadpoolctl import threadpool_limits

from finetune import config as configuration
from finetune.data import data_sets
from finetune.data.dataset import EpochOrder, PartDataset
from finetune.data.loading import iterate
from finetune.errors import InputError
from finetune.models import pretrained
from finetune.models.part_classifier import PartClassifier
from finetune.training import extensions as our_extensions
from finetune.training import results
from finetune.training.evaluation import Evaluator, predict
from finetune.training.updater import AccumulatingUpdater

OPTIMIZERS = {'rmsprop': lambda lr: chainer.optimizers.RMSprop(lr),
              'adam': lambda lr: chainer.optimizers.Adam(lr),
              'sgd': lambda lr: chainer.optimizers.MomentumSGD(lr, momentum=.9)}

HIDE = .25, .5, .75, 1.     # shares of the visible parts that are hidden after training


def train(config_path, overrides=(), out=None):
    """Runs an experiment, or goes on with it if it was interrupted.

    Everything is written to ``results/<config>/seed<k>/``: the merged settings, versions, log,
    plots, snapshots, final weights and evaluation. A finished run is evaluated again, no more.

    Args:
        config_path (str): YAML file of the experiment.
        overrides (list of str): ``section.name=value`` settings that win over the file.
        out (str or None): Folder for the results, if another one.

    Returns:
        pathlib.Path: Folder of the results.

    """
    config = configuration.load(config_path, overrides)
    out = results.folder(config_path, config.training.seed) if out is None else Path(out)
    results.check(out, config)
    lists = data_sets.load(config.data)
    device = open_device(config.training.gpu)
    seed_generators(config.training.seed, device)
    model = build_model(config, lists)
    if not results.has_begun(out):
        load_pretrained(model, config)
    with results.opened(out, config):
        if results.is_finished(out):
            pretrained.load_classifier(model, out / results.MODEL)
            model.to_device(device)
        else:
            _run(model, config, lists, device, out)
        _report(out, model, config, lists, device)
    return out


def _run(model, config, lists, device, out):
    """Trains to the end, from the newest snapshot if there is one, and saves the model."""
    trainer = build_trainer(model, config, lists, device, out)
    # Not by the extension's autoload, which comes after all other extensions' initialisation.
    results.load_newest_snapshot(out, trainer)
    results.write_settings(out, config)
    with one_thread():
        trainer.run(show_loop_exception_msg=False)
    results.save_model(out, model)


def one_thread():
    """Context in which NumPy and scikit-learn sum in one order, whatever the number of cores.

    Convolutions, which are most of the work on a CPU, have threads of their own.
    """
    return threadpool_limits(1)


def evaluate_results(out, gpu=-1):
    """Evaluates the model of a finished run again, and prints and saves what comes out."""
    _report(Path(out), *load_run(out, gpu))


def _report(out, model, config, lists, device):
    with one_thread():
        predictions = _predictions(model, config, lists, device)
        evaluation = {**predictions.accuracies, 'loss': predictions.loss,
                      'n_parameters': int(model.count_params())}
        if config.data.parts != 'GLOBAL':
            evaluation['robustness'] = _robustness(model, config, lists, device)
    results.report(out, config, evaluation, predictions, lists)


def _predictions(model, config, lists, device, hide=0.):
    with test_iterator(config, lists, hide) as iterator:
        return predict(model, iterator, device)


def _robustness(model, config, lists, device):
    """Accuracy when test images show fewer parts than they could, or all of them in disorder."""
    hidden = {hide: _predictions(model, config, lists, device, hide) for hide in HIDE}
    in_disorder = replace(config, data=replace(config.data, order='shuffled'))
    shuffled = _predictions(model, in_disorder, lists, device)
    return {'hidden': {hide: predictions.accuracies for hide, predictions in hidden.items()},
            'shuffled': shuffled.accuracies}


def load_run(out, gpu=-1):
    """Opens the folder of a finished run.

    Args:
        out (str or pathlib.Path): The folder.
        gpu (int): GPU to put the model on; -1: CPU.

    Returns:
        tuple: The trained :class:`~finetune.models.part_classifier.PartClassifier`, the
        :class:`~finetune.config.Config`, the :class:`~finetune.data.file_lists.FileLists` and the
        device.

    """
    out = Path(out)
    if not (out / 'config.yml').exists():
        raise InputError(f'{out}: holds no run of this program; give results/<config>/seed<k>.')
    if not results.is_finished(out):
        raise InputError(f'{out}: the run is not finished; go on with it by its train command.')
    config = configuration.load(out / 'config.yml')
    if not config.training.joint:
        raise InputError(f'{out}: holds a conventional pipeline, which has no network of its own; '
                         f'name the run of its CNN, {config.model.pretrained}.')
    lists = data_sets.load(config.data)
    device = open_device(gpu)
    model = build_model(config, lists)
    pretrained.load_classifier(model, out / results.MODEL)
    model.to_device(device)
    return model, config, lists, device


def open_device(gpu):
    """Chainer device of a GPU id, -1 for the CPU; the current one from now on."""
    try:
        device = chainer.get_device('@numpy' if gpu < 0 else f'@cupy:{gpu}')
        device.use()
    except Exception as error:      # CuPy, the driver and Chainer each raise their own
        reason = ' '.join(str(error).split())
        raise InputError(f'training.gpu is {gpu}, but that GPU cannot be used ({reason}); use -1 '
                         'for the CPU.')
    return device


def seed_generators(seed, device):
    """Seeds what draws initial weights; data and mixture have generators of their own."""
    random.seed(seed)
    numpy.random.seed(seed)
    if device.xp is not numpy:
        device.xp.random.seed(seed)
        chainer.global_config.cudnn_deterministic = True


def build_model(config, lists):
    """Classifier for a data set, with random weights."""
    n_parts = 0 if config.data.parts == 'GLOBAL' else len(lists.part_names)
    return PartClassifier(config.model, len(lists.class_names), n_parts,
                          missing=config.data.missing, seed=config.training.seed)


def load_pretrained(model, config):
    """Loads the pre-trained weights, after training them if a config is to make them."""
    source = config.model.pretrained
    if configuration.is_config(source):
        print(f'Pre-training: {source}', flush=True)
        source = train(source, [f'training.gpu={config.training.gpu}']) / 'model.npz'
        print('Pre-training is done.', flush=True)
    if source:
        pretrained.load_backbones(model, source)
        print(f'{source}: the CNNs start from these weights, the layers behind them from random '
              'ones', flush=True)


def build_updater(model, config, lists, device):
    """Training images, optimiser and what one update does with them."""
    settings = config.training
    model.to_device(device)
    optimizer = OPTIMIZERS[settings.optimizer](settings.learning_rate).setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(settings.weight_decay))
    dataset = PartDataset(lists.train, config.data, train=True, seed=settings.seed)
    iterator = iterate(dataset, settings.update_size, settings.workers,
                       EpochOrder(len(dataset), settings.seed))

    def loss(*arrays):
        return model(*arrays, label_smoothing=settings.label_smoothing)

    return AccumulatingUpdater(iterator, optimizer, settings.batch_size, loss, device)


def build_trainer(model, config, lists, device, out):
    """Chainer's trainer with everything that watches, plots, saves and resumes."""
    settings = config.training
    updater = build_updater(model, config, lists, device)
    trainer = chainer.training.Trainer(updater, (settings.epochs, 'epoch'), str(out))
    rate = 'alpha' if settings.optimizer == 'adam' else 'lr'
    trainer.extend(our_extensions.LearningRateSteps(
        rate, settings.learning_rate, settings.lr_factor, settings.lr_epochs))
    trainer.extend(Evaluator(test_iterator(config, lists), model, device))
    trainer.extend(extensions.observe_value(
        'lr', lambda trainer: getattr(trainer.updater.get_optimizer('main'), rate)))
    trainer.extend(extensions.LogReport())
    our_extensions.show_progress(trainer)
    trainer.extend(our_extensions.stop_on_non_number)
    for name, values in PLOTS.items():
        trainer.extend(extensions.PlotReport(values, 'epoch', filename=f'{name}.png'))
    trainer.extend(extensions.snapshot(n_retains=1))
    return trainer


PLOTS = {
    'accuracy': ['main/accuracy', 'validation/main/accuracy',
                 'validation/main/accuracy_global', 'validation/main/accuracy_parts'],
    'loss': ['main/loss', 'validation/main/loss'],
    'log_likelihood': ['main/log_likelihood'],
    'weight_entropy': ['main/weight_entropy'],
    'learning_rate': ['lr'],
}


def test_iterator(config, lists, hide=0.):
    """One pass over the test images; ``hide``: see :class:`~finetune.data.dataset.PartDataset`."""
    dataset = PartDataset(lists.test, config.data, train=False, seed=config.training.seed,
                          hide=hide)
    return iterate(dataset, config.training.batch_size, config.training.workers)
