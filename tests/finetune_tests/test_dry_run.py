"""Dry runs of the paper's experiments, at full size, on miniatures of their data sets.

Four of them here; all of them take some minutes:

    tests/run.sh -m slow
"""
from pathlib import Path
import re

import numpy
import pytest

from chainer.testing import attr

from conftest import load
from finetune import cli
from finetune.checks import needs
from finetune.config import config
from finetune.config.settings import Data
from finetune.data import annotation_files

import layouts

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(f'configs/{path.parent.name}/{path.name}' for dataset in layouts.WRITERS
                 for path in (PROJECT / 'configs' / dataset).glob('*.yml'))
N_PARTS = {'cub200': 15, 'nabirds': 11, 'birdsnap': 17}
N_GROUPS = {'cub200': 4, 'nabirds': 3, 'birdsnap': 4}       # NA-Birds has no legs
N_BOXES = 4
MAP_SIZES = {299: 8, 427: 12}
N_FEATURES = 2048       # of InceptionV3, 8 x 8 of them in a crop


@pytest.fixture(scope='module')
def roots(drawn_birds, tmp_path_factory):
    """Folders of the miniatures, as distributed and with CS-Parts in the authors' layout."""
    folder = tmp_path_factory.mktemp('miniatures')
    data_set = annotation_files.read_cub(drawn_birds)
    found = {}
    for dataset, write in layouts.WRITERS.items():
        root = found[dataset, 'points'] = folder / dataset
        write(data_set, drawn_birds, root)
        there = load(Data(dataset=dataset, root=str(root)))
        random = numpy.random.RandomState(0)
        boxes = {record.image_id: random.randint(60, 200, size=(N_BOXES, 4))
                 for record in there.train + there.test}
        found[dataset, 'boxes'] = folder / f'{dataset}_boxes'
        layouts.write_authors(there, found[dataset, 'boxes'], boxes)
    return found


def check(path, roots, capsys, monkeypatch):
    monkeypatch.chdir(PROJECT)
    settings = config.read_config(path)
    data, model = settings.data, settings.model
    root = roots[data.dataset, 'boxes' if data.parts == 'CS_PARTS' else 'points']
    capsys.readouterr()
    monkeypatch.setattr(needs, '_cnn', lambda config: ())       # the weights are not there
    assert cli.main(['train', path, '--dry-run', '--set', f'data.root={root}']) == 0
    shapes = dict(re.split(r'  +', line) for line in capsys.readouterr().out.splitlines()
                  if re.search(r'\d x \d', line))
    size = 427 if path.endswith('cs_parts_cnn.yml') else 299        # what finds parts sees more
    assert shapes['images'] == f'2 x 3 x {size} x {size}'
    assert shapes['ConvMaps'] == f'2 x {N_FEATURES} x {MAP_SIZES[size]} x {MAP_SIZES[size]}'
    if data.parts == 'GLOBAL':
        assert set(shapes) == {'images', 'ConvMaps', 'class scores'}
        return
    n_parts = {'GT': N_PARTS[data.dataset], 'GT2': N_GROUPS[data.dataset],
               'CS_PARTS': N_BOXES}[data.parts]
    assert shapes['visible part crops'].endswith(' x 3 x 299 x 299')
    assert shapes['ConvMaps of parts'] == f'{2 * n_parts} x {N_FEATURES} x 8 x 8'
    if model.encoding == 'gap':
        assert 'local features' not in shapes
    else:
        assert shapes['local features'] == f'2 x {64 * n_parts} x {N_FEATURES}'
    if settings.training.is_joint:
        size = (n_parts if model.encoding == 'gap' else 2 * model.n_components) * N_FEATURES
        assert shapes['encoding'] == f'2 x {size}' and shapes['class scores'] == '2 x 3'
    else:
        assert shapes['Fisher vectors'] == f'2 x {2 * model.n_components * model.pca_size}'


@pytest.mark.parametrize('path', ['configs/cub200/gt2_fve_k5.yml',
                                  'configs/cub200/gt2_separate_k50.yml',
                                  'configs/nabirds/cs_parts_gap.yml',
                                  'configs/birdsnap/gt_fve.yml'])
def test_dry_run(path, roots, capsys, monkeypatch):
    check(path, roots, capsys, monkeypatch)


@attr.slow
@pytest.mark.parametrize('path', CONFIGS)
def test_dry_run_of_every_experiment(path, roots, capsys, monkeypatch):
    check(path, roots, capsys, monkeypatch)


def test_experiments_are_those_of_the_tables_and_figures():
    assert len(CONFIGS) == 61


def test_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['train', str(PROJECT / 'configs/digits/no_parts.yml'), '--dry-run']) == 0
    assert 'classes 10, training images 1198, test images 599' in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
