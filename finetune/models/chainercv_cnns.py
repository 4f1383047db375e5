"""ResNet, SE-ResNet, SE-ResNeXt and VGG16 of ChainerCV up to their ConvMaps, without class layers.

Arrays have ChainerCV's names, so its files of weights can be loaded. ChainerCV publishes two of
each ResNet, whose arrays look the same from 101 layers on: ``resnet50_imagenet_trained_*.npz`` has
the stride of a block in its 3 x 3 convolution (``arch='fb'``), ``resnet50_imagenet_converted_*``,
converted from He et al.'s, in its first 1 x 1 convolution (``arch='he'``).
"""
from collections.abc import Callable
from functools import partial
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from fve_layer.arrays import ArrayOrVariable
from finetune.compute.convolution import Convolution2D
from finetune.compute.layers import ConvBN
from finetune.compute.recompute import run_steps
from finetune.errors import InputError

# ImageNet's mean and standard deviation in [0, 1], RGB, as in torchvision and timm.
TORCH_MEAN, TORCH_STD = numpy.array([(.485, .456, .406), (.229, .224, .225)], 'f')
TORCH_BATCH_NORM_EPS = 1e-5


class ChainerCVNetwork(chainer.Chain):

    """The convolutions of one of ``chainercv.links``.

    Its layers are ChainerCV's, with :class:`finetune.compute.convolution.Convolution2D` in place
    of Chainer's convolutions, which is faster.

    Args:
        name (str): Name of the link in ``chainercv.links``.
        last (str): Layer whose output are the ConvMaps, in ChainerCV's words ``pick``.
        recompute (bool): See :func:`finetune.compute.recompute.run_steps`; the steps are the layers
            before the residual blocks, and each of the blocks' bottlenecks.
        **options: Options of the link.

    """

    def __init__(self, name: str, last: str = 'res5', recompute: bool = False, **options: Any
                 ) -> None:
        super().__init__()
        network = getattr(_links(), name)(initialW=chainer.initializers.Zero(), **options)
        self.recompute = recompute
        # Of images in [-1, 1], which ChainerCV has in [0, 255] minus the mean of each channel.
        self.scale, self.shift = numpy.full(3, 127.5, 'f'), 127.5 - network.mean.ravel()
        network.pick = last
        network.remove_unused()
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            # After this, all arrays have their shapes.
            network(numpy.zeros((1, 3, 32, 32), chainer.get_dtype(map_mixed16=numpy.float32)))
        self.layer_names = tuple(network.layer_names)
        with self.init_scope():
            for layer in self.layer_names:
                setattr(self, layer, network[layer])
        _use_ours(self)

    @property
    def steps(self) -> list[Callable]:
        """The layers in the order of execution."""
        steps = [self.prepared]
        for name in self.layer_names:
            layer = self[name]
            steps += ([layer[block] for block in layer.layer_names]
                      if hasattr(layer, 'layer_names') else [layer])
        return steps

    def prepared(self, x: ArrayOrVariable) -> chainer.Variable:
        """Converts images (N, 3, H, W) in [-1, 1] to what the network was trained on.

        The conversion is a convolution with kernel size 1, so that ``export`` includes it.
        """
        weight = self.xp.diag(self.scale)[..., None, None].astype(x.dtype)
        return F.convolution_2d(x, weight, self.shift.astype(x.dtype))

    def device_resident_accept(self, visitor: chainer.device_resident.DeviceResidentsVisitor
                               ) -> None:
        """Sends the constants along, which are not saved with the arrays."""
        super().device_resident_accept(visitor)
        self.scale, self.shift = map(visitor.visit_array, (self.scale, self.shift))

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """ConvMaps (N, C, H / 32, W / 32) of images (N, 3, H, W), RGB, in [-1, 1]."""
        return run_steps(self.steps, x, self.recompute)


