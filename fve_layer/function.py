"""The Fisher vector as a differentiable function of the local features."""
from typing import Any, NoReturn

import chainer
from chainer import backend
from chainer import function_node
import chainer.functions as F
from chainer.utils import type_check

from fve_layer.arrays import Array, ArrayOrVariable
from fve_layer.em import check_normalization, check_shapes
from fve_layer.maths import maths_for


class FisherVector(function_node.FunctionNode):

    """Forward and explicit backward of :func:`fisher_vector`."""

    def __init__(self, mean: Array, var: Array, weight: Array, mask: Array | None = None,
                 normalization: str = 'sqrt', resp_gradient: bool = True) -> None:
        check_normalization(normalization)
        if mask is not None:
            mask = mask.astype(bool, copy=False)
        self.constants = mean, var, weight, mask, normalization
        self.resp_gradient = resp_gradient

    def check_type_forward(self, in_types: Any) -> None:
        type_check._argname(in_types, ('x',))
        x, = in_types
        mean, var, weight, mask, _ = self.constants
        type_check.expect(x.dtype.kind == 'f', x.ndim == 3)
        type_check.expect(x.shape[2] == mean.shape[1])
        check_shapes(mean, var, weight)
        if mask is not None:
            type_check.expect(x.shape[:2] == mask.shape)

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array]:
        self.retain_inputs((0,))
        x, = inputs
        fv, self.resps = maths_for(x).encode(x, *self.constants)
        return fv,

    def backward(self, indexes: tuple[int, ...],
                 grad_outputs: tuple[chainer.Variable, ...]) -> tuple[chainer.Variable, ...]:
        x, = self.get_retained_inputs()
        constants = *self.constants, self.resp_gradient
        return FisherVectorGrad(self.resps, constants).apply((x, grad_outputs[0]))


class FisherVectorGrad(function_node.FunctionNode):

    """Gradient of the Fisher vector, itself not differentiable: training does not need that."""

    def __init__(self, resps: Any, constants: tuple) -> None:
        self.resps = resps
        self.constants = constants

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array]:
        x, gfv = inputs
        return maths_for(x).encode_vjp(gfv, x, self.resps, *self.constants),

    def backward(self, indexes: tuple[int, ...],
                 grad_outputs: tuple[chainer.Variable, ...]) -> NoReturn:
        raise NotImplementedError('the second derivative of the Fisher vector is not '
                                  'implemented')


def fisher_vector(x: ArrayOrVariable, mean: Array, var: Array, weight: Array,
                  mask: Array | None = None, normalization: str = 'sqrt',
                  resp_gradient: bool = True) -> chainer.Variable:
    """Fisher vector encoding of sets of local features (Eqs. 13, 14).

    For image I with features x_n that count, n = 1 ... N_I, and responsibilities w_nk (Eq. 1):

    .. math::

        F_{\\mu_{k,d}} &= \\frac{1}{\\sqrt{N_I \\alpha_k}}
            \\sum_n w_{nk} \\frac{x_{nd} - \\mu_{kd}}{\\sigma_{kd}}, \\\\
        F_{\\sigma_{k,d}} &= \\frac{1}{\\sqrt{2 N_I \\alpha_k}}
            \\sum_n w_{nk} \\left(\\frac{(x_{nd} - \\mu_{kd})^2}{\\sigma_{kd}^2} - 1\\right).

    The gradient with respect to ``x`` includes that of the responsibilities (Eqs. 15-17), unless
    ``resp_gradient`` is ``False``; the mixture and the mask are constants. The Fisher vector of an
    image without features that count is zero, and so is the part of a component whose weight
    vanishes.

    Differs from the authors' code, whose normaliser is that of ``normalization='mean'``, and from
    scikit-image's ``fisher_vector``, whose sigma part has the opposite sign.

    Args:
        x (:class:`~chainer.Variable` or array): Local features, shape (N, T, D), float.
        mean, var (array): Means and variances of the mixture, shape (K, D).
        weight (array): Mixture weights, shape (K,), positive, sum one.
        mask (array or None): Features that count, shape (N, T), bool. ``None``: all do.
        normalization (str): ``'sqrt'`` as above; ``'mean'`` divides by N_I, not by its square root,
            as VLFeat does.
        resp_gradient (bool): Whether gradients flow through the responsibilities, too: the first
            terms of Eqs. 15 and 16. Without these terms, no gradient pulls a feature from one
            component to another. With one component there is no difference.

    Returns:
        ~chainer.Variable: Fisher vectors, shape (N, 2KD), dtype of ``x``: the whole mean part,
        then the whole sigma part, each component by component.

    Raises:
        ValueError: If ``normalization`` is unknown, or if the shapes of the mixture do not match.
        chainer.utils.type_check.InvalidType: If ``x`` is not (N, T, D) or ``mask`` not (N, T).

    See: Perronnin and Dance, Fisher kernels on visual vocabularies for image categorization,
    CVPR 2007.

    """
    function = FisherVector(mean, var, weight, mask, normalization, resp_gradient)
    return function.apply((x,))[0]


def shift(x: ArrayOrVariable, centre: Array, counts: Array) -> chainer.Variable:
    """Computes z = x - centre, zero for features that do not count, whatever they hold.

    Args:
        x (:class:`~chainer.Variable` or array): Local features, shape (N, T, D).
        centre (array): Any point, shape (D,).
        counts (array): Features that count, shape (N, T), bool.

    Returns:
        ~chainer.Variable: z, shape (N, T, D).

    """
    zero = backend.get_array_module(counts).zeros((), x.dtype)
    return F.where(counts[..., None], x - centre, zero)


def scores(resp: ArrayOrVariable, z: ArrayOrVariable, z2: ArrayOrVariable,
           offset: ArrayOrVariable, var: ArrayOrVariable
           ) -> tuple[chainer.Variable, chainer.Variable]:
    """Sums over the features in Eqs. 13 and 14, differentiable in every argument.

    Args:
        resp (:class:`~chainer.Variable` or array): Responsibilities, shape (N, K, T), zero for
            features that do not count.
        z, z2 (:class:`~chainer.Variable` or array): See :func:`shift`, and z * z; (N, T, D).
        offset (:class:`~chainer.Variable` or array): mean - centre, shape (K, D).
        var (:class:`~chainer.Variable` or array): Variances, shape (K, D).

    Returns:
        tuple of ~chainer.Variable: The mean and the sigma part without their normalisers, each
        (N, K, D).

    """
    s0 = F.sum(resp, axis=2, keepdims=True)
    # Broadcast once, so that gradients are summed over the images once and not in every product.
    s0, offset, var = F.broadcast(s0, offset, var)
    sigma = F.sqrt(var)
    centred = offset / sigma
    mean_part = F.matmul(resp, z) / sigma - centred * s0
    sigma_part = F.matmul(resp, z2) / var - centred * (2 * mean_part + centred * s0) - s0
    return mean_part, sigma_part
