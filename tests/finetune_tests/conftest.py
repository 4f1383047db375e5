"""A data set of a few small birds, and configs that train on it in seconds."""
import shutil

import pytest
import yaml

from finetune import cli
from finetune.data import minibirds

SETTINGS = {
    'data': {'dataset': 'cub200', 'parts': 'GT', 'missing': 'mask', 'input_size': 32,
             'part_input_size': 32},
    'model': {'architecture': 'small_cnn', 'encoding': 'fve', 'n_components': 2},
    'training': {'epochs': 2, 'lr_epochs': [1], 'update_size': 6, 'batch_size': 4},
}


@pytest.fixture(scope='session')
def drawn_birds(tmp_path_factory):
    root = tmp_path_factory.mktemp('minibirds') / 'birds'
    minibirds.prepare(root, n_species=3, n_train=4, n_test=2, size=48)
    return root


@pytest.fixture(scope='session')
def finished_run(drawn_birds, tmp_path_factory):
    """Folder of a finished run, for tests to copy."""
    folder = tmp_path_factory.mktemp('finished')
    settings = {**SETTINGS, 'data': {**SETTINGS['data'], 'root': str(drawn_birds)}}
    (folder / 'config.yml').write_text(yaml.safe_dump(settings))
    assert cli.main(['train', str(folder / 'config.yml'), '--output', str(folder / 'run')]) == 0
    return folder / 'run'


@pytest.fixture
def birds(drawn_birds, tmp_path):
    """A copy of the data set that a test may break."""
    return shutil.copytree(drawn_birds, tmp_path / 'birds')


@pytest.fixture
def write_config(birds, tmp_path, monkeypatch):
    """Writes a config for the birds; the test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def write(name='config.yml', **sections):
        settings = {key: {**value, **sections.get(key, {})} for key, value in SETTINGS.items()}
        settings['data'].setdefault('root', str(birds))
        (tmp_path / name).write_text(yaml.safe_dump(settings))
        return name
    return write
