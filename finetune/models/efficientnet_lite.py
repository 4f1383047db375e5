"""EfficientNet-Lite (Tan and Le, 2019, without squeeze-and-excitation and with ReLU6)."""
import math

import chainer

from fve_layer.arrays import ArrayOrVariable
from finetune.compute.geometry import SAME
from finetune.compute.layers import ConvBN
from finetune.compute.recompute import run_steps

STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
# Expansion, channels, blocks, stride of the first block, kernel size. Only the stages between the
# first and the last have more blocks in a deeper network.
STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
          (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))
EPSILON = 1e-3


def _layer(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, **options) -> ConvBN:
    return ConvBN(c_in, c_out, kernel, stride, SAME, eps=EPSILON,
                  **{'activation': 'relu6', **options})


class InvertedResidual(chainer.Chain):

    """Expands channels, convolves each alone, and projects them on fewer; adds its input if that
    has the shape of the result."""

    def __init__(self, c_in: int, c_out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        c = expansion * c_in
        self.adds_input = stride == 1 and c_in == c_out
        with self.init_scope():
            if expansion > 1:
                self.expand = _layer(c_in, c)
            self.depthwise = _layer(c, c, kernel, stride, groups=c)
            self.project = _layer(c, c_out, activation=None)

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        y = self.expand(x) if hasattr(self, 'expand') else x
        y = self.project(self.depthwise(y))
        return x + y if self.adds_input else y


class EfficientNetLite0(chainer.Chain):

    """EfficientNet-Lite0 up to its ConvMaps; it is designed for images of 224 x 224 pixels.

    With the same weights it equals TensorFlow's network, whose padding depends on the size of the
    images: any size from 32 works. The running statistics of batch normalisation have Chainer's
    decay, as those of :class:`finetune.models.inception_v3.InceptionV3`.

    Args:
        recompute (bool): See :func:`finetune.compute.recompute.run_steps`; the steps are the first
            convolution, the blocks and the last convolution.

    """

    width, depth = 1.0, 1.0     # factors of channels and blocks

    def __init__(self, recompute: bool = False) -> None:
        super().__init__()
        self.recompute = recompute
        c, blocks = STEM_CHANNELS, chainer.ChainList()
        for i, (expansion, channels, repeats, stride, kernel) in enumerate(STAGES):
            c_out = _multiple_of_8(self.width * channels)
            if 0 < i < len(STAGES) - 1:
                repeats = math.ceil(self.depth * repeats)
            for j in range(repeats):
                blocks.append(InvertedResidual(c, c_out, expansion, kernel, 1 if j else stride))
                c = c_out
        with self.init_scope():
            self.stem = _layer(3, STEM_CHANNELS, 3, 2)
            self.blocks = blocks
            self.head = _layer(c, HEAD_CHANNELS)

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """ConvMaps (N, 1280, H / 32, W / 32), rounded up, of images (N, 3, H, W) in [-1, 1]."""
        return run_steps((self.stem, *self.blocks, self.head), x, self.recompute)


class EfficientNetLite1(EfficientNetLite0):

    """EfficientNet-Lite1, for images of 240 x 240 pixels."""

    depth = 1.1


class EfficientNetLite2(EfficientNetLite0):

    """EfficientNet-Lite2, for images of 260 x 260 pixels."""

    width, depth = 1.1, 1.2


def _multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8, as in the published network; no less than 90 % of the channels."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= .9 * channels else rounded + 8
