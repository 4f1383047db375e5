"""The program used from another folder, or installed: where configs, data and results are."""
import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest
import yaml

from conftest import settings
from finetune import cli
from finetune.config import project as projects
from finetune.config.config import read_config

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(drawn_birds, tmp_path, monkeypatch):
    """A project with a config whose paths are relative to it; the test runs beside it."""
    folder = tmp_path / 'project'
    shutil.copytree(drawn_birds, folder / 'birds')
    (folder / 'configs/mine').mkdir(parents=True)
    (folder / 'configs/mine/run.yml').write_text(yaml.safe_dump(
        settings('birds', training={'epochs': 1})))
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    return folder


def test_configs_that_are_not_there_are_the_programs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'configs/digits/gt_fve.yml'
    assert projects.find(name) == PROJECT / name
    assert projects.find('digits/gt_fve.yml') == Path('digits/gt_fve.yml')
    assert projects.find('configs/digits/none.yml') == Path('configs/digits/none.yml')
    shutil.copytree(PROJECT / 'configs/digits', 'configs/digits')
    assert projects.find(name) == Path(name)


def test_paths_are_relative_to_the_project_of_the_config(project, capsys):
    assert cli.main(['train', '../project/configs/mine/run.yml']) == 0
    assert f'{project}: is the working folder now' in capsys.readouterr().out
    run = project / 'results/mine/run/seed0'
    assert (run / 'evaluation.yml').exists()
    assert not any(Path.cwd().iterdir())
    assert cli.main(['evaluate', '../project/results/mine/run/seed0', '--output', 'out']) == 0
    assert (project.parent / 'elsewhere/out/predictions.csv').exists()
    assert cli.main(['predict', str(run), '../project/birds/images', '--parts', 'none.csv']) == 2
    assert Path.cwd() == project.parent / 'elsewhere'       # as predictions need the run alone


def test_empty_path_stays_empty(project, capsys):
    command = 'train', '../project/configs/mine/run.yml', '--dry-run'
    assert cli.main([*command, '--set', 'model.pretrained=']) == 0
    (project.parent / 'elsewhere/cnn.npz').touch()
    assert cli.main([*command, '--set', 'model.pretrained=cnn.npz']) == 0
    printed = capsys.readouterr().out
    assert "pretrained: ''" in printed and f'pretrained: {Path.cwd()}/cnn.npz' in printed


def test_own_configs_by_their_full_path_are_of_the_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = PROJECT / 'configs/digits/gt_fve.yml'
    with project.entered([path]) as before:
        assert Path.cwd() == PROJECT and before == tmp_path
    with project.entered([project.PACKAGE / 'configs/digits/gt_fve.yml']):    # if installed
        assert Path.cwd() == tmp_path
    with project.entered(['configs/digits/gt_fve.yml']):
        assert Path.cwd() == tmp_path


def test_from_within_nothing_changes(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert cli.main(['train', 'configs/mine/run.yml', '--dry-run']) == 0
    monkeypatch.chdir('configs/mine')
    assert cli.main(['train', 'run.yml', '--dry-run', '--set', f'data.root={project}/birds']) == 0
    assert 'working folder' not in capsys.readouterr().out


def test_configs_of_two_projects_are_refused(project, capsys):
    other = shutil.copytree(project, project.with_name('other'))
    assert cli.main(['train', *(f'{folder}/configs/mine/run.yml' for folder in (project, other)),
                     '--dry-run']) == 2
    assert 'are not of one project; start a command for each' in capsys.readouterr().err


def test_installed_program_has_its_configs(tmp_path):
    """All of them, by the names they have in the project, in an empty folder."""
    subprocess.run([sys.executable, 'setup.py', '-q', 'build_py', '-d', tmp_path / 'installed'],
                   cwd=PROJECT, check=True, capture_output=True)
    (tmp_path / 'work').mkdir()
    drawing = 'data.drawing={n_species: 2, n_train: 4, n_test: 4, size: 48}'
    done = subprocess.run(
        [sys.executable, '-m', 'finetune', 'train', '--dry-run', '--set', drawing],
        cwd=tmp_path / 'work', env={**os.environ, 'PYTHONPATH': str(tmp_path / 'installed')},
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '# configs/minibirds/gt_fve.yml' in done.stdout and 'training images 8' in done.stdout
    installed = tmp_path / 'installed/finetune/configs'
    for path in (PROJECT / 'configs').rglob('*.yml'):
        assert (installed / path.relative_to(PROJECT / 'configs')).read_bytes() == path.read_bytes()
    assert not any((tmp_path / 'work').iterdir())


def test_every_config_that_is_named_is_there():
    for path in sorted((PROJECT / 'configs').glob('*/*.yml')):
        config = read_config(path)
        for source in (config.model.pretrained, config.model.classifier, config.detector.cnn):
            assert not source.startswith('configs/') or project.find(source).exists(), path
