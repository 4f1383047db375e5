"""The site of the documentation builds without a warning."""
import importlib.util
import os
from pathlib import Path
import re
import subprocess
import sys

from chainer.testing import attr
import pytest

PROJECT = Path(__file__).resolve().parents[1]
NEEDED = 'sphinx', 'myst_nb', 'furo'


@attr.slow
@pytest.mark.skipif(not all(map(importlib.util.find_spec, NEEDED)),
                    reason='needs the extra docs: pip install -e .[docs]')
def test_site_builds_with_formulas_and_tables(tmp_path):
    process = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q',
         '-d', tmp_path / 'doctrees', PROJECT / 'docs', tmp_path / 'site'],
        env={**os.environ, 'PYTHONPATH': str(PROJECT)}, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 0, process.stderr
    start, own, notebook, layer, program = (
        (tmp_path / 'site' / f'{page}.html').read_text(encoding='utf-8') for page in (
            'index', 'layer', 'layer_in_a_network', 'api/fve_layer', 'api/finetune'))
    names = re.findall(r'toctree-l1"><a [^>]*>(.*?)</a>', start)
    assert len(names) == len(set(names)) > 20
    assert 'GradientFVELayer' in own        # README's section
    assert 'cell_output' in notebook
    assert re.search(r'class="math notranslate nohighlight">\s*\\\[.*F_{\\mu_{k,d}}', layer,
                     re.DOTALL)
    assert re.search(r'<table.*<th.*shape.*dtype.*\(V, 3, h, w\)', program, re.DOTALL)