class TorchResNet(ChainerCVNetwork):

    """ResNet as torchvision (version 1.5 of its weights) and timm compute it.

    Differs from ChainerCV's ``arch='fb'``: the maximum pooling is padded, batch normalisation has
    epsilon 1e-5, and the input is divided by the standard deviation, too.
    """

    def __init__(self, name: str, recompute: bool = False) -> None:
        super().__init__(name, recompute=recompute, arch='fb')
        self.scale, self.shift = .5 / TORCH_STD, (.5 - TORCH_MEAN) / TORCH_STD
        self.pool1 = partial(F.max_pooling_2d, ksize=3, stride=2, pad=1, cover_all=False)
        for link in self.links():
            if isinstance(link, L.BatchNormalization):
                link.eps = TORCH_BATCH_NORM_EPS


class BiasedConvolution(Convolution2D):

    """:class:`finetune.compute.convolution.Convolution2D` with a bias."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        with self.init_scope():
            self.b = chainer.Parameter(0, self.out_channels)

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        y = super().forward(x)
        return y + F.cast(F.reshape(self.b, (1, self.out_channels, 1, 1)), y.dtype)


class SEBlock(chainer.Chain):

    """``chainercv.links.SEBlock`` for ConvMaps of any dtype; its weights are float32."""

    def __init__(self, link: chainer.Chain) -> None:
        super().__init__()
        with self.init_scope():
            self.down, self.up = link.down, link.up

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        mean = F.cast(F.average(x, axis=(2, 3)), self.down.W.dtype)
        weight = F.sigmoid(self.up(F.relu(self.down(mean))))
        return x * F.cast(F.reshape(weight, (*weight.shape, 1, 1)), x.dtype)


def _use_ours(chain):
    """Replaces ChainerCV's convolutions and SE blocks in a chain by ours."""
    for child in list(chain.children()):
        ours = _ours(child)
        if ours is not None:
            name = child.name
            delattr(chain, name)
            with chain.init_scope():
                setattr(chain, name, ours)
        elif isinstance(child, chainer.Chain):
            _use_ours(child)


def _ours(link):
    """Our link with the arrays of one of ChainerCV's or Chainer's; ``None``: it stays."""
    links = _links()
    if isinstance(link, links.SEBlock):
        return SEBlock(link)
    if isinstance(link, links.Conv2DBNActiv) and link.conv.b is None:
        return ConvBN(*_shape(link.conv), groups=link.conv.groups, eps=link.bn.eps,
                      activation='relu' if link.activ is F.relu else None)
    if isinstance(link, L.Convolution2D):
        return BiasedConvolution(*_shape(link), initialW=chainer.initializers.HeNormal())
    return None


def _shape(conv):
    return (conv.W.shape[1] * conv.groups, conv.out_channels, conv.ksize, conv.stride, conv.pad)


def _links():
    try:
        from chainercv import links
    except ImportError:
        raise InputError(
            'ResNet, SE-ResNet, SE-ResNeXt and VGG16 need ChainerCV; in the clone, pip install -r '
            'build-constraints.txt wheel, then CC=true LDSHARED=true pip install '
            '--no-build-isolation --no-deps chainercv==0.13.1.')
    return links


# What the catalogue names; each is called with the argument ``recompute`` or none.
resnet50, resnet101, resnet152 = (
    partial(ChainerCVNetwork, f'ResNet{n}', arch='fb') for n in (50, 101, 152))
resnet50_he, resnet101_he, resnet152_he = (
    partial(ChainerCVNetwork, f'ResNet{n}', arch='he') for n in (50, 101, 152))
resnet50_torch, resnet101_torch, resnet152_torch = (
    partial(TorchResNet, f'ResNet{n}') for n in (50, 101, 152))
se_resnet50, se_resnet101, se_resnet152 = (
    partial(ChainerCVNetwork, f'SEResNet{n}') for n in (50, 101, 152))
se_resnext50, se_resnext101 = (
    partial(ChainerCVNetwork, f'SEResNeXt{n}') for n in (50, 101))
# After the last pooling, where ConvMaps have the size that those of the others have.
vgg16 = partial(ChainerCVNetwork, 'VGG16', 'pool5')
