"""Fisher vector encoding layers for Chainer.

Import this package before Chainer: it makes Chainer 7.8.1 run on current Python, NumPy and CuPy.
"""
from fve_layer import compat

compat.apply()

from fve_layer.function import fisher_vector  # noqa: E402
from fve_layer.gradient_link import GradientFVELayer  # noqa: E402
from fve_layer.link import FVELayer, GMMLayer  # noqa: E402
from fve_layer.mixture import multi_node  # noqa: E402

__all__ = 'FVELayer', 'GMMLayer', 'GradientFVELayer', 'fisher_vector', 'multi_node'
__version__ = '0.2.0'
