"""``train PHOTOS``: classifiers of photographs are compared with a plain CNN, and one is chosen."""
from pathlib import Path
import re
import shutil
import sys

import numpy
from numpy.testing import assert_array_equal
from PIL import Image
import pytest
import yaml

from conftest import fails, run
import finetune
from finetune.errors import InputError
from finetune.experiments import comparison
from finetune.runs import chosen
from finetune.runs.folder import RunFolder

SMALL = [word for override in (
    'data.input_size=32', 'data.part_input_size=32', 'data.box_frame=32', 'detector.input_size=32',
    'detector.smallest_box=8', 'detector.sigma=1', 'training.workers=0')
    for word in ('--set', override)]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three classes of ten pictures, which differ in colour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, 'N_EPOCHS', 2)
    monkeypatch.setattr(comparison, 'N_UPDATES', 2)
    random = numpy.random.RandomState(0)
    for kind in range(3):
        folder = Path('photos', f'kind {kind}')
        folder.mkdir(parents=True)
        for i in range(10):
            pixels = random.randint(0, 120, (40, 60, 3))
            pixels[..., kind] += 120
            Image.fromarray(pixels.astype(numpy.uint8)).save(folder / f'{i}.png')
    return Path('photos')


def contents(folder):
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
            for path in [folder, *folder.rglob('*')]}


@pytest.mark.filterwarnings('error:.*its mixture has seen no features')
def test_comparison(photos, monkeypatch, capsys):
    """One fold; a candidate with parts is chosen and fine-tuned; then nothing is left to do."""
    monkeypatch.setattr(comparison, 'MANY_IMAGES', 0)
    monkeypatch.setattr(comparison.choice, 'choose', lambda correct, baseline: 'cs_parts_fve')
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    before = contents(photos)
    assert run('train', 'photos', *SMALL) == 0
    printed, shown = capsys.readouterr()
    check_progress(shown)
    table = printed[printed.index('difference, points'):]
    for words in comparison.CANDIDATES.values():
        assert f'\n{words}  ' in table
    assert 'Chosen: FVE of found parts, which helps on these photographs: ' in table
    assert 'Fine-tuning of the CNNs, ' in table and 'results/photos: test accuracy ' in table
    assert chosen.find_run('results/photos').is_finished
    assert run('predict', 'results/photos', 'photos/kind 1/0.png', '--pictures', 'answers') == 0
    check_card(capsys)
    assert run('evaluate', 'results/photos') == 0
    assert Path('results/photos/comparison.txt').read_text() in printed
    check_images_of_the_fine_tuned(capsys)
    assert run('export', 'results/photos', 'photos.onnx') == 0
    assert contents(photos) == before
    check_doctor_after_an_addition(photos, capsys)

    files = {path: path.stat().st_mtime_ns for path in Path('results').rglob('model.npz')}
    capsys.readouterr()
    Path('elsewhere').mkdir()
    with monkeypatch.context() as patch:
        patch.chdir('elsewhere')            # and all paths are absolute
        here = Path.cwd().parent
        assert run('train', here / 'photos', '--output', here / 'results/photos', *SMALL) == 0
        assert capsys.readouterr().out.replace(f'{here}/results', 'results').endswith(table)
    photos.rename('elsewhere/photos')       # where its boxes are not known
    assert run('train', 'elsewhere/photos', *SMALL) == 0
    assert capsys.readouterr().out.endswith(table)
    model = finetune.fit('elsewhere/photos', settings=dict(
        override.split('=') for override in SMALL[1::2]))
    assert_array_equal(model.predict('elsewhere/photos').scores,
                       finetune.load('results/photos').predict('elsewhere/photos').scores)
    assert capsys.readouterr().out.endswith(table)
    assert {path: path.stat().st_mtime_ns for path in Path('results').rglob('model.npz')} == files

    Image.new('RGB', (40, 60)).save('elsewhere/photos/kind 1/new.png')
    assert ('results/photos: holds results on other images than elsewhere/photos has now: 1 image'
            in fails(capsys, 'train', 'elsewhere/photos', *SMALL))
    assert run('report', '--results', 'results/photos') == 0
    report = Path('results/photos/report/report.md').read_text()
    assert '`comparison.txt` in this folder has the comparison' in report
    assert re.findall(r'^\| (\w+) \(', report, re.M) == [
        'cs_parts_fve', 'cs_parts_fve_finetuned', 'no_parts']       # no folds
    tested = RunFolder('results/photos/cs_parts_fve_finetuned/test').read_evaluation()
    tuned, = re.findall(r'^\| cs_parts_fve_finetuned .*', report, re.M)
    assert f'| {100 * tested["accuracy"]["both"]:.1f} (1) |' in tuned
    Path('results/photos/chosen.yml').unlink()
    with pytest.raises(InputError, match='comparison of photographs is not finished'):
        finetune.load('results/photos')


