"""Pictures are the same whatever the user's settings of matplotlib are, which stay as they are."""
import os
from pathlib import Path
import subprocess
import sys

import matplotlib
import pytest

from finetune.drawing import own_settings
from finetune.training import plots

INLINE = 'module://backend_that_is_not_installed'


@pytest.fixture
def users_settings():
    """Settings that change every picture, or end it."""
    with matplotlib.rc_context({
            'text.usetex': True, 'font.size': 40, 'savefig.dpi': 10, 'savefig.bbox': 'tight',
            'axes.facecolor': 'black', 'lines.marker': 's', 'font.family': 'no such font'}):
        yield dict(matplotlib.rcParams)


def drawn(path, text='b_{$x^^$}'):
    """Bytes of a curve, drawn by the extension's functions."""
    with own_settings():
        plots.draw({'training': ([1, 2], [.5, .25]), text: ([1, 2], [.7, .6])}, text).savefig(path)
    return path.read_bytes()


def test_pictures_do_not_depend_on_settings(tmp_path, request):
    expected = drawn(tmp_path / 'expected.png')
    settings = request.getfixturevalue('users_settings')
    assert drawn(tmp_path / 'drawn.png') == expected
    assert dict(matplotlib.rcParams) == settings


@pytest.mark.parametrize('evaluated', ['test', 'held out'])
def test_plots_of_a_run_do_not_depend_on_settings(
        evaluated, tmp_path, users_settings):
    """The extension that draws them, from the second epoch on."""
    log = [{'epoch': 1, 'main/loss': .5, 'validation/main/loss': .7}]

    class Trainer:
        updater = type('Updater', (), {'epoch': 1})

        def get_extension(self, name):
            return type('LogReport', (), {'log': log})

    class Folder:
        def picture(self, name):
            return tmp_path / f'{name}.png'

    draw_plots = plots.plot_log(Folder(), 1, evaluated)
    draw_plots(Trainer())
    assert not list(tmp_path.iterdir())
    log.append({'epoch': 2, 'main/loss': .25, 'validation/main/loss': .6})
    draw_plots(Trainer())
    with own_settings():
        plots.draw({'training': ((1, 2), (.5, .25)), evaluated: ((1, 2), (.7, .6))},
                   'loss').savefig(tmp_path / 'expected.png')
    assert (tmp_path / 'loss.png').read_bytes() == (tmp_path / 'expected.png').read_bytes()


def test_matplotlib_is_imported_without_settings_that_it_refuses(tmp_path):
    """The backend of a notebook's kernel, and a file that is not text."""
    (tmp_path / 'matplotlibrc').write_bytes(b'\xff\xfe\x80')
    code = ('import os; from finetune.training import plots; import matplotlib; '
            'print(os.getcwd(), os.environ["MPLBACKEND"], "MATPLOTLIBRC" in os.environ)')
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True,
                          env={**os.environ, 'MPLBACKEND': INLINE}, text=True)
    assert done.stdout == f'{Path.cwd() / tmp_path} {INLINE} False\n', done.stderr
