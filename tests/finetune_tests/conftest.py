"""A data set of a few small birds, configs that train on it in seconds, and finished runs."""
import copy
import os
from pathlib import Path
import shutil

import pytest
import yaml

from finetune import cli
from finetune.config.config import active_names
from finetune.config.schema import check, fill
from finetune.config.settings import Config
from finetune.data import picture_folders, pictures
from finetune.data.minibirds import drawing
from finetune.data.dataset import PartDataset
from finetune.data.own_pictures import NO_PARTS
from finetune.errors import InputError
from finetune.parts import kind

def load(data):
    """The data set of the settings ``data`` with its parts."""
    return kind.load(Config(data=data))


def parts_of(data):
    """Its parts alone."""
    return kind.parts_of(Config(data=data))


def examples(records, data, **options):
    """A :class:`PartDataset` of records of that data set."""
    if not data.has_parts:
        records = records.with_parts(*NO_PARTS)
    return PartDataset(records, parts_of(data), data, **options)


SETTINGS = {
    'data': {'dataset': 'cub200', 'parts': 'GT', 'missing': 'mask', 'input_size': 32,
             'part_input_size': 32},
    'model': {'architecture': 'small_cnn', 'encoding': 'fve', 'n_components': 2},
    'training': {'epochs': 2, 'lr_epochs': [1], 'update_size': 6, 'batch_size': 4},
}
GAP = {'data': {'missing': 'zero'}, 'model': {'encoding': 'gap'}}


@pytest.fixture(scope='session')
def drawn_birds(tmp_path_factory):
    root = tmp_path_factory.mktemp('minibirds') / 'birds'
    drawing.prepare(root, n_species=3, n_train=4, n_test=2, size=48)
    return root


def run(*arguments):
    """Runs a command of the program; returns its exit code."""
    return cli.main([str(argument) for argument in arguments])


def fails(capsys, *arguments):
    """Runs a command that must fail; returns its one sentence."""
    capsys.readouterr()
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith('finetune: ') and error.count('\n') == 1
    return error


def settings(root, **sections):
    """The default settings and others, without defaults that have no effect then."""
    tree = {**sections, **{key: {**copy.deepcopy(value), **sections.get(key, {})}
                           for key, value in SETTINGS.items()}}
    tree['data'].setdefault('root', str(root))
    config = Config()
    try:
        fill(config, tree, 'test')
        check(config, 'test')
    except InputError:      # which is what the test is about
        return tree
    for section, values in SETTINGS.items():
        for key in values:
            is_given = key in sections.get(section, {})
            if not is_given and f'{section}.{key}' not in active_names(config):
                del tree[section][key]
    return tree


def finish(drawn_birds, folder, **sections):
    """Trains in a folder of its own; gives the folder of the run."""
    (folder / 'config.yml').write_text(yaml.safe_dump(settings(drawn_birds, **sections)))
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert cli.main(['train', 'config.yml']) == 0
    finally:
        os.chdir(before)
    return folder / 'results/config/seed0'


@pytest.fixture(scope='session')
def finished_run(drawn_birds, tmp_path_factory):
    """Folder of a finished run of FVE, for tests to read or to copy."""
    return finish(drawn_birds, tmp_path_factory.mktemp('fve'))


@pytest.fixture(scope='session')
def finished_gap(drawn_birds, tmp_path_factory):
    """Folder of a finished run of GAP, for tests to read or to copy."""
    return finish(drawn_birds, tmp_path_factory.mktemp('gap'), **GAP)


@pytest.fixture
def copy_of():
    """Copies a finished run to results/config/seed0 of the test's own folder."""
    def copy_run(run):
        return Path(shutil.copytree(run, 'results/config/seed0'))
    return copy_run


@pytest.fixture
def without_heic(monkeypatch):
    """The package that reads HEIC is missing."""
    pictures._formats.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(pictures, 'READS_HEIC', False)
        patch.setattr(picture_folders, 'SUFFIXES',
                      pictures.SUFFIXES - set(pictures.FORMATS['HEIF']))
        yield
    pictures._formats.cache_clear()


@pytest.fixture
def birds(drawn_birds, tmp_path):
    """A copy of the data set that a test may break."""
    return shutil.copytree(drawn_birds, tmp_path / 'birds')


@pytest.fixture
def write_config(birds, tmp_path, monkeypatch):
    """Writes a config for the birds; the test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def write(name='config.yml', **sections):
        (tmp_path / name).write_text(yaml.safe_dump(settings(birds, **sections)))
        return name
    return write
