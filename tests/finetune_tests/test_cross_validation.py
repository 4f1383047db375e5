"""Cross-validation of configs, through the command line."""
import csv
from pathlib import Path
import re
import shutil

from chainer.testing import attr
import numpy
from PIL import Image
import pytest
from scipy.stats import binomtest
import yaml

from conftest import fails, run
from finetune import cli
from finetune.config.config import read_config
from finetune.data import readers
from finetune.data.minibirds import drawing
from finetune.experiments import cluster, estimate, local, plan
from finetune.experiments.prerequisites import finder
from finetune.parts.kind import parts_of
from finetune.runs.folder import RunFolder

FOLDS = Path('results/config/cross_validation')
UNTRAINED = {'training': {'epochs': 0}}       # the random weights of each fold


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Birds of which every fold holds some out."""
    root = tmp_path_factory.mktemp('minibirds') / 'birds'
    drawing.prepare(root, n_species=2, n_train=6, n_test=1, size=32)
    return root


@pytest.fixture
def birds(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / 'birds')


@pytest.fixture(autouse=True)
def without_estimates(monkeypatch):
    """No run measures how long it will take."""
    monkeypatch.setattr(estimate, 'tell', lambda *_: None)


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs the jobs of suites one after another without processes; returns them."""
    ran = []

    def work(queue):
        for job in queue.waiting:
            ran.append(str(job))
            code = cli.main(job.command[3:])
            if code:
                queue.failures.append((job, f'exit code {code}'))

    monkeypatch.setattr(local.Queue, 'work', work)
    return ran


def validate(*arguments):
    return run('train', *arguments, '--cross-validate')


def rows_of(run_folder):
    with open(run_folder / 'predictions.csv', newline='') as file:
        return list(csv.DictReader(file))


