"""Drawn pictures, and where the numbers are that timm computes for them.

``benchmarks/efficientnet_lite.py --write`` makes the file of means and single values of ConvMaps.
"""
from pathlib import Path

import numpy

FIXTURE = Path(__file__).with_name('efficientnet_lite_conv_maps.npz')
SIZES = (224, 224), (192, 192), (97, 131)
CHANNEL_STEP, VALUE_STEP = 32, 1499


def picture(height, width, shift=0):
    """A picture (1, 3, H, W) in [-1, 1], float32: waves of several lengths and directions."""
    y, x = numpy.mgrid[:height, :width] + 17. * shift
    waves = [numpy.sin(x / (3 + 5 * c + shift) + c) * numpy.cos(y / (11 - 3 * c) - x / (23 - shift))
             for c in range(3)]
    return numpy.stack(waves)[None].astype('f')


def sample(conv_map):
    """Means of some channels, and some values, of a ConvMap (1, C, h, w)."""
    return numpy.concatenate([conv_map.mean((0, 2, 3))[::CHANNEL_STEP],
                              conv_map.reshape(-1)[::VALUE_STEP]])