def test_broken_pictures_are_told_before_anything_long(photos, capsys, monkeypatch):
    """All of them, in training and test images; once they are gone, the comparison starts."""
    broken = [path for path in photos.rglob('[0-6].png') if path.stem != '0']
    for path in broken:
        path.write_bytes(path.read_bytes()[:-60])
    MadeUp(monkeypatch, {})
    for words in (['train', 'photos'], ['train', 'configs/photos/no_parts.yml', '--set',
                                        'data.root=photos']):
        error = fails(capsys, *words, *(SMALL if words[1] == 'photos' else ()))
        assert f'photos: {len(broken)} pictures cannot be read: photos/kind ' in error
        assert f' and {len(broken) - 5} more, which doctor lists; copy' in error
        assert error.endswith('or remove them.\n')
    assert not list(Path('results').rglob('*.npz'))
    assert run('doctor', 'configs/photos/no_parts.yml', '--set', 'data.root=photos') == 2
    printed = capsys.readouterr().out
    assert all(str(path) in printed for path in broken)
    for path in broken[1:]:
        path.unlink()
    error = fails(capsys, 'train', 'photos', *SMALL)
    assert error.startswith(f'finetune: {broken[0]}: is not a complete image')
    broken[0].unlink()
    Path('results/photos').mkdir(parents=True)
    assert run('train', 'photos', *SMALL) == 0


def test_doctor_checks_what_photographs_need(photos, capsys):
    for words in ([], ['--set', 'training.epochs=3']):
        assert run('doctor', 'photos', *words) == 0
        printed = capsys.readouterr().out
        assert 'photos: 3 classes, ' in printed and printed.endswith('Training can start.\n')
        assert 'weights fit efficientnet_lite0' in printed
        assert 'weights fit the CNN that finds parts' in printed
        assert 'all 30 pictures can be read; there are no copies' in printed
    (photos / 'kind 1/3.png').write_bytes(b'')
    assert run('doctor', 'photos') == 2
    assert '1 picture cannot be read: photos/kind 1/3.png; ' in capsys.readouterr().out
    assert not Path('results').exists()
    for i in range(3, 10):
        (photos / f'kind 1/{i}.png').unlink()
    assert run('doctor', 'photos') == 0
    assert '1 class has fewer than 5 pictures, the first is kind 1; ' in capsys.readouterr().out
    Path('empty').mkdir()
    assert 'empty: this folder contains no photographs' in fails(capsys, 'doctor', 'empty')
    assert '--output is for photographs' in fails(capsys, 'doctor', '--output', 'results')


def check_doctor_after_an_addition(photos, capsys):
    """New pictures are checked, although the results are those of the others."""
    new = photos / 'kind 1/new.png'
    new.write_bytes((photos / 'kind 0/0.png').read_bytes())
    capsys.readouterr()
    assert run('doctor', 'photos', *SMALL) == 2
    printed = capsys.readouterr().out
    assert 'parts were found before the data set changed: 1 image' in printed
    assert '; give another --output, or move this folder away' in printed
    assert '1 picture has a copy in another class' in printed
    assert run('doctor', 'photos', '--output', 'results/next', *SMALL) == 0
    assert '1 picture has a copy in another class' in capsys.readouterr().out
    new.unlink()


def check_progress(shown):
    """The terminal has a line for each of the eight trainings, and bars; no file has a bar."""
    _, first, *_, last = re.split(r'\(training (?=\d of at most 8\): results/)', shown)
    assert first.startswith('1 of') and last.startswith('8 of')
    for of_training in first, last:
        assert re.search(r'\r\[#+\.*\] epoch 1 of \d\033', of_training)
        assert re.search(r'\r\[#+\.*\] epoch 2 of \d, about \d:\d\d left', of_training)
    files = list(Path('results').rglob('*.txt'))
    assert files and not any('\033' in file.read_text() for file in files)


def check_card(capsys):
    """The card is that of the chosen run on the test images, and so are the mistakes."""
    results, text = chosen.find_run('results/photos'), Path('results/photos/model_card.md')
    columns = chosen.tested(results).read_predictions()
    n, right = len(columns['label']), (columns['label'] == columns['both']).mean()
    assert f'| both streams | {100 * right:.1f} % (' in text.read_text()
    assert f'\n- {n} test images\n' in text.read_text()
    capsys.readouterr()
    assert run('visualize', 'mistakes', 'results/photos') == 0
    assert f': {round(n * (1 - right))} of {n} test images are mis' in capsys.readouterr().out


