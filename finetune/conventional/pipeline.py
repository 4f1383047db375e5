"""From the features of a fine-tuned CNN to a linear SVM on their Fisher vectors."""
from pathlib import Path

import numpy
from sklearn.mixture import GaussianMixture
from sklearn.svm import LinearSVC

from finetune import config as configuration
from finetune.conventional.features import Extractor, Store
from finetune.data import data_sets
from finetune.errors import InputError
from finetune.models.pretrained import read_npz
from finetune.training import results, trainer
from finetune.training.evaluation import Predictions
from fve_layer import fisher_vector
from fve_layer.fisher_vector import l2_normalize, power_normalize

MIXTURE_SAMPLE = 200000     # local features that the mixture is fitted on
# What an SVM sees: local features (Sect. 4.4); those of the whole image; both, as joint learning.
SVMS = {'accuracy': ('parts', 'image'), 'accuracy_global': ('image',),
        'accuracy_parts': ('parts',)}


def train(config_path, overrides=(), out=None):
    """Runs the conventional pipeline (Sect. 4.4), or goes on with it if it was interrupted.

    The CNN is that of the run that ``model.pretrained`` names, with the same seed, which is trained
    if need be. Its local features are extracted once for all numbers of components.

    See :func:`finetune.training.trainer.train` for arguments and what is returned.

    """
    config = configuration.load(config_path, overrides)
    if config.training.joint:
        raise InputError(f'{config_path}: training.joint is true; use the command train.')
    out = results.folder(config_path, config.training.seed) if out is None else Path(out)
    results.check(out, config)
    lists = data_sets.load(config.data)
    store, model = _features(config, lists)
    with results.opened(out, config), trainer.one_thread():
        results.write_settings(out, config)
        if not results.is_finished(out):
            results.save_arrays(out / results.MODEL, **_fit(config, store, lists))
        arrays = read_npz(out / results.MODEL)
        predictions = _predict(config, store, arrays, lists)
        evaluation = {**predictions.accuracies,
                      'n_parameters': _n_parameters(model, store.extractor.pca, arrays)}
        results.report(out, config, evaluation, predictions, lists)
    return out


def _features(config, lists):
    """The store of features, filled, and the classifier that they are from."""
    settings = config.training
    out = results.folder(config.model.pretrained, settings.seed)
    if not results.is_finished(out):
        print(f'Fine-tuning of the CNN: {config.model.pretrained}', flush=True)
        trainer.train(config.model.pretrained,
                      [f'training.seed={settings.seed}', f'training.gpu={settings.gpu}'])
        print('Fine-tuning is done.', flush=True)
    model, others, _, device = trainer.load_run(out, settings.gpu)
    _check(config, others, out)
    model.missing = config.data.missing
    names = [config.data.missing, str(config.model.pca_size)]
    folder = out / '_'.join(['features', *names] + ['all'] * (not config.model.norm_filter))
    extractor = Extractor(model, config, others.training.batch_size, device)
    store = Store(folder, extractor, lists)
    with trainer.one_thread():
        store.fill()
    return store, model


def _n_parameters(model, pca, arrays):
    """Of all that the prediction is made with: CNNs without their heads, PCA, mixture, one SVM."""
    used = [*pca.values(), *(array for name, array in arrays.items()
                             if name in ('mean', 'var', 'weight', 'accuracy/W', 'accuracy/b'))]
    return int(sum(array.size for array in used) + model.global_cnn.count_params()
               + model.part_cnn.count_params())


def _check(config, others, out):
    """Raises an error unless the CNN saw the same images and parts."""
    besides = [name for name in configuration.names()
               if not name.startswith('data.') or name in ('data.missing', 'data.order')]
    changed = configuration.differences(config, others, besides)
    if others.data.parts == 'GLOBAL' or changed:
        raise InputError(f'{out}: the CNN was fine-tuned with another '
                         f'{", ".join(changed) or "data.parts"}; name a config with the same data '
                         'as model.pretrained.')


def _fit(config, store, lists):
    """Arrays of the mixture and of the SVMs."""
    sample = _sample(store, config.training.seed, sum(1 for _ in store.read('train')))
    if len(sample) < config.model.n_components:
        raise InputError(f'model.n_components is {config.model.n_components}, but the training '
                         f'images have only {len(sample)} local features; lower it.')
    mixture = GaussianMixture(
        config.model.n_components, covariance_type='diag', reg_covar=config.model.var_floor,
        max_iter=200, random_state=config.training.seed).fit(sample.astype(numpy.float64))
    arrays = {'mean': mixture.means_, 'var': mixture.covariances_, 'weight': mixture.weights_}
    inputs, _ = _encode(config, store, 'train', arrays)
    label = [record.label for record in lists.train]
    for name, seen in SVMS.items():
        svm = LinearSVC(C=config.training.svm_c, dual=True, max_iter=10000,
                        random_state=config.training.seed)
        svm.fit(numpy.concatenate([inputs[one] for one in seen], axis=1), label)
        arrays.update({f'{name}/W': svm.coef_, f'{name}/b': svm.intercept_})
    return arrays


def _sample(store, seed, n_shards):
    """Some of the training images' local features that count, (n, d)."""
    random = numpy.random.RandomState(seed)
    size = -(-MIXTURE_SAMPLE // n_shards)
    features = (shard.x[shard.counts] for shard in store.read('train'))
    return numpy.concatenate([x[random.permutation(len(x))[:size]] for x in features])


def _encode(config, store, split, arrays):
    """What the SVMs see, a dict of (n, size), all of unit length; and numbers of visible parts."""
    mixture = [arrays[name].astype(numpy.float32) for name in ('mean', 'var', 'weight')]
    parts, image, n_visible = [], [], []
    for shard in store.read(split):
        fv = fisher_vector(shard.x, *mixture, shard.counts,
                           normalization=config.model.normalization).array
        parts.append(l2_normalize(power_normalize(fv)))
        image.append(l2_normalize(shard.image))
        n_visible.append(shard.n_visible)
    inputs = {'parts': numpy.concatenate(parts), 'image': numpy.concatenate(image)}
    return inputs, numpy.concatenate(n_visible)


def _predict(config, store, arrays, lists):
    """Predictions of the SVMs for the test images."""
    inputs, n_visible = _encode(config, store, 'test', arrays)
    classes = {}
    for name, seen in SVMS.items():
        x = numpy.concatenate([inputs[one] for one in seen], axis=1)
        scores = x @ arrays[f'{name}/W'].T + arrays[f'{name}/b']
        classes[name] = (scores.argmax(axis=1) if scores.shape[1] > 1
                         else (scores[:, 0] > 0).astype(int))
    label = numpy.array([record.label for record in lists.test])
    return Predictions(label, n_visible, classes, loss=float('nan'))
