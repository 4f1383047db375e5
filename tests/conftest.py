import fve_layer  # noqa: F401  (before Chainer)

import os
from pathlib import Path

import chainer
import matplotlib
import pytest

matplotlib.use('Agg')

# Other processes that tests start must find the project, too, wherever they are.
os.environ['PYTHONPATH'] = str(Path(__file__).resolve().parents[1])

def pytest_collection_modifyitems(config, items):
    if not config.getoption('-m'):
        for item in items:
            if item.get_closest_marker('slow'):
                item.add_marker(pytest.mark.skip(reason='takes minutes; ask for it by -m slow'))
    if chainer.backends.cuda.available:
        return
    for item in items:
        if item.get_closest_marker('gpu') or item.get_closest_marker('cudnn'):
            item.add_marker(pytest.mark.skip(reason='needs a GPU'))