def check_images_of_the_fine_tuned(capsys):
    """If the fine-tuned run is chosen, all commands use the test images, not the held-out ones."""
    named, tuned = Path('results/photos/chosen.yml'), Path('results/photos/cs_parts_fve_finetuned')
    before = named.read_text()
    named.write_text(f'run: {tuned.name}\n')
    if not (tuned / 'test').exists():
        assert run('evaluate', str(tuned), '--set', 'data.split=', '--output', f'{tuned}/test') == 0
    right = RunFolder(tuned / 'test').read_evaluation()['accuracy']['both']
    n = len(RunFolder(tuned / 'test').read_predictions()['label'])
    assert n != len(RunFolder(tuned).read_predictions()['label'])
    capsys.readouterr()
    assert run('evaluate', 'results/photos') == 0
    assert f': test accuracy {100 * right:.1f} %' in capsys.readouterr().out
    assert run('visualize', 'confusion', 'results/photos') == 0
    assert f': {round(n * (1 - right))} of {n} test images are mis' in capsys.readouterr().out
    named.write_text(before)


class MadeUp:

    """Runs of a comparison without training: shares of correct images are made up."""

    def __init__(self, monkeypatch, shares):
        self.shares, self.runs = shares, []
        monkeypatch.setattr(comparison.Comparison, '_stages', lambda self, *arguments: [])
        monkeypatch.setattr(comparison.Comparison, '_tested', lambda self, run: run)
        monkeypatch.setattr(comparison.Comparison, '_run', self.run)
        monkeypatch.setattr(comparison, '_correct', self.correct)
        monkeypatch.setattr(comparison.card, 'write', lambda *folders: None)

    def run(self, title, name, place, overrides):
        self.runs.append(place)
        return RunFolder(Path('results/photos', place))

    def correct(self, folder):
        name = folder.path.parent.name if folder.path.name.startswith('fold') else folder.path.name
        of_fold = f'{name}/{folder.path.name}'
        return numpy.arange(100) < self.shares.get(of_fold, self.shares.get(name, 50))


@pytest.mark.parametrize('shares, runs, name', [
    ({}, 5 + 4 * 2 + 3, 'no_parts'),                                        # all others drop out
    ({'grid_fve': 51}, 5 + 2 + 5 + 2 * 2 + 4, 'grid_fve'),                  # the same five more
    ({'grid_fve': 60, 'cs_parts_gap': 70}, 5 + 2 + 5 + 5 + 2 + 4, 'cs_parts_gap'),
    ({'no_parts_finetuned': 51}, 5 + 4 * 2 + 3, 'no_parts_finetuned'),
    ({'no_parts_finetuned': 51, 'no_parts_finetuned/fold1': 48}, 5 + 4 * 2 + 3, 'no_parts'),
    ({'no_parts_finetuned': 50, 'no_parts_finetuned/fold1': 51}, 5 + 4 * 2 + 3,
     'no_parts_finetuned'),                                                 # by both folds
    ({'grid_fve': 60, 'grid_fve_finetuned': 59}, 5 + 2 + 5 + 2 * 2 + 4, 'grid_fve'),
])
def test_choice_and_drop_outs(shares, runs, name, photos, monkeypatch, capsys):
    made_up = MadeUp(monkeypatch, shares)
    Path('results/photos').mkdir(parents=True)
    assert run('train', 'photos') == 0
    assert len(made_up.runs) == runs
    named = yaml.safe_load(Path('results/photos/chosen.yml').read_text())
    assert named == {'run': name, 'candidate': name.removesuffix('_finetuned')}
    printed = capsys.readouterr().out
    assert ('Chosen: the plain CNN. ' in printed) == name.startswith('no_parts')
    assert ('CNNs, kept: ' in printed) == name.endswith('_finetuned')
    assert 'before the fine-tuning' not in printed
    assert '\nFVE of the whole image  200     50.0 % (' in printed
    for candidate, share in shares.items():     # beside the plain CNN's accuracy
        if candidate in comparison.CANDIDATES and candidate != comparison.BASELINE:
            row = rf'\n{comparison.CANDIDATES[candidate]} +\d+ +{share}\.0 % \(.*\)  50\.0 % +'
            assert re.search(row + re.escape(f'{share - 50:+}.0 ('), printed)


def test_fine_tuning_that_the_test_images_do_not_confirm(photos, monkeypatch, capsys):
    """The choice stays that of the held-out images; the user is told."""
    made_up = MadeUp(monkeypatch, {'no_parts_finetuned': 60, 'test': 40})
    monkeypatch.setattr(comparison.Comparison, '_tested',
                        lambda self, run: RunFolder(run.path / 'test'))
    Path('results/photos').mkdir(parents=True)
    assert run('train', 'photos') == 0
    printed = capsys.readouterr().out
    assert 'CNNs, kept: ' in printed
    told = ('On the test images, the classifier before the fine-tuning is better, by +10.0 (+4.1 '
            'to +15.9) points; predict takes it, too: results/photos/no_parts\n')
    assert told in printed and Path('results/photos/comparison.txt').read_text() in printed
    assert 'no_parts_finetuned' in Path('results/photos/chosen.yml').read_text() and made_up.runs


