"""Several collections of pictures in one project: where results are, and what runs inherit."""
import itertools
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from urllib.parse import quote

import numpy
from PIL import Image
import pytest
from scipy import stats
import yaml

from conftest import fails, run
from finetune.config.config import get, read_config
from finetune.config.project import HERE, MARK, Project
from finetune.config.settings import Config, Data
from finetune.experiments import prerequisites
from finetune.experiments.plan import plan_jobs
from finetune.report import own_pictures
from finetune.report.results import Result
from finetune.runs.folder import RunFolder

CONFIGS = {
    'cnn': {
        'data': {'dataset': 'folder', 'parts': 'GLOBAL', 'input_size': 32},
        'model': {'architecture': 'small_cnn', 'encoding': 'gap'},
        'training': {'epochs': 1, 'lr_epochs': [1], 'update_size': 4, 'batch_size': 4}},
    'tiles': {'base': 'configs/tiny/cnn.yml', 'model': {'pretrained': 'configs/tiny/cnn.yml'},
              'data': {'parts': 'GRID', 'part_input_size': 16}},
    'further': {'base': 'configs/tiny/tiles.yml', 'training': {'epochs': 2},
                'model': {'checkpoint': 'configs/tiny/tiles.yml'}},
    'found': {
        'base': 'configs/tiny/cnn.yml',
        'data': {'parts': 'CS_PARTS', 'box_frame': 32, 'part_input_size': 16},
        'detector': {'cnn': 'configs/tiny/cnn.yml', 'input_size': 32, 'n_parts': 2,
                     'smallest_box': 8, 'columns': 'position'}}}


