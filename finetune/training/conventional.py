"""The conventional pipeline: a linear SVM on Fisher vectors of a fine-tuned CNN's features."""
import functools
import math

import numpy
from sklearn.mixture import GaussianMixture
from sklearn.svm import LinearSVC

from finetune import files
from finetune.config.config import active_names, differences
from finetune.errors import InputError
from finetune.runs.predictions import Predictions
from finetune.training.features import are_finite, Extractor, Store
from finetune.weights.pretrained import load_trained
from fve_layer import fisher_vector
from fve_layer.encoding import component_normalize, l2_normalize, power_normalize

MIXTURE_SAMPLE = 200000     # local features on which the mixture is fitted
# Input of each stream's SVM: Fisher vectors of the parts, as in the paper (Sect. 4.4), the averaged
# ConvMap of the whole image, or both, as in joint learning.
INPUTS = {'both': ('parts', 'image'), 'global': ('image',), 'parts': ('parts',)}
MIXTURE = 'mean', 'var', 'weight'


class ConventionalPipeline:

    """Mixture, encoding and linear SVM after the CNN is fine-tuned (Sect. 4.4).

    The CNN's local features are extracted once for all numbers of components. The result is the
    accuracy of an SVM on the Fisher vectors of the parts; two more SVMs classify the whole image,
    and parts and whole image together.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        data_set (finetune.data.records.DataSet): The data set.
        device (chainer.backend.Device): Device that computes.
        start (finetune.runs.folder.RunFolder): Finished run that fine-tuned the CNN.

    """

    def __init__(self, config, data_set, device, start):
        self.config, self.data_set = config, data_set
        cnn_config = start.read_config()
        _check(config, cnn_config, start)
        self.model = load_trained(start.model, cnn_config, data_set, device)
        extractor = Extractor(self.model, config, data_set.parts, cnn_config.training.batch_size,
                              device)
        without_filter = [] if config.model.norm_filter else ['all']
        whitened = ['whitened'] if config.model.pca_whiten else []
        self.store = Store(start.features(config.data.missing, str(config.model.pca_size),
                                          *whitened, *without_filter), extractor, data_set)
        self.arrays = None      # of the mixture and the SVMs, by name

    @staticmethod
    def needs_start(folder):
        """Returns true: the features always need the CNN."""
        return True

    def learn(self, folder):
        """Fits mixture and SVMs, and saves settings and weights."""
        folder.write_settings(self.config, self.data_set)
        self.store.fill()
        mixture = self._fit_mixture()
        self.arrays = {**mixture, **self._fit_svms(mixture)}
        folder.save_model(self.arrays)

    def load(self, folder):
        """Loads mixture and SVMs of a finished run."""
        self.arrays = files.read_arrays(folder.model)
        names = {*MIXTURE, *(f'{stream}/{array}' for stream in INPUTS for array in 'Wb')}
        if names != set(self.arrays) or not are_finite(self.arrays):
            raise InputError(f'{folder.model}: the arrays are not those of this pipeline, or not '
                             f'finite; move {folder} away to run it again.')
        self.store.fill()

    def predict(self):
        """Returns predictions for the test images and further numbers for the evaluation."""
        inputs, n_visible = self._encode('test', self.arrays)
        classes = {}
        for stream, names in INPUTS.items():
            x = numpy.concatenate([inputs[name] for name in names], axis=1)
            scores = x @ self.arrays[f'{stream}/W'].T + self.arrays[f'{stream}/b']
            classes[stream] = (scores.argmax(axis=1) if scores.shape[1] > 1
                               else (scores[:, 0] > 0).astype(int))
        predictions = Predictions(self.data_set.test.labels, n_visible, classes, loss=float('nan'))
        return predictions, {'n_parameters': self._n_parameters()}

    def _n_parameters(self):
        """Number of parameters of the part stream: CNN without its head, PCA, mixture, SVM."""
        used = [*self.store.extractor.pca.values(),
                *(self.arrays[name] for name in (*MIXTURE, 'parts/W', 'parts/b'))]
        return int(sum(array.size for array in used) + self.model.part_cnn.count_params())

    def _fit_mixture(self):
        """Fits a mixture on local features of the training images."""
        settings, seed = self.config.model, self.config.training.seed
        sample = _sample(self.store, seed)
        if len(sample) < settings.n_components:
            raise InputError(f'model.n_components is {settings.n_components}, but the training '
                             f'images have only {len(sample)} local features; lower it.')
        mixture = GaussianMixture(
            settings.n_components, covariance_type='diag', reg_covar=settings.var_floor,
            max_iter=200, random_state=seed).fit(sample.astype(numpy.float64))
        return {'mean': mixture.means_, 'var': mixture.covariances_, 'weight': mixture.weights_}

    def _fit_svms(self, mixture):
        """Fits a linear SVM for every stream."""
        inputs, _ = self._encode('train', mixture)
        label, settings = self.data_set.train.labels, self.config.training
        class_weight = None if settings.class_weight == 'none' else settings.class_weight
        arrays = {}
        for stream, names in INPUTS.items():
            svm = LinearSVC(C=settings.svm_c, dual=True, max_iter=10000,
                            class_weight=class_weight, random_state=settings.seed)
            svm.fit(numpy.concatenate([inputs[name] for name in names], axis=1), label)
            arrays.update({f'{stream}/W': svm.coef_, f'{stream}/b': svm.intercept_})
        return arrays

    def _encode(self, split, mixture):
        """Returns inputs (n, size) of the SVMs, and numbers of visible parts.

        The averaged ConvMap of the whole image has unit length.
        """
        mixture = [mixture[name].astype(numpy.float32) for name in MIXTURE]
        parts, image, n_visible = [], [], []
        for shard in self.store.read(split):
            fv = fisher_vector(shard.x, *mixture, shard.counts,
                               normalization=self.config.model.normalization).array
            parts.append(_normalized(fv, self.config.model))
            image.append(l2_normalize(shard.image))
            n_visible.append(shard.n_visible)
        inputs = {'parts': numpy.concatenate(parts), 'image': numpy.concatenate(image)}
        return inputs, numpy.concatenate(n_visible)


def _normalized(fv, settings):
    """Applies the normalisations of the settings to Fisher vectors (n, 2KD), in their order."""
    of_components = functools.partial(component_normalize, n_blocks=2 * settings.n_components)
    for is_on, normalize in ((settings.power_normalize, power_normalize),
                             (settings.component_normalize, of_components),
                             (settings.l2_normalize, l2_normalize)):
        fv = normalize(fv) if is_on else fv
    return fv


def _sample(store, seed):
    """Samples local features (n, d) of the training images, among those that count."""
    random = numpy.random.RandomState(seed)
    n_per_shard = math.ceil(MIXTURE_SAMPLE / store.n_shards('train'))
    features = (shard.x[shard.counts] for shard in store.read('train'))
    return numpy.concatenate([x[random.permutation(len(x))[:n_per_shard]] for x in features])


def _check(config, cnn_config, folder):
    """Raises an error unless the CNN saw the same images and parts."""
    ignored = [name for name in {*active_names(config), *active_names(cnn_config)}
               if not name.startswith('data.') or name in (
                   'data.missing', 'data.order', 'data.flip', 'data.colour_jitter',
                   'data.random_crop', 'data.part_jitter', 'data.part_dropout')]
    changed = differences(config, cnn_config, ignored)
    if not cnn_config.data.has_parts or changed:
        raise InputError(f'{folder}: the CNN was fine-tuned with a different '
                         f'{", ".join(changed) or "data.parts"}; set model.pretrained to a config '
                         'with the same data.')
