"""A sparse linear classifier, which selects features for each class."""
import warnings

import numpy

N_ITERATIONS = 200      # of LIBLINEAR, at most


def fit_svm(features: numpy.ndarray, label: numpy.ndarray, c: float
            ) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Fits a linear SVM with L1 penalty, one class against the rest.

    Args:
        features (numpy.ndarray): (n, C), averaged ConvMaps of the training images.
        label (numpy.ndarray): (n,), classes 0 ... n_classes - 1, each of which occurs.
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
