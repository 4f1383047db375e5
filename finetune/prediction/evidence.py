"""Evidence of local features for a class: gradient times feature, through the encoding."""
from typing import Any, NamedTuple

import chainer
from chainer.backends import cuda
import numpy

from finetune.data.dataset import collate
from fve_layer import fisher_vector, masking
from fve_layer.encoding import count_normalizer

BLOCK = 2 ** 22     # values of Fisher vectors that are computed at a time


class Evidence(NamedTuple):
    """Shares of the local features in the score of a class, in units of the score.

    The last axis has the K components of the mixture, or a single element for other encodings.
    """

    image: Any          # (h, w, K or 1): shares of the whole image
    parts: Any          # (P, h', w', K or 1): shares of the parts; None: no part stream


def explain(model, example, label, stream='both'):
    """Shares of an example's local features in the score of a class.

    A Fisher vector is a normalised sum over local features n of vectors f_n, each of which has a
    part f_nk for every component k (Eqs. 13, 14). The share of local feature n and component k is

    .. math::

        e_{nk} = \\left\\langle \\frac{\\partial s_c}{\\partial F}, f_{nk} \\right\\rangle

    with the score s_c of class c. If a linear layer follows the encoding, the shares of a stream
    sum to its score without the bias. For other encodings, the share is the gradient of the score
    with respect to the feature, times the feature; with average pooling, these sum to the score
    as well.

    Args:
        model (finetune.models.part_classifier.PartClassifier): The classifier.
        example (tuple): Example of a :class:`~finetune.data.dataset.PartDataset`.
        label (int): Index of the class.
        stream (str): ``'global'``: the whole image only; ``'both'``: the whole image and the parts.

    Returns:
        Evidence: NumPy arrays.

    """
    img, parts, visible, _ = collate([example], model.device)
    with chainer.using_config('train', False):
        image = None
        with chainer.no_backprop_mode():
            conv_map = model.conv_maps(model.global_cnn, img)
        if model.has_global_stream:
            weight = model.global_head.W.array[label] / conv_map.array[0, 0].size
            image = cuda.to_cpu(model.xp.tensordot(weight, conv_map.array[0], axes=1))[..., None]
            if not model.has_encoder or stream == 'global':
                return Evidence(image, None)
        with chainer.no_backprop_mode():
            conv_map, visible = model.encoded_maps(conv_map, parts, visible)
        shares = _of_encoding(model, conv_map.array, visible, label)
    return Evidence(shares[0], None) if image is None else Evidence(image, shares)


def _of_encoding(model, conv_map, visible, label):
    """Shares (P, h, w, K or 1) of the features of one image's ConvMaps (P, C, h, w)."""
    conv_map = chainer.Variable(conv_map)
    inputs = model.encoder_input(conv_map, visible)
    vectors = model.vectors(inputs, conv_map)
    score = model.part_head([*vectors.values()][-1])[:, label]
    score.backward(retain_grad=True)
    p, (h, w) = visible.size, conv_map.shape[2:]
    if model.encoding.has_mixture:
        (x, mask), gradient = inputs, vectors['encoding'].grad[0]
        shares = _by_component(model.encoder, x.array, mask, gradient).reshape(p, h, w, -1)
    else:
        shares = (conv_map.grad * conv_map.array).sum(axis=1)[..., None]
    return cuda.to_cpu(shares)


def _by_component(layer, x, mask, gradient):
    """Shares (T, K) of the local features (1, T, D) of an image."""
    xp = layer.xp
    mean, var, weight = layer.mixture
    counts = masking.counting_features(x, mask, layer.norm_filter)[0]
    gradient = gradient.reshape(2, *mean.shape)
    shares, block = [], max(1, BLOCK // gradient.size)
    for start in range(0, x.shape[1], block):
        alone = x[0, start:start + block, None]             # each feature is a set by itself
        vectors = fisher_vector(alone, mean, var, weight).array.reshape(-1, *gradient.shape)
        shares.append(xp.einsum('nskd,skd->nk', vectors, gradient))
    n_counting = numpy.maximum(counts.sum(), 1)
    divisor = count_normalizer(n_counting, layer.normalization)
    return xp.where(counts[:, None], xp.concatenate(shares), 0) / divisor
