"""Saliency of pixels: the gradient of the selected features with respect to the image."""
import chainer
from chainer.backends import cuda
import chainer.functions as F
import numpy
from scipy.ndimage import gaussian_filter

from fve_layer.arrays import Array


def pixel_gradients(features: chainer.Variable, img: chainer.Variable, weights: Array
                    ) -> numpy.ndarray:
    """Absolute gradients (N, H, W) of weighted sums of features, averaged over colours.

    .. math::

        G = \\frac{1}{3} \\sum_{colour} \\left| \\partial \\sum_d w_d f_d / \\partial img \\right|

    Args:
        features (chainer.Variable): f, shape (N, C).
        img (chainer.Variable): Their images in test mode, shape (N, 3, H, W).
        weights (array): w, shape (N, C).

    """
    # In test mode images are independent, so that one backward pass is enough.
    with chainer.using_config('train', False):
        gradient, = chainer.grad([F.sum(features * weights)], [img])
    return cuda.to_cpu(abs(gradient.array).mean(axis=1))


def saliency_map(gradient: numpy.ndarray, sigma: float, gamma: float) -> numpy.ndarray:
    """Computes the saliency of one image: its gradient scaled to [0, 1], blurred, compressed.

    Args:
        gradient (numpy.ndarray): (H, W), not negative.
        sigma (float): Standard deviation of the Gaussian blur in pixels; 0: no blur.
        gamma (float): Exponent.

    Returns:
        numpy.ndarray: (H, W), float64, in [0, 1]; zeros if the gradient is constant.

    """
    low, high = gradient.min(), gradient.max()
    if not low < high:
        return numpy.zeros(gradient.shape)
    scaled = (gradient.astype(numpy.float64) - low) / (float(high) - float(low))
    return (gaussian_filter(scaled, sigma) if sigma else scaled) ** gamma
