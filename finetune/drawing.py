"""Makes pictures independent of the settings that the user has for matplotlib.

The packages that draw import this before matplotlib.
"""
import contextlib
import os
import sys
import warnings


@contextlib.contextmanager
def _without_settings():
    """Context in which matplotlib finds no settings: neither variables nor a matplotlibrc here."""
    folder, settings = os.getcwd(), {'MPLBACKEND': 'agg', 'MATPLOTLIBRC': os.devnull}
    before = {name: os.environ[name] for name in settings if name in os.environ}
    os.environ.update(settings)
    for module in [name for name in sys.modules if name.startswith('matplotlib.')]:
        del sys.modules[module]         # of the import that failed
    os.chdir(os.sep)
    try:
        yield
    finally:
        os.chdir(folder)
        for name in settings:
            del os.environ[name]
        os.environ.update(before)


try:
    import matplotlib
except Exception:       # for a backend that is not installed or a file that is not text
    with _without_settings():
        import matplotlib

DEFAULTS = {name: value for name, value in matplotlib.rcParamsDefault.items()
            if not name.startswith(('backend', 'interactive'))}


@contextlib.contextmanager
def own_settings(formulas=False):
    """Context, or decorator, in which matplotlib has its defaults; afterwards the user's are back.

    Without ``formulas``, the dollar signs of names are dollar signs.
    """
    with matplotlib.rc_context():
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')     # of deprecated settings
            matplotlib.rcParams.update({**DEFAULTS, 'text.parse_math': formulas})
        yield
