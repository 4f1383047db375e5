"""TF-Slim's InceptionV3; arrays have the names of the released weights."""
from collections.abc import Callable

import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from fve_layer.arrays import ArrayOrVariable
from finetune.compute.layers import average_pool, ConvBN, max_pool
from finetune.compute.recompute import run_steps

# TF-Slim's epsilon, with which the weights were trained; the authors' code has Chainer's 2e-5.
BATCH_NORM = {'use_gamma': False, 'eps': 1e-3}
ORIGINAL_BATCH_NORM_EPS = 2e-5


class Block(chainer.Chain):

    """Named convolutions, which a subclass connects.

    Args:
        in_channels (int): Channels of the block's input.
        layers (dict): Name: (input channels or ``None`` for the block's, output channels, kernel
            size, stride, padding).

    """

    pad_value: float | None = None      # padding of the average pooling; None: not in the mean

    def __init__(self, in_channels: int, layers: dict) -> None:
        super().__init__()
        with self.init_scope():
            for name, (c_in, *rest) in layers.items():
                setattr(self, name, ConvBN(c_in or in_channels, *rest, **BATCH_NORM))

    def chain(self, x: ArrayOrVariable, *names: str) -> chainer.Variable:
        """Runs convolutions one after the other."""
        for name in names:
            x = self[name](x)
        return x