def predict_right(run_folder):
    """Makes all predictions of a run right, so that its accuracy differs from those of others."""
    rows = rows_of(run_folder)
    with open(run_folder / 'predictions.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, 'both': row['label']} for row in rows)


def test_every_fold_is_held_out_once(write_config, in_this_process, capsys):
    config = write_config(**UNTRAINED)
    assert validate(config, '--seed', 3) == 0
    assert in_this_process == [f'config/cross_validation/fold{i} seed 3' for i in range(5)]
    printed = capsys.readouterr().out
    assert printed.startswith('5 runs, 0 of them already finished; their output is written to '
                              'results/<config>/cross_validation/fold<n>/seed<k>.txt\n')
    predict_right(FOLDS / 'fold1/seed3')
    assert validate(config, '--seed', 3) == 0 and len(in_this_process) == 5
    rows = [rows_of(FOLDS / f'fold{i}/seed3') for i in range(5)]
    whole = readers.load(read_config(config))
    assert sorted(row['image'] for fold in rows for row in fold) == sorted(whole.train.titles)
    right = [[row['both'] == row['label'] for row in fold] for fold in rows]
    accuracies, of_all = list(map(numpy.mean, right)), sum(right, [])
    assert len(set(accuracies)) > 1
    summary = yaml.safe_load((FOLDS / 'seed3.yml').read_text())
    assert summary['folds'] == pytest.approx(accuracies)
    low, high = binomtest(sum(of_all), 12).proportion_ci(method='wilson')
    assert (summary['images'], summary['correct']) == (12, sum(of_all))
    assert summary['interval'] == pytest.approx([low, high])
    printed = capsys.readouterr().out
    line, = (line for line in printed.splitlines() if line.startswith('config seed 3  '))
    assert re.split('  +', line)[1:] == [
        f'{100 * numpy.mean(accuracies):.1f} +- {100 * numpy.std(accuracies, ddof=1):.1f} %',
        f'{100 * numpy.mean(of_all):.1f} % ({100 * low:.1f} to {100 * high:.1f}) of 12']
    assert summary['mean'] == pytest.approx(numpy.mean(accuracies))
    assert summary['standard_deviation'] == pytest.approx(numpy.std(accuracies, ddof=1))


def test_finished_folds_are_skipped_and_the_others_resumed(write_config, in_this_process, capsys):
    config = write_config(**UNTRAINED)
    assert run('train', config, '--set', 'data.split=validation', '--set', 'data.fold=2') == 0
    assert list(Path('results').rglob('model.npz')) == [FOLDS / 'fold2/seed0/model.npz']
    assert validate(config) == 0
    assert '5 runs, 1 of them already finished' in capsys.readouterr().out
    assert len(in_this_process) == 4
    summary = (FOLDS / 'seed0.yml').read_text()
    (FOLDS / 'seed0.yml').unlink()
    assert validate(config) == 0 and len(in_this_process) == 4
    assert (FOLDS / 'seed0.yml').read_text() == summary
    assert run('train', config) == 0        # on all training images, beside them
    assert Path('results/config/seed0/model.npz').exists()


def test_failed_fold_leaves_no_accuracies(write_config, in_this_process, capsys):
    config = write_config(**UNTRAINED)
    assert validate(config) == 0
    (FOLDS / 'seed0.yml').unlink()
    settings = FOLDS / 'fold1/seed0/config.yml'
    settings.write_text(settings.read_text().replace('n_components: 2', 'n_components: 3'))
    capsys.readouterr()
    assert validate(config) == 1
    printed = capsys.readouterr()
    assert 'Failed: config/cross_validation/fold1 seed 0' in printed.err
    assert printed.out.endswith('config seed 0: 4 of 5 folds are finished; repeat the command for '
                                'the others.\n')
    assert not (FOLDS / 'seed0.yml').exists()


def test_several_configs_and_seeds(write_config, in_this_process, capsys):
    Path('configs/few').mkdir(parents=True)
    for name in 'ab':
        write_config(f'configs/few/{name}.yml', data={'parts': 'GLOBAL'},
                     model={'encoding': 'gap'}, **UNTRAINED)
    assert validate('configs/few', '--seeds', 2, '--output', 'there') == 0
    assert len(in_this_process) == 20
    printed = capsys.readouterr().out
    assert 'written to there/<config>/cross_validation/fold<n>/seed<k>.txt' in printed
    for name in 'ab':
        for seed in range(2):
            assert f'\nfew/{name} seed {seed}  ' in printed
            assert Path(f'there/few/{name}/cross_validation/seed{seed}.yml').exists()
    assert not Path('results').exists()


def test_runs_that_are_needed_hold_out_the_same_fold(write_config, in_this_process):
    """The CNN that finds parts, and its boxes, are others in each fold; a pre-training is not."""
    write_config('cnn.yml', data={'parts': 'GLOBAL'}, model={'encoding': 'gap'}, **UNTRAINED)
    config = write_config(data={'parts': 'CS_PARTS', 'box_frame': 32}, **UNTRAINED,
                          detector={'cnn': 'cnn.yml', 'input_size': 32, 'smallest_box': 8})
    assert run('train', config) == 0        # whose boxes lie in the data set's folder
    folds = [read_config(config, ['data.split=validation', f'data.fold={i}']) for i in range(5)]
    assert len({parts_of(fold).folder for fold in folds}) == 5
    assert all(parts_of(fold).to_be_found for fold in folds)
    jobs, _ = plan.plan_jobs([(config, ['data.split=validation', f'data.fold={i}'])
                              for i in range(5)], [1])
    assert [str(job) for job in jobs[:2]] == ['cnn/cross_validation/fold0 seed 0',
                                              'config/cross_validation/fold0 seed 1']
    assert len(jobs) == 10 and jobs[1].needs == ('results/cnn/cross_validation/fold0/seed0',)
    assert run('train', config, '--set', 'data.split=validation', '--set', 'data.fold=4') == 0
    cnn = RunFolder('results/cnn/cross_validation/fold4/seed0')
    assert cnn.is_finished and finder(folds[4]).folder.path == cnn.path
    held_out = {row['image'] for row in rows_of(FOLDS / 'fold4/seed0')}
    assert held_out == {row['image'] for row in rows_of(cnn.path)}
    assert parts_of(folds[4]).folder.is_relative_to('results/parts/CS_parts')


def test_groups_of_photographs_are_held_out_together(
        write_config, in_this_process, tmp_path, capsys):
    random = numpy.random.RandomState(0)
    (tmp_path / 'photos').mkdir()
    rows = []
    for i in range(27):
        Image.fromarray(random.randint(0, 255, (20, 20, 3), 'u1')).save(f'photos/{i}.png')
        name = 'c' if i >= 24 else 'ab'[i % 2]      # c has one group
        rows.append(f'{i}.png,{name},{"train" if i else "test"},burst{i // 4}')
    Path('photos/list.csv').write_text('\n'.join(['path,class,split,group', *rows]))
    config = write_config(data={'dataset': 'folder', 'root': 'photos/list.csv', 'parts': 'GLOBAL'},
                          model={'encoding': 'gap'}, **UNTRAINED)
    code = validate(config)
    folds = sorted(Path('results/list/config/cross_validation').glob('fold*/seed0'))
    groups = [{int(Path(row['image']).stem) // 4 for row in rows_of(fold)} for fold in folds]
    assert code == 0 and len(folds) == 5
    assert sum(map(len, groups)) == len(set.union(*groups)) == 6
    summary = yaml.safe_load(Path('results/list/config/cross_validation/seed0.yml').read_text())
    assert summary['images'] == 23
    assert ('list/config seed 0: 3 of 26 training images are in no fold, as their class has no '
            'other images, or no other group.') in capsys.readouterr().out


def test_jobs_of_slurm(write_config, monkeypatch, capsys):
    """The accuracies come with the next command, when the jobs have ended."""
    submitted = []
    monkeypatch.setattr(cluster, 'submit', lambda jobs, *_: (submitted.extend(jobs), (5, 0))[1])
    assert validate(write_config(**UNTRAINED), '--cluster', 'slurm') == 0
    assert len(submitted) == 5
    assert 'config seed 0: 0 of 5 folds are finished; repeat the' in capsys.readouterr().out


def test_dry_run_shows_the_first_fold(write_config, capsys):
    assert validate(write_config(), '--dry-run') == 0
    printed = capsys.readouterr().out
    assert printed.startswith('# Each config is trained 5 times, each time without another fold')
    assert 'split: validation' in printed and 'training images 10, test images 2' in printed
    assert not Path('results').exists()


def test_dry_run_of_a_fold_beside_a_finished_run(write_config):
    config = write_config(**UNTRAINED)
    assert run('train', config) == 0
    assert validate(config, '--dry-run') == 0
    assert run('train', config, '--set', 'data.split=validation', '--dry-run') == 0


@pytest.mark.parametrize('arguments, problem', [
    (['--set', 'data.fold=1'], '--set data.fold=1: --cross-validate holds out each of the 5 folds'),
    (['--set', 'data={split: validation}'], '--cross-validate holds out each of the 5 folds'),
    (['--set', 'data.fold=1', '--dry-run'], '--set data.fold=1: --cross-validate holds out each'),
    (['--seeds', '2', '--seed', '1'], 'give one of them'),
    (['--set', 'data.root=nowhere'], 'nowhere: there is no such folder'),
])
def test_bad_input(arguments, problem, write_config, capsys):
    assert problem in fails(capsys, 'train', write_config(), '--cross-validate', *arguments)
    assert not Path('results').exists()


def test_photographs_and_pre_trainings_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos/a').mkdir(parents=True)
    assert ('the comparison of photographs holds out folds already'
            in fails(capsys, 'train', 'photos', '--cross-validate'))
    assert ('this config trains on other classes (data.split pretraining)'
            in fails(capsys, 'train', 'configs/minibirds/pretrain.yml', '--cross-validate'))


@attr.slow
def test_folds_run_in_processes_of_their_own(write_config, capfd):
    config = write_config(**UNTRAINED)
    assert validate(config, '--jobs', 2) == 0
    assert '5 of 5   config/cross_validation/fold' in capfd.readouterr().out
    assert 'validation accuracy' in (FOLDS / 'fold3/seed0.txt').read_text()
    assert run('status') == 0
    assert f'{FOLDS}/fold3/seed0  finished' in capfd.readouterr().out