def test_an_interrupted_comparison_tells_what_remains(photos, monkeypatch):
    """Each training takes a second; ConvMaps 10, with those of tiles or parts 30."""
    told, stage = [], comparison.estimate.Stage
    monkeypatch.setattr(comparison.estimate, 'seconds', lambda config, *arguments: [
        stage('', seconds) for seconds in (0, 30 if config.data.has_parts else 10, 1, 1)])
    monkeypatch.setattr(comparison.estimate, 'print_stages', lambda stages: told.append(
        [stage.seconds for stage in stages[:3]]))
    comparison.Comparison(['data.root=photos'], comparison.Project())
    for name in 'no_parts/fold0', 'no_parts/fold1', 'grid_fve/fold0':
        folder = Path('results/photos/validation', name)
        folder.mkdir(parents=True)
        for file in 'model.npz', 'evaluation.yml', 'predictions.csv':
            (folder / file).touch()
    comparison.Comparison(['data.root=photos'], comparison.Project())
    assert told == [[0, 50, 27], [0, 20, 24]]


def test_override_of_some_candidates(photos, capsys):
    overrides = ['model.n_components=2', 'data.input_size=40']
    of_all, of_fve = (comparison.of_candidate(name, overrides, comparison.Project())
                      for name in ('no_parts', 'global_fve'))
    assert (of_all, of_fve) == (overrides[1:], overrides)
    only_finetuned = ['data.random_crop=0.5', 'data.colour_jitter=0.2']
    assert [comparison.of_candidate(name, only_finetuned, comparison.Project())
            for name in ('no_parts', 'no_parts_finetuned')] == [[], only_finetuned]
    assert 'model.ema_decay' in fails(
        capsys, 'train', 'photos', '--set', 'model.ema_decay=2', '--dry-run')
    assert 'training.rmsprop_alpha has no effect' in fails(
        capsys, 'train', 'photos', '--set', 'training.rmsprop_alpha=.5')


@pytest.mark.filterwarnings('error:.*its mixture has seen no features')
def test_dry_run(photos, capsys):
    assert run('train', 'photos', *SMALL, '--dry-run') == 0
    printed = capsys.readouterr().out
    for name in comparison.CANDIDATES:
        assert f'# configs/photos/{name}.yml' in printed
    n_epochs = re.findall(r'\bepochs: (\d+)', printed)
    assert n_epochs == len(comparison.CANDIDATES) * ['2']       # those of the runs
    for kind in 'kind 1', 'kind 2':
        shutil.rmtree(photos / kind)
    for words in (['photos', *SMALL],
                  ['configs/photos/no_parts.yml', '--set', 'data.root=photos']):
        for option in [], ['--dry-run']:
            assert 'photos: has a single class, kind 0, but' in fails(
                capsys, 'train', *words, *option)
    assert not Path('results').exists()


@pytest.mark.parametrize('arguments, problem', [
    (['photos', 'photos'], 'photographs are compared alone'),
    (['photos', 'configs/photos'], 'photographs are compared alone'),
    (['photos', '--seeds', '3'], '--seeds is for configs'),
    (['photos', '--jobs', '3'], '--jobs is for configs'),
    (['photos', '--cluster', 'slurm'], '--cluster is for configs'),
    (['photos/kind 1'], 'set data.root to photos'), (['none.csv'], 'none.csv'),
    (['photos', '--set', 'model.pretrained=places'], 'give one of efficientnet_lite0, '),
])
def test_bad_arguments(arguments, problem, photos, capsys):
    assert problem in fails(capsys, 'train', *arguments)
    assert not Path('results').exists()


def test_fit_takes_settings_and_a_folder_of_results(photos, monkeypatch):
    asked = []

    def compare(*arguments):
        asked.append(arguments)
        return Path('there')
    monkeypatch.setattr(comparison, 'run', compare)
    monkeypatch.setattr(finetune, 'load', lambda *arguments, **options: (arguments, options))
    assert finetune.fit(photos, 'out', {'training.epochs': 3, 'data.grid': [2, 2]}, gpu=1) == (
        (Path.cwd() / 'there', 1), {'project': '.'})
    (photographs, overrides, project), = asked
    assert photographs == 'photos' and str(project.results) == 'out'
    assert overrides == ['training.gpu=1', 'training.epochs=3', 'data.grid=[2, 2]']


def test_fit_says_what_is_wrong(photos):
    for arguments, text in (('none',), 'none: there is no such folder'), (
            ('photos', None, {'model.wings': 2}), 'there is no setting model.wings'):
        with pytest.raises(InputError, match=text):
            finetune.fit(*arguments)
    assert not Path('results').exists()
