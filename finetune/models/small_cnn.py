"""A small CNN for small images, fast enough to train on a CPU."""
import chainer

from fve_layer.arrays import ArrayOrVariable
from finetune.compute.layers import ConvBN
from finetune.compute.recompute import run_steps

# (in channels, out channels, kernel size, stride, padding)
LAYERS = [(3, 24, 5, 2, 2), (24, 48, 3, 2, 1), (48, 96, 3, 2, 1), (96, 96, 3, 1, 1)]


class SmallCNN(chainer.Chain):

    """Four convolutions with batch normalisation; ConvMaps have an eighth of the input's size.

    NumPy computes it on a CPU, also where oneDNN is installed: its results are the same for any
    number of threads, and those of the reports.

    Args:
        recompute (bool): See :func:`finetune.compute.recompute.run_steps`; each layer is a step.

    """

    def __init__(self, recompute: bool = False) -> None:
        super().__init__()
        self.recompute = recompute
        with self.init_scope():
            self.layers = chainer.ChainList(*(ConvBN(*layer, use_onednn=False) for layer in LAYERS))

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """ConvMaps (N, 96, H / 8, W / 8) of images (N, 3, H, W) in [-1, 1]."""
        return run_steps(self.layers, x, self.recompute)
