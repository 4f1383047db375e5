"""The choice of the features whose gradient is the saliency: those of a class, or all."""
from collections.abc import Sequence
import warnings

import numpy

from finetune.config.conditions import CLASS_FREE
from finetune.errors import InputError

N_ITERATIONS = 200      # of LIBLINEAR, at most
NEARLY_ALL = .8         # share of features; with more, parts hardly depend on the class


def fit_svm(features: numpy.ndarray, label: numpy.ndarray, c: float
            ) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Fits a linear SVM with L1 penalty, one class against the rest.

    Args:
        features (numpy.ndarray): (n, C), averaged ConvMaps of the training images.
        label (numpy.ndarray): (n,), classes, at least two; only those that occur get a row.
        c (float): Its C: the smaller, the fewer coefficients other than zero.

    Returns:
        tuple of numpy.ndarray: Coefficients (n_classes, C) and intercepts (n_classes,), float32.

    """
    from sklearn.exceptions import ConvergenceWarning   # here, because this import takes a second
    from sklearn.svm import LinearSVC
    svm = LinearSVC(penalty='l1', dual=False, C=c, max_iter=N_ITERATIONS, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)     # the limit is part of the method
        svm.fit(features.astype(numpy.float64), label)
    coefficients, intercepts = svm.coef_, svm.intercept_
    if len(coefficients) == 1:      # for two classes scikit-learn returns only the second one's
        coefficients = numpy.concatenate([-coefficients, coefficients])
        intercepts = numpy.concatenate([-intercepts, intercepts])
    return coefficients.astype(numpy.float32), intercepts.astype(numpy.float32)


def feature_weights(coefficients: numpy.ndarray, features: str) -> numpy.ndarray:
    """Weights of the features in the saliency of each class, (n_classes, C), float32.

    Args:
        coefficients (numpy.ndarray): (n_classes, C).
        features (str): ``'selected'``: 1 for non-zero coefficients of either sign, as in the
            authors' code; ``'positive'``: 1 for positive coefficients; ``'all'``: 1 for all;
            ``'score'``: the coefficients, which give the score of the class.

    """
    weights = {'selected': coefficients != 0, 'positive': coefficients > 0,
               'all': numpy.ones_like(coefficients), 'score': coefficients}[features]
    return weights.astype(numpy.float32)


class SparseSVMs:

    """Features that sparse SVMs select for the predicted class.

    Args:
        svms (sequence of tuple): Coefficients (n_classes, C) and intercepts (n_classes,) of the SVM
            of all training images, then of those that were fitted without one fold each.
        features (str): See :func:`feature_weights`.

    """

    def __init__(self, svms: Sequence[tuple[numpy.ndarray, numpy.ndarray]], features: str):
        self.svms = list(svms)
        self._weights = [feature_weights(coefficients, features) for coefficients, _ in svms]

    def weights(self, pooled: numpy.ndarray, folds: numpy.ndarray) -> numpy.ndarray:
        """Weights (n, C) of the features of images.

        Args:
            pooled (numpy.ndarray): (n, C), averaged ConvMaps.
            folds (numpy.ndarray): (n,) int, the fold whose SVM, which has not seen it, decides; -1:
                the SVM of all training images.

        """
        weights = numpy.empty(pooled.shape, numpy.float32)
        for fold in numpy.unique(folds):
            coefficients, intercepts = self.svms[fold + 1]
            classes = (pooled @ coefficients.T + intercepts).argmax(axis=1)
            weights[folds == fold] = self._weights[fold + 1][classes[folds == fold]]
        return weights

    @property
    def arrays(self) -> dict[str, numpy.ndarray]:
        """Arrays to save."""
        return {f'svm{i or ""}/{key}': array for i, svm in enumerate(self.svms)
                for key, array in zip('Wb', svm)}


class AllFeatures:

    """All features of every image, so that no class matters."""

    arrays: dict[str, numpy.ndarray] = {}       # there is nothing to save

    def weights(self, pooled: numpy.ndarray, folds: numpy.ndarray) -> numpy.ndarray:
        """Ones (n, C) for averaged ConvMaps (n, C)."""
        return numpy.ones_like(pooled)


def load(arrays: dict[str, numpy.ndarray], features: str, n_features: int, where: str
         ) -> SparseSVMs | AllFeatures:
    """Restores a choice of features from the arrays that it saved; ``where`` is for messages."""
    if features in CLASS_FREE:
        return AllFeatures()
    svms = []
    while not svms or f'svm{len(svms)}/W' in arrays:
        coefficients, intercepts = (
            arrays.get(f'svm{len(svms) or ""}/{key}', numpy.zeros(())) for key in 'Wb')
        n_classes = intercepts.size
        if (coefficients.shape, intercepts.shape) != ((n_classes, n_features), (n_classes,)):
            raise InputError(f'{where}: has no sparse SVM of {n_features} features (svm/W and '
                             'svm/b); find the parts again.')
        svms.append((coefficients, intercepts))
    return SparseSVMs(svms, features)


def described(coefficients: numpy.ndarray, features: str) -> str:
    """Says how many features an SVM selects, and which way to change its C if that is no choice."""
    selected = feature_weights(coefficients, features) != 0
    of_class, n_features = selected.sum(axis=1), selected.shape[1]
    text = f'{of_class.mean():.1f} of {n_features} features are selected for a class, mean over ' \
           'the classes'
    n_without = int((of_class == 0).sum())
    if n_without:
        return (f'{text}; none for {n_without} of {len(of_class)} classes, so that images of these '
                'have no parts: raise detector.svm_c, or set detector.features to all')
    if features in ('selected', 'positive') and of_class.mean() > NEARLY_ALL * n_features:
        return f'{text}, so that parts hardly depend on the class: lower detector.svm_c'
    return text