def _conv(c_in, c_out, *kernel, stride=1, pad=None):
    """One entry of ``layers``; the default padding keeps the size."""
    kernel = kernel if len(kernel) == 2 else kernel * 2
    if pad is None:
        pad = tuple((k - 1) // 2 for k in kernel)
    return c_in, c_out, kernel, stride, pad


class Head(Block):

    """Images (N, 3, 299, 299) to (N, 192, 35, 35)."""

    def __init__(self) -> None:
        super().__init__(3, {
            'conv1': _conv(3, 32, 3, stride=2, pad=0), 'conv2': _conv(32, 32, 3, pad=0),
            'conv3': _conv(32, 64, 3), 'conv5': _conv(64, 80, 1),
            'conv6': _conv(80, 192, 3, pad=0)})

    @property
    def steps(self) -> tuple[Callable, ...]:
        return (self.conv1, self.conv2, lambda x: max_pool(self.conv3(x)),
                self.conv5, lambda x: max_pool(self.conv6(x)))


class InceptionA(Block):

    """(N, C, 35, 35) to (N, 224 + pool channels, 35, 35)."""

    def __init__(self, in_channels: int, pool_channels: int) -> None:
        super().__init__(in_channels, {
            'conv1x1': _conv(None, 64, 1),
            'conv5x5_1': _conv(None, 48, 1), 'conv5x5_2': _conv(48, 64, 5),
            'conv3x3_1': _conv(None, 64, 1), 'conv3x3_2': _conv(64, 96, 3),
            'conv3x3_3': _conv(96, 96, 3),
            'pool_conv': _conv(None, pool_channels, 1)})

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        return F.concat((self.conv1x1(x), self.chain(x, 'conv5x5_1', 'conv5x5_2'),
                         self.chain(x, 'conv3x3_1', 'conv3x3_2', 'conv3x3_3'),
                         self.pool_conv(average_pool(x, self.pad_value))))


class ReductionA(Block):

    """(N, 288, 35, 35) to (N, 768, 17, 17)."""

    def __init__(self) -> None:
        super().__init__(288, {
            'conv3x3': _conv(None, 384, 3, stride=2, pad=0),
            'conv3x3_1': _conv(None, 64, 1), 'conv3x3_2': _conv(64, 96, 3),
            'conv3x3_3': _conv(96, 96, 3, stride=2, pad=0)})

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        return F.concat((self.conv3x3(x), self.chain(x, 'conv3x3_1', 'conv3x3_2', 'conv3x3_3'),
                         max_pool(x)))


class InceptionB(Block):

    """(N, 768, 17, 17) to the same shape, by 1 x 7 and 7 x 1 convolutions with c channels."""

    def __init__(self, c: int) -> None:
        super().__init__(768, {
            'conv1x1': _conv(None, 192, 1),
            'conv7x7_1': _conv(None, c, 1), 'conv7x7_2': _conv(c, c, 1, 7),
            'conv7x7_3': _conv(c, 192, 7, 1),
            'conv7x7x2_1': _conv(None, c, 1), 'conv7x7x2_2': _conv(c, c, 7, 1),
            'conv7x7x2_3': _conv(c, c, 1, 7), 'conv7x7x2_4': _conv(c, c, 7, 1),
            'conv7x7x2_5': _conv(c, 192, 1, 7),
            'pool_conv': _conv(None, 192, 1)})

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        return F.concat((self.conv1x1(x), self.chain(x, 'conv7x7_1', 'conv7x7_2', 'conv7x7_3'),
                         self.chain(x, *(f'conv7x7x2_{i}' for i in range(1, 6))),
                         self.pool_conv(average_pool(x, self.pad_value))))


class ReductionB(Block):

    """(N, 768, 17, 17) to (N, 1280, 8, 8)."""

    def __init__(self) -> None:
        super().__init__(768, {
            'conv3x3_1': _conv(None, 192, 1), 'conv3x3_2': _conv(192, 320, 3, stride=2, pad=0),
            'conv7x7_1': _conv(None, 192, 1), 'conv7x7_2': _conv(192, 192, 1, 7),
            'conv7x7_3': _conv(192, 192, 7, 1),
            'conv7x7_4': _conv(192, 192, 3, stride=2, pad=0)})

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        return F.concat((self.chain(x, 'conv3x3_1', 'conv3x3_2'),
                         self.chain(x, *(f'conv7x7_{i}' for i in range(1, 5))), max_pool(x)))


class InceptionC(Block):

    """(N, C, 8, 8) to (N, 2048, 8, 8)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, {
            'conv1x1': _conv(None, 320, 1),
            'conv3x3_1': _conv(None, 384, 1), 'conv3x3_2': _conv(384, 384, 1, 3),
            'conv3x3_3': _conv(384, 384, 3, 1),
            'conv3x3x2_1': _conv(None, 448, 1), 'conv3x3x2_2': _conv(448, 384, 3),
            'conv3x3x2_3': _conv(384, 384, 1, 3), 'conv3x3x2_4': _conv(384, 384, 3, 1),
            'pool_conv': _conv(None, 192, 1)})

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        single = self.conv3x3_1(x)
        double = self.chain(x, 'conv3x3x2_1', 'conv3x3x2_2')
        return F.concat((self.conv1x1(x), self.conv3x3_2(single), self.conv3x3_3(single),
                         self.conv3x3x2_3(double), self.conv3x3x2_4(double),
                         self.pool_conv(average_pool(x, self.pad_value))))


class InceptionV3(chainer.Chain):

    """InceptionV3 (Szegedy et al., 2016) up to its ConvMaps, without auxiliary classifier.

    It is designed for images of 299 x 299 pixels; any size from 75 works. With the same weights it
    equals TF-Slim's network: batch normalisation has epsilon 1e-3, and average pooling excludes
    padding from the mean. The running statistics of batch normalisation have Chainer's decay of 0.9
    (TF-Slim: 0.9997), because fine-tuning has few updates to replace the old statistics.

    Differs from the authors' code: see :class:`OriginalInceptionV3`.

    Args:
        recompute (bool): See :func:`finetune.compute.recompute.run_steps`; the steps are the first
            convolutions, which have the largest ConvMaps, and the blocks.

    """

    def __init__(self, recompute: bool = False) -> None:
        super().__init__()
        self.recompute = recompute
        with self.init_scope():
            self.head = Head()
            self.mixed00 = InceptionA(192, 32)
            self.mixed01 = InceptionA(256, 64)
            self.mixed02 = InceptionA(288, 64)
            self.mixed03 = ReductionA()
            self.mixed04 = InceptionB(128)
            self.mixed05 = InceptionB(160)
            self.mixed06 = InceptionB(160)
            self.mixed07 = InceptionB(192)
            self.mixed08 = ReductionB()
            self.mixed09 = InceptionC(1280)
            self.mixed10 = InceptionC(2048)

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """ConvMaps (N, 2048, 8, 8) of images (N, 3, 299, 299) in [-1, 1]."""
        blocks = (self[f'mixed{i:02d}'] for i in range(11))
        return run_steps((*self.head.steps, *blocks), x, self.recompute)


class OriginalInceptionV3(InceptionV3):

    """InceptionV3 as the authors' code computes it, for classifiers that this code trained.

    Batch normalisation has epsilon 2e-5, and average pooling counts the padding as zeros. The
    arrays are those of :class:`InceptionV3`.
    """

    def __init__(self, recompute: bool = False) -> None:
        super().__init__(recompute)
        for link in self.links():
            if isinstance(link, L.BatchNormalization):
                link.eps = ORIGINAL_BATCH_NORM_EPS
            elif isinstance(link, Block):
                link.pad_value = 0


class TorchInceptionV3(InceptionV3):

    """InceptionV3 as torch computes it, for the weights of torchvision, timm and chainercv2.

    Batch normalisation has a factor, gamma, besides the arrays of :class:`InceptionV3`, and average
    pooling counts the padding as zeros.
    """

    def __init__(self, recompute: bool = False) -> None:
        super().__init__(recompute)
        for link in self.links():
            if isinstance(link, L.BatchNormalization):
                with link.init_scope():
                    link.gamma = chainer.Parameter(numpy.ones_like(link.beta.array))
            elif isinstance(link, Block):
                link.pad_value = 0
