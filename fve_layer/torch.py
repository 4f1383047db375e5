"""The layers for PyTorch: modules with the arguments and results of Chainer's links.

The mathematics is that of the links, on NumPy arrays that share the memory of the tensors, or on
CuPy arrays that share it on PyTorch's current stream; the backward pass is the explicit one.
"""
from typing import Any

import torch
from torch import distributed, nn, Tensor
from torch.autograd.function import once_differentiable

from fve_layer import em, masking, seeding, tensors
from fve_layer.arrays import to_cpu
from fve_layer.communication import of_all_ranks
from fve_layer.maths import maths_for

__all__ = 'FVELayer', 'GMMLayer', 'copy_state', 'fisher_vector'

HALF = torch.float16, torch.bfloat16


class GMMLayer(nn.Module):

    """Gaussian mixture that is fitted to the features passing through; returns them unchanged.

    As :class:`fve_layer.GMMLayer`, whose arguments these are, but for ``comm``; a ``seed`` of
    ``None`` is drawn from PyTorch's generator. It learns in training mode, but not in the calls
    that ``torch.utils.checkpoint`` repeats in the backward pass. Run the backward pass before the
    layer's next call, whose mixture the repeated call would use.

    ``comm`` is the process group whose processes have one mixture. ``None``: all processes, once
    ``torch.distributed`` is initialised; ``False``: each its own, which needs
    ``DistributedDataParallel(..., broadcast_buffers=False)``. A group begins with the mixture of
    its first process. Each step sums K (2D + 1) + 1 numbers over it, so that its processes must
    call the layer equally often in training mode.

    ``mean`` (K, D), ``var`` (K, D), ``weight`` (K,), ``n_updates``, and with a
    ``relative_var_floor`` ``smallest_var``, are buffers, which ``half()`` leaves in float32.
    """

    def __init__(self, in_size: int, n_components: int, *, ema_decay: float = 0.9,
                 norm_filter: bool = False, init: str = 'kmeans', var_floor: float = 1e-3,
                 relative_var_floor: float = 0., seed: int | None = None,
                 comm: Any = None) -> None:
        super().__init__()
        em.check_settings(in_size, n_components, var_floor, relative_var_floor, ema_decay, init)
        self.in_size, self.n_components, self.ema_decay = in_size, n_components, ema_decay
        self.norm_filter, self.init = norm_filter, init
        self.seed = em.checked_seed(int(torch.randint(2 ** 31 - 1, (), device='cpu'))
                                    if seed is None else seed)
        self.var_floor, self.relative_var_floor, self.comm = var_floor, relative_var_floor, comm
        self.log_likelihood: Tensor | None = None
        self._has_warned = self._is_seeded = self._has_joined = False
        dtype = torch.promote_types(torch.get_default_dtype(), torch.float32)
        state = em.initial_state(in_size, n_components, init, self.seed, var_floor)
        for name, value in state._asdict().items():
            tensor = torch.from_numpy(value).to(torch.get_default_device())
            self.register_buffer(name, tensor.to(dtype) if tensor.is_floating_point() else tensor)
        if not relative_var_floor:
            del self._buffers['smallest_var']
            self.smallest_var = var_floor

    @property
    def is_seeded(self) -> bool:
        """Whether there is a mixture: seeded from a batch, loaded, assigned, or random by ``init``.
        """
        if not self._is_seeded:     # on a GPU this check waits for the device
            self._is_seeded = bool(self.n_updates > 0) or bool(self.mean.any())
        return self._is_seeded

    @property
    def out_size(self) -> int:
        """Size of the last axis of the output, 2KD, or D if the layer does not encode."""
        return self.in_size * (2 * self.n_components if hasattr(self, 'normalization') else 1)

    def extra_repr(self) -> str:
        return ', '.join(f'{name}={value!r}' for name, value in vars(self).items()
                         if name[0] != '_' and name not in ('training', 'log_likelihood'))

    def _apply(self, convert, *args, **options):
        def convert_unless_half(tensor):
            converted = convert(tensor)
            return tensor.to(converted.device) if converted.dtype in HALF else converted
        self._is_seeded = False     # to_empty leaves nothing
        return super()._apply(convert_unless_half, *args, **options)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._is_seeded = False     # depends on the state loaded
        for name, tensor in self._buffers.items():      # with assign=True, those that were saved
            self._buffers[name] = tensor.float() if tensor.dtype in HALF else tensor
        try:
            em.check_mixture(self.mean, self.var, self.weight)
        except ValueError as error:
            args[-1].append(f'{prefix}mean, var and weight: {error}')

    @torch.compiler.disable
    def forward(self, x: Tensor, mask: 'Tensor | None' = None) -> Tensor:
        """Updates the mixture in training mode and returns the features.

        Args:
            x (Tensor): Local features, shape (N, T, D).
            mask (Tensor or None): Visible features, shape (N, T), bool. ``None``: all are.

        Returns:
            Tensor: ``x``.

        """
        self._learn(x, mask)
        return x

    @torch.no_grad()
    def _learn(self, x, mask):
        """Updates the mixture in training mode; returns which features count, or ``None``."""
        mask = _bool(mask, x)
        with tensors.on_stream_of(x):
            features, counting = tensors.to_array(x), tensors.to_array(mask)
            masking.check_shapes(features, counting, self.in_size)
            counting = masking.counting_features(features, counting, self.norm_filter)
            if self.training and torch._C._current_graph_task_id() == -1:   # not in backward
                self._update(features, counting)
            elif not (self.training or self._has_warned or self.is_seeded):
                self._has_warned = True
                em.warn_without_mixture(self, 8)        # 8: who calls the layer, from there
            return mask if counting is None or not self.norm_filter else tensors.to_tensor(counting)

    def _state(self):
        return em.State(*(tensors.to_array(a) if isinstance(a, Tensor) else a for a in (
            getattr(self, name) for name in em.State._fields)))

    def _update(self, x, mask):
        """Seeds the mixture if necessary; one E-step, one M-step."""
        is_alone = self.comm is False or not distributed.is_initialized()
        ranks = None if is_alone else tensors.Ranks(self.comm)
        if ranks and not self._has_joined:      # another rank may have another state
            self._assign(em.State(*ranks.bcast_obj([to_cpu(a) for a in self._state()])))
            self._has_joined, self._is_seeded = True, False
        if not self.is_seeded:
            seeded = seeding.of_all_ranks(x, mask, ranks, self.n_components, self.var_floor,
                                          self.seed, self.relative_var_floor)
            if seeded is not None:
                self._assign(em.State(*seeded, *self._state()[3:]))
        statistics = of_all_ranks(maths_for(x).e_step(x, *self._state()[:3], mask), ranks)
        self._assign(em.step(self._state(), statistics, self.ema_decay, self.var_floor,
                             self.relative_var_floor))
        self.log_likelihood = tensors.to_tensor(statistics.log_likelihood)

    def _assign(self, state):
        for name, value in state.bounded()._asdict().items():
            if isinstance(getattr(self, name), Tensor):
                getattr(self, name).copy_(tensors.to_tensor(value))


