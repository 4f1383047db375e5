"""Fisher vector encoding layers for Chainer; :mod:`fve_layer.torch` has those for PyTorch.

Import this package before Chainer: it makes Chainer 7.8.1 run on current Python, NumPy and CuPy.
Chainer itself is imported when one of its layers is first used, and PyTorch only with
``fve_layer.torch``.
"""
import importlib
from typing import Any, TYPE_CHECKING

from fve_layer import compat

if TYPE_CHECKING:
    from fve_layer.function import fisher_vector
    from fve_layer.gradient_link import GradientFVELayer
    from fve_layer.link import FVELayer, GMMLayer
    from fve_layer.mixture import multi_node

__all__ = 'FVELayer', 'GMMLayer', 'GradientFVELayer', 'fisher_vector', 'multi_node'
__version__ = '0.3.0'

_MODULES = {'FVELayer': 'link', 'GMMLayer': 'link', 'GradientFVELayer': 'gradient_link',
            'fisher_vector': 'function', 'multi_node': 'mixture'}

compat.apply()


def __getattr__(name: str) -> Any:
    """Imports Chainer's layers when they are used."""
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    compat.requirements()
    value = getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