def write_pictures(root, seed, n_classes=2, n=6):
    random = numpy.random.RandomState(seed)
    for k in range(n_classes):
        (root / f'kind {k}').mkdir(parents=True)
        for i in range(n):
            pixels = random.randint(0, 120, (24, 32, 3)) + [0, 120 * (k % 2), 60 * (k // 2)]
            Image.fromarray(pixels.astype(numpy.uint8)).save(root / f'kind {k}/{i}.png')
    return root


def snapshot(root):
    """Bytes and times of everything in a folder."""
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
            for path in [root, *sorted(root.rglob('*'))]}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project with configs and two collections; the test runs in it."""
    for name, tree in CONFIGS.items():
        path = tmp_path / f'configs/tiny/{name}.yml'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(tree))
    write_pictures(tmp_path / 'birds', 0)
    write_pictures(tmp_path / 'cats', 1, n_classes=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(name, root, *arguments):
    return run('train', f'configs/tiny/{name}.yml', '--set', f'data.root={root}', *arguments)


def runs_below(folder):
    return {str(found.path.relative_to(folder)) for found in RunFolder.all_below(folder)}


@pytest.mark.parametrize('root, place', [
    ('photos', 'results/photos'), ('photos/', 'results/photos'), ('/a/some.v2', 'results/some.v2'),
    ('lists/mine.csv', 'results/mine'), ('', 'results/folder'), ('/', 'results/folder'),
    ('a/../b', 'results/b')])
def test_place_of_a_collection(root, place):
    assert str(HERE.of(Data(dataset='folder', root=root)).results) == place
    assert HERE.of(Data(dataset='digits', root=root)).results == Path('results')


def test_the_working_directory_as_a_collection(place):
    assert HERE.of(Data(dataset='folder', root='.')).results == Path('results', place.name)
    there = Project('birds')
    assert there.of(Data(dataset='folder', root='.')).results == Path('birds/results/birds')


def test_place_of_the_results_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, digits = Data(dataset='folder', root='birds'), Data(dataset='digits')
    for of, there, results in (
            (data, 'results/birds/k20', 'results/birds'), (data, 'results/cats/x', None),
            (data, 'results/birds', None), (data, '/else/x', None),
            (digits, 'results/k20', 'results'), (digits, 'mine', None)):
        expected = Path(results or f'{there}/needs')
        assert HERE.of_run(there, of, is_new=True).results == expected
        assert HERE.of_run(there, of).results == HERE.of(of).results
    Path('mine/needs').mkdir(parents=True)
    HERE.with_results('mine/needs').mark()
    for there in 'mine', 'mine/needs/a/seed0':
        assert HERE.of_run(there, data).results == Path('mine/needs')
        assert HERE.of_run(tmp_path / there, digits).results == tmp_path / 'mine/needs'
    assert HERE.of_run('mined', data).results == Path('results/birds')
    assert HERE.with_results('results').of(data).results == Path('results/birds')


def test_two_collections_one_after_the_other_and_at_once(place):
    roots = [place / 'birds', place / 'cats']
    before = [snapshot(root) for root in roots]
    command = [sys.executable, '-m', 'finetune', 'train', 'configs/tiny/tiles.yml', '--set']
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])}
    processes = [subprocess.Popen([*command, f'data.root={root}'], env=environment,
                                  stdout=subprocess.DEVNULL) for root in roots]
    assert [process.wait() for process in processes] == [0, 0]
    at_once = {name: Path('results', name, 'tiny/tiles/seed0/predictions.csv').read_bytes()
               for name in ('birds', 'cats')}
    Path('results').rename('at_once')
    for root, n_classes in zip(roots, (2, 3)):
        root.chmod(0o555)
        assert train('tiles', root) == 0
        folder = Path('results', root.name)
        assert runs_below(folder) == {'tiny/tiles/seed0', 'tiny/cnn/seed0'}
        finished = RunFolder(folder / 'tiny/tiles/seed0')
        assert len(finished.read_names().class_names) == n_classes
        assert finished.read_config().project.results == folder
        assert (finished.path / 'predictions.csv').read_bytes() == at_once[root.name]
        root.chmod(0o755)
    assert [snapshot(root) for root in roots] == before


def test_collections_of_equal_names(place, capsys):
    assert train('cnn', 'birds') == 0
    write_pictures(place / 'other/birds', 2)
    error = fails(capsys, 'train', 'configs/tiny/cnn.yml', '--set', 'data.root=other/birds')
    assert error.startswith('finetune: results/birds/tiny/cnn/seed0: the run is one on birds, and '
                            'other/birds has other images: ') and 'another --output' in error
    assert train('cnn', 'other/birds', '--output', 'mine') == 0
    error = fails(capsys, 'train', 'configs/tiny/cnn.yml', '--set', 'data.root=nowhere/birds')
    assert 'nowhere/birds: there is no such folder' in error
    error = fails(capsys, 'train', 'configs/tiny/cnn.yml', '--set', 'data.root=nowhere/birds',
                  '--set', 'training.epochs=7', '--output', 'mine')
    assert 'nowhere/birds: there is no such folder' in error


def test_output_holds_for_what_a_run_needs(place, capsys):
    assert train('tiles', 'birds', '--output', 'mine') == 0
    assert runs_below('mine') == {'.', 'needs/tiny/cnn/seed0'} and not Path('results').exists()
    for folder in 'mine', 'mine/needs/tiny/cnn/seed0':
        assert RunFolder(folder).read_config().project.results == Path('mine/needs')
        assert run('evaluate', folder) == 0
    model = Path('mine/model.npz').read_bytes()
    assert train('tiles', 'birds', '--output', 'results/birds/mine') == 0
    assert runs_below('results/birds') == {'mine', 'tiny/cnn/seed0'}
    assert Path('results/birds/mine/model.npz').read_bytes() == model
    assert not Path('results/birds/mine/needs').exists()
    capsys.readouterr()
    assert run('status', 'results/birds') == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_output_that_is_interrupted_after_what_it_needs(place):
    Path('mine').mkdir()
    assert run('train', 'configs/tiny/cnn.yml', '--set', 'data.root=birds', '--output',
               'mine/needs/tiny/cnn/seed0') == 0
    assert train('tiles', 'birds', '--output', 'mine') == 0


def test_output_of_several_runs(place):
    assert train('cnn', 'birds', '--seeds', '1', '--output', 'there') == 0
    assert runs_below('there') == {'tiny/cnn/seed0'}
    assert not Path('results').exists() and (Path('there') / MARK).exists()
    jobs, done = plan_jobs([('configs/tiny/tiles.yml', ['data.root=birds'])], [0, 1],
                           HERE.with_results('there'))
    assert not done and {str(job): job.needs for job in jobs} == {
        'tiny/tiles seed 0': (), 'tiny/cnn seed 1': (),
        'tiny/tiles seed 1': ('there/tiny/cnn/seed1',)}
    folder = RunFolder('there/tiny/cnn/seed0')
    assert folder.read_config().project.results == Path('there')
    assert run('evaluate', folder) == 0 and run('status', 'there') == 0


# Overrides of a run, and those that reach the run that it needs.
INHERITED = [
    ('tiles', ['model.architecture=inception_v3', 'data.part_input_size=75', 'data.input_size=75'],
     {'model.architecture': 'inception_v3', 'data.input_size': 75}),
    ('tiles', ['training.workers=2', 'training.batch_size=2', 'training.epochs=7'],
     {'training.workers': 2, 'training.batch_size': 2, 'training.epochs': 1}),
    ('tiles', ['model.encoding=fve', 'data.grid=[3, 3]', 'data.flip=false'],
     {'model.encoding': 'gap', 'data.parts': 'GLOBAL', 'data.flip': True}),
    ('further', ['model.encoding=fve', 'data.grid=[3, 3]', 'training.epochs=7'],
     {'model.encoding': 'fve', 'data.grid': [3, 3], 'training.epochs': 1}),
    ('further', ['model.pretrained=models/x.npz', 'model.n_components=3', 'model.encoding=fve'],
     {'model.pretrained': 'models/x.npz', 'model.n_components': 3}),
    ('found', ['model.pretrained=models/x.npz', 'data.split=validation', 'data.fold=2'],
     {'model.pretrained': 'models/x.npz', 'data.fold': 2}),
    ('found', ['model.pretrained=configs/tiny/cnn.yml'], {'model.pretrained': ''}),
]


@pytest.mark.parametrize('name, overrides, expected', INHERITED)
def test_overrides_reach_the_runs_that_are_needed(name, overrides, expected, place):
    config = read_config(f'configs/tiny/{name}.yml', ['data.root=birds', *overrides])
    required = prerequisites.finder(config) if name == 'found' else prerequisites.start(config)
    assert {name: get(required.config, name) for name in expected} == expected
    assert required.config.data.root == 'birds'
    assert required.folder.path.parts[:2] == ('results', 'birds')


def test_overrides_do_not_reach_what_differed_before(place):
    Path('configs/tiny/larger.yml').write_text(
        'base: configs/tiny/cnn.yml\ndata: {input_size: 48}\ntraining: {batch_size: 2}')
    Path('configs/tiny/from_larger.yml').write_text(
        'base: configs/tiny/tiles.yml\nmodel: {pretrained: configs/tiny/larger.yml}')
    required = prerequisites.start(read_config('configs/tiny/from_larger.yml', [
        'data.root=birds', 'data.input_size=40', 'training.batch_size=3'])).config
    assert (required.data.input_size, required.training.batch_size) == (48, 2)


def test_weights_reach_the_run_at_the_start_of_a_chain(place):
    overrides = ['data.root=birds', 'model.pretrained=models/x.npz']
    config = read_config('configs/tiny/tiles.yml', overrides)
    assert prerequisites.start(config) is None      # it starts from the file itself
    Path('configs/tiny/both.yml').write_text(
        'base: configs/tiny/found.yml\nmodel: {pretrained: configs/tiny/cnn.yml}')
    config = read_config('configs/tiny/both.yml', overrides)
    assert prerequisites.finder(config).config.model.pretrained == 'models/x.npz'


def test_another_data_set_reaches_all_runs_but_pre_training(place):
    overrides = ['data.dataset=folder', 'data.root=birds', 'model.pretrained=models/x.npz',
                 'data.test_share=.4']
    config = read_config('configs/cub200/cs_parts_fve.yml', overrides)
    cnn = prerequisites.finder(config).config
    assert (cnn.data.dataset, cnn.data.root, cnn.data.test_share, cnn.model.pretrained) == (
        'folder', 'birds', .4, 'models/x.npz')
    config = read_config('configs/minibirds/gt_gap.yml', ['data.root=birds'])
    pretraining = prerequisites.start(config)
    assert (pretraining.config.data.dataset, pretraining.config.data.root) == ('minibirds', '')
    assert pretraining.folder.path == Path('results/minibirds/pretrain/seed0')


def test_a_run_that_exists_keeps_its_batch_size(place):
    assert train('tiles', 'birds', '--set', 'training.batch_size=2') == 0
    cnn = RunFolder('results/birds/tiny/cnn/seed0')
    assert cnn.read_config().training.batch_size == 2
    assert train('tiles', 'birds', '--set', 'training.batch_size=3', '--output',
                 'results/birds/three') == 0
    assert cnn.read_config().training.batch_size == 2
    assert RunFolder('results/birds/three').read_config().training.batch_size == 3


def test_another_data_set_from_the_command_line_to_the_end(place, capsys):
    for name in CONFIGS:        # written for another data set
        path = Path(f'configs/tiny/{name}.yml')
        path.write_text(path.read_text().replace('dataset: folder', 'dataset: cub200'))
    overrides = [word for setting in ('data.dataset=folder', 'data.root=birds')
                 for word in ('--set', setting)]
    command = 'train', 'configs/tiny/further.yml', *overrides
    assert run(*command, '--dry-run') == 0
    assert run('doctor', *command[1:]) == 0
    assert run(*command) == 0
    assert runs_below('results/birds') == {f'tiny/{name}/seed0'
                                           for name in ('cnn', 'tiles', 'further')}
    assert run('evaluate', 'results/birds/tiny/further/seed0') == 0
    assert run(*command) == 0
    Path('configs/tiny/separate.yml').write_text(
        'base: configs/tiny/tiles.yml\ntraining: {method: conventional}\n'
        'model: {encoding: fve, pretrained: configs/tiny/tiles.yml, pca_size: 8}')
    assert run('train', 'configs/tiny/separate.yml', *overrides) == 0
    assert run('evaluate', 'results/birds/tiny/separate/seed0') == 0    # needs its CNN


@pytest.mark.parametrize('command', ['doctor', 'dry run'])
def test_checks_of_the_runs_that_are_needed(command, place, capsys):
    def refused(name, *arguments):
        words = ('doctor', f'configs/tiny/{name}.yml') if command == 'doctor' else (
            'train', f'configs/tiny/{name}.yml', '--dry-run')
        capsys.readouterr()
        code = run(*words, '--set', 'data.root=birds', *arguments)
        printed = capsys.readouterr()
        return '' if code == 0 else printed.out + printed.err

    Path('configs/tiny/cnn2.yml').write_text(
        'base: configs/tiny/cnn.yml\nmodel: {pretrained: models/none.npz}')
    Path('configs/tiny/tiles2.yml').write_text(
        'base: configs/tiny/tiles.yml\nmodel: {pretrained: configs/tiny/cnn2.yml}')
    Path('configs/tiny/further2.yml').write_text(
        'base: configs/tiny/further.yml\nmodel: {checkpoint: configs/tiny/tiles2.yml}')
    assert not refused('further')
    said = refused('further2')
    assert 'models/none.npz' in said and 'configs/tiny/cnn2.yml needs it' in said
    assert 'models/none.npz' in refused('tiles2')
    assert 'models/none.npz' in refused('cnn2')
    Path('configs/tiny/cnn2.yml').write_text('base: configs/tiny/cnn.yml\nmodel: {k: 3}')
    assert 'there is no setting model.k' in refused('tiles2')
    numpy.savez('weights.npz', a=numpy.zeros(3))
    Path('configs/tiny/cnn2.yml').write_text(
        'base: configs/tiny/cnn.yml\nmodel: {pretrained: weights.npz}')
    assert 'weights.npz: the weights do not fit' in refused('further2')
    assert train('cnn', 'birds', '--set', 'data.input_size=24') == 0
    assert 'has a different data.input_size' in refused('tiles')


def test_doctor_says_where_nothing_can_be_written(place, monkeypatch, capsys):
    monkeypatch.setattr(os, 'access', lambda path, mode: Path(path).name != 'results')
    Path('results').mkdir()
    capsys.readouterr()
    assert run('doctor', 'configs/tiny/cnn.yml', '--set', 'data.root=birds') == 2
    assert 'results/birds/tiny/cnn/seed0: results cannot be written there; make results' in (
        capsys.readouterr().out)
    monkeypatch.undo()
    os.chdir(place)
    Path('results').rmdir()
    Path('results').write_text('a file')
    assert run('doctor', 'configs/tiny/cnn.yml', '--set', 'data.root=birds') == 2


def test_boxes_in_another_frame_are_never_used(place, capsys):
    assert train('found', 'birds') == 0
    command = 'configs/tiny/found.yml', '--set', 'data.root=birds'
    other = *command, '--set', 'detector.input_size=48', '--set', 'data.box_frame=48'
    capsys.readouterr()
    assert run('doctor', *command) == 0 and 'finding parts' not in capsys.readouterr().out
    assert run('doctor', *other) == 0
    assert 'does not exist; training starts by finding parts' in capsys.readouterr().out
    assert run('visualize', 'parts', *command) == 0
    assert 'there is no such file' in fails(capsys, 'visualize', 'parts', *other)


def test_two_collections_with_found_parts(place):
    roots = [place / 'birds', place / 'cats']
    before = [snapshot(root) for root in roots]
    for root in roots:
        assert train('found', root) == 0
        assert runs_below(f'results/{root.name}') == {'tiny/found/seed0', 'tiny/cnn/seed0'}
        assert len(list(Path(f'results/{root.name}/parts').rglob('part_locs.txt'))) == 1
    assert train('found', 'birds', '--output', 'mine') == 0
    assert len(list(Path('mine/needs/parts').rglob('part_locs.txt'))) == 1
    for name in 'model.npz', 'predictions.csv':
        assert Path('mine', name).read_bytes() == Path(
            'results/birds/tiny/found/seed0', name).read_bytes()
    assert run('evaluate', 'mine') == 0
    assert len(list(Path().rglob('part_locs.txt'))) == 3
    assert [snapshot(root) for root in roots] == before


def rows_of(lines):
    """Rows of the first table in some lines of Markdown, by run: cells by column."""
    table = [[cell.strip() for cell in line.split('|')[1:-1]] for line in itertools.takewhile(
        lambda line: line.startswith('|'), itertools.dropwhile(
            lambda line: not line.startswith('|'), lines))]
    assert len(set(table[0])) == len(table[0])
    return {row[0]: dict(zip(table[0], row)) for row in table[2:]}


def compared(row):
    return [row[column] for column in (
        'compared with', 'difference', '95 % interval of it', 'over')]


def write_plain_and_tiled():
    Path('configs/tiny/no_parts.yml').write_text('base: configs/tiny/cnn.yml\n'
                                                 'data: {test_share: .5}\n')
    Path('configs/tiny/tiled.yml').write_text('base: configs/tiny/no_parts.yml\n'
                                              'data: {parts: GRID, part_input_size: 16}\n')


def right_of(run):
    return numpy.equal(*(RunFolder(run).read_predictions()[column] for column in ('both', 'label')))


def test_report_has_all_runs_on_own_pictures(place, capsys):
    """Runs with names and YAML files of one's own, by --output, beside those of the configs."""
    write_plain_and_tiled()
    Path('mine.yml').write_text('base: configs/tiny/no_parts.yml\nmodel: {n_components: 2, '
                                'encoding: fve}\n')
    assert train('no_parts', 'birds') == 0
    assert train('tiled', 'birds', '--set', 'data.part_input_size=20') == 0
    assert train('no_parts', 'birds', '--output', 'results/birds/lr2/seed0', '--set',
                 'training.learning_rate=0.02') == 0
    assert train('no_parts', 'birds', '--output', 'results/birds/no_parts_4', '--seed', '4') == 0
    assert run('train', 'mine.yml', '--set', 'data.root=birds', '--output',
               'results/birds/mine/seed0') == 0
    assert train('no_parts', 'birds', '--output', 'results/birds/fold', '--set',
                 'data.split=validation') == 0      # has no test images
    shutil.copytree('results/birds/mine', 'results/birds/unfinished')
    Path('results/birds/unfinished/seed0/model.npz').unlink()
    shutil.copytree('results/birds/lr2', 'results/birds/old')
    for name in 'old', 'tiny/tiled':    # of an earlier version
        path = Path('results/birds', name, 'seed0/config.yml')
        tree = yaml.safe_load(path.read_text())
        del tree['file']
        path.write_text(yaml.safe_dump(tree))
    capsys.readouterr()
    assert run('report', '--results', 'results/birds') == 0
    assert ('skipped: results/birds/unfinished/seed0: is not finished'
            in capsys.readouterr().out.splitlines())
    text = Path('results/birds/report/report.md').read_text()
    assert not re.search('[Pp]aper|published|CUB', text) and '## Skipped runs' in text
    rows, base = rows_of(text.splitlines()), 'tiny/no_parts'
    runs = {base: f'{base}/seed0', 'no_parts_4': 'no_parts_4',
            'lr2 (training.learning_rate=0.02)': 'lr2/seed0', 'mine': 'mine/seed0',
            'old': 'old/seed0', 'tiny/tiled (data.part_input_size=20)': 'tiny/tiled/seed0'}
    assert set(rows) == set(runs)
    assert {name: row['config'] for name, row in rows.items()} == {
        **dict.fromkeys(runs, base), 'mine': 'mine.yml', 'old': '',
        'tiny/tiled (data.part_input_size=20)': 'tiny/tiled'}
    right = {name: right_of(f'results/birds/{folder}') for name, folder in runs.items()}
    assert compared(rows[base]) == 4 * ['']
    for name in set(runs) - {base}:
        points = 100 * (right[name].mean() - right[base].mean())
        assert compared(rows[name])[:2] == [base, f'{points:+.1f}']
        assert rows[name]['over'] == f'{len(right[base])} test images'
    n_right, n = right['mine'].sum(), len(right['mine'])
    low, high = stats.binomtest(n_right, n).proportion_ci(method='wilson')
    assert rows['mine']['test accuracy'] == f'{100 * n_right / n:.1f} (1)'
    assert rows['mine']['95 % interval'] == f'{100 * low:.1f} ... {100 * high:.1f}'


def test_without_a_plain_cnn_runs_are_compared_with_the_first(place):
    for name in 'b', 'a', 'c':
        root = 'birds'
        if name == 'c':     # pictures of the same names
            root = str(write_pictures(Path('other/birds'), 7))
        assert train('cnn', root, '--output', f'results/birds/{name}') == 0
    assert run('report') == 0
    rows = rows_of(Path('results/report/report.md').read_text().splitlines())
    assert [row['compared with'] for row in rows.values()] == ['', 'a', '']
    assert list(rows) == ['a', 'b', 'c']


def test_runs_of_several_configs_in_one_folder_are_apart(place):
    Path('configs/tiny/longer.yml').write_text('base: configs/tiny/cnn.yml\n'
                                               'training: {epochs: 2}\n')
    for seed, name in enumerate(['cnn', 'longer', 'cnn']):
        assert train(name, 'birds', '--output', f'results/birds/mixed/seed{seed}', '--seed',
                     seed) == 0
    assert run('report', '--results', 'results/birds') == 0
    rows = rows_of(Path('results/birds/report/report.md').read_text().splitlines())
    assert {name: row['config'] for name, row in rows.items()} == {
        'mixed': 'tiny/cnn', 'mixed (training.epochs=2)': 'tiny/longer'}
    assert rows['mixed']['test accuracy'].endswith('(2)')


def test_report_compares_the_runs_of_a_collection(place, capsys):
    write_plain_and_tiled()
    Path('configs/tiny/others.yml').write_text('base: configs/tiny/no_parts.yml\n'
                                               'data: {split_seed: 3}\n')
    assert train('no_parts', 'cats') == 0
    for seed in '0', '1', '2':
        for name in 'no_parts', 'tiled':
            given = ['--set', 'training.epochs=2'] * (seed == '2')
            assert train(name, 'birds', '--seed', seed, *given) == 0
    assert train('others', 'birds') == 0
    right = {(name, seed): numpy.equal(*(RunFolder(
        f'results/birds/tiny/{name}/seed{seed}').read_predictions()[column]
        for column in ('both', 'label'))) for name in ('no_parts', 'tiled') for seed in range(3)}
    for folder in 'results', 'results/birds':
        capsys.readouterr()
        assert run('report', '--results', folder) == 0
        assert 'skipped' not in capsys.readouterr().out
        lines = Path(folder, 'report/report.md').read_text().splitlines()
        assert ('### cats' in lines) == (folder == 'results') and '### birds' in lines
        rows = rows_of(lines[lines.index('### birds'):])
        assert compared(rows['tiny/no_parts']) == compared(rows['tiny/others']) == 4 * ['']
        for name, seeds in ('tiny/tiled', [0, 1]), ('tiny/tiled (training.epochs=2)', [2]):
            by_image = 100 * (sum(right['tiled', seed].astype(float) - right['no_parts', seed]
                                  for seed in seeds)) / len(seeds)
            half = 1.96 * numpy.std(by_image, ddof=1) / len(by_image) ** .5
            mean = by_image.mean()
            assert compared(rows[name]) == [
                name.replace('tiled', 'no_parts'), f'{mean:+.1f}',
                f'{mean - half:+.1f} ... {mean + half:+.1f}', f'{len(by_image)} test images']


def test_interval_over_seeds():
    labels, random = numpy.array(list('abcd') * 5), numpy.random.RandomState(0)

    def results(shares, order=slice(None), written=str):
        for seed, share in enumerate(shares):
            both = numpy.where(random.rand(20) < share, labels, 'x')
            images = numpy.array([written(f'käfer b/{i}') for i in range(20)])
            columns = {'image': images, 'label': labels, 'both': both}
            yield Result(None, seed, Config(), {}, {
                name: column[order] for name, column in columns.items()}, [])

    first, second = list(results([.6, .8, .7, .9])), list(
        results([.5] * 4, slice(None, None, -1), quote))    # as earlier versions wrote them
    accuracies = [[100 * numpy.mean(one.predictions['both'] == one.predictions['label'])
                   for one in of] for of in (first, second)]
    test = stats.ttest_rel(*accuracies)
    low, high = test.confidence_interval()
    mean = numpy.mean(accuracies[0]) - numpy.mean(accuracies[1])
    assert own_pictures.difference(first, second) == [
        f'{mean:+.1f}', f'{low:+.1f} ... {high:+.1f}', '4 seeds']
    right = [(one.predictions['both'] == one.predictions['label'])[step] for one, step in
             ((first[0], slice(None)), (second[0], slice(None, None, -1)))]
    by_image = 100. * right[0] - 100. * right[1]
    mean, half = by_image.mean(), 1.96 * by_image.std(ddof=1) / 20 ** .5
    assert own_pictures.difference(first[:1], second[:1]) == [
        f'{mean:+.1f}', f'{mean - half:+.1f} ... {mean + half:+.1f}', '20 test images']
    second[0].predictions['image'][0] = 'another'
    assert own_pictures.difference(first, second) == ['', '', '']