class FVELayer(GMMLayer):

    """Fisher vector encoding with a mixture that is learned by EM during training.

    As :class:`fve_layer.FVELayer`, whose arguments these are: features (N, T, D), and a mask of the
    visible ones, become Fisher vectors (N, 2KD). ``settings`` are the further arguments of
    :class:`GMMLayer`, which says how it learns. Under autocast the layer computes in float32. Other
    settings are recommended if a pre-trained CNN learns, too (``docs/pytorch.md``).

        >>> h = torch.rand(8, 16, 10, 10)                           # ConvMaps (N, C, H, W)
        >>> FVELayer(16, 5)(h.flatten(2).transpose(1, 2)).shape     # 2 K D
        torch.Size([8, 160])

    """

    def __init__(self, in_size: int, n_components: int, *, normalization: str = 'sqrt',
                 resp_gradient: bool = True, **settings: Any) -> None:
        super().__init__(in_size, n_components, **settings)
        em.check_normalization(normalization)
        self.normalization, self.resp_gradient = normalization, resp_gradient

    @torch.compiler.disable
    def forward(self, x: Tensor, mask: 'Tensor | None' = None) -> Tensor:
        """As :meth:`GMMLayer.forward`, but returns Fisher vectors, shape (N, 2KD)."""
        mask = self._learn(x, mask)
        return fisher_vector(x, self.mean, self.var, self.weight, mask, self.normalization,
                             self.resp_gradient)


def fisher_vector(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor,
                  mask: 'Tensor | None' = None, normalization: str = 'sqrt',
                  resp_gradient: bool = True) -> Tensor:
    """As :func:`fve_layer.fisher_vector`, whose arguments these are."""
    em.check_normalization(normalization)
    em.check_shapes(mean, var, weight)
    if torch.jit.is_tracing():
        raise RuntimeError('the Fisher vector is not computed by operators of PyTorch, so that '
                           'it cannot be traced or exported')
    if torch.is_autocast_enabled(x.device.type) and x.dtype in HALF:
        x = x.float()
    return _FisherVector.apply(x, mean.detach(), var.detach(), weight.detach(), _bool(mask, x),
                               normalization, resp_gradient)


class _FisherVector(torch.autograd.Function):

    """Forward and explicit backward of :func:`fisher_vector`."""

    @staticmethod
    def forward(ctx, x, mean, var, weight, mask, normalization, resp_gradient):
        ctx.save_for_backward(x, mask)
        with tensors.on_stream_of(x):
            # Copies: the layer's next step changes its buffers.
            ctx.mixture = [tensors.to_array(a.clone()) for a in (mean, var, weight)]
            ctx.settings, features = (normalization, resp_gradient), tensors.to_array(x)
            mask = tensors.to_array(mask)
            masking.check_shapes(features, mask, mean.shape[1])
            fv, ctx.resps = maths_for(features).encode(features, *ctx.mixture, mask, normalization)
            return tensors.to_tensor(fv).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gfv):
        x, mask = ctx.saved_tensors
        with tensors.on_stream_of(x):
            features, mask, gfv = map(tensors.to_array, (x, mask, gfv))
            gx = maths_for(features).encode_vjp(gfv, features, ctx.resps, *ctx.mixture, mask,
                                                *ctx.settings)
            return tensors.to_tensor(gx).to(x.dtype), *[None] * 6


def _bool(mask, x):
    return None if mask is None else torch.as_tensor(mask, device=x.device).bool()


@torch.no_grad()
def copy_state(source: Any, target: Any) -> None:
    """Copies the mixture of a layer to one of equal settings; each is Chainer's or PyTorch's."""
    target._is_seeded = False       # depends on the copy
    for name in em.State._fields:
        value, old = getattr(source, name), getattr(target, name)
        value = tensors.to_array(value.cpu()) if isinstance(value, Tensor) else to_cpu(value)
        if value.shape != getattr(old, 'shape', ()):
            raise ValueError(f'{name} has the shape {value.shape} in one layer and '
                             f'{tuple(old.shape)} in the other')
        if isinstance(old, Tensor):
            old.copy_(torch.from_numpy(value))
        elif not isinstance(old, float):        # the setting var_floor
            setattr(target, name, target.xp.array(value, old.dtype))
