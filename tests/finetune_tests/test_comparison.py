"""``train PHOTOS``: classifiers of photographs are compared with a plain CNN, and one is chosen."""
from pathlib import Path

import numpy
from PIL import Image
import pytest
import yaml

from conftest import fails, run
from finetune.experiments import comparison
from finetune.runs import chosen

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


def test_comparison(photos, capsys):
    before = contents(photos)
    assert run('train', 'photos', *SMALL) == 0
    printed = capsys.readouterr().out
    table = printed[printed.index('points above the plain CNN'):]
    for words in comparison.CANDIDATES.values():
        assert f'\n{words}  ' in table
    assert 'Chosen: ' in table and 'Fine-tuning of the CNNs, ' in table
    assert 'results/photos: test accuracy ' in table
    run_folder = chosen.find_run('results/photos')
    assert run_folder.is_finished and run_folder.path.parent == Path('results/photos')
    folds = {name: sorted(path.name for path in Path('results/photos/validation', name).iterdir()
                          if path.is_dir()) for name in comparison.CANDIDATES}
    assert folds['no_parts'] == [f'fold{i}' for i in range(5)]
    assert all(len(found) in (2, 5) or found == folds['no_parts'] for found in folds.values())
    assert run('predict', 'results/photos', 'photos/kind 1/0.png') == 0
    assert run('evaluate', 'results/photos') == 0
    assert run('export', 'results/photos', 'photos.onnx') == 0
    assert contents(photos) == before and not Path('results/photos/parts/photos').exists()

    files = {path: path.stat().st_mtime_ns for path in Path('results').rglob('model.npz')}
    capsys.readouterr()
    assert run('train', 'photos', *SMALL) == 0
    assert capsys.readouterr().out.endswith(table)
    assert {path: path.stat().st_mtime_ns for path in Path('results').rglob('model.npz')} == files


@pytest.mark.parametrize('is_better', [True, False])
def test_chosen_run(is_better, photos, monkeypatch, capsys):
    """A chosen candidate with parts is fine-tuned, which is kept only if it is better."""
    monkeypatch.setattr(comparison, 'MANY_IMAGES', 0)       # one fold
    monkeypatch.setattr(comparison, 'choose', lambda correct, baseline: 'cs_parts_fve')
    correct = comparison._correct

    def made_up(folder):
        columns = correct(folder)
        is_tuned = folder.path.name == 'cs_parts_fve_finetuned'
        return numpy.full(len(columns), is_tuned == is_better)

    monkeypatch.setattr(comparison, '_correct', made_up)
    assert run('train', 'photos', *SMALL, '--output', 'all') == 0
    named = yaml.safe_load(Path('all/chosen.yml').read_text())
    assert named == {'run': 'cs_parts_fve' + '_finetuned' * is_better, 'candidate': 'cs_parts_fve'}
    printed = capsys.readouterr().out
    assert 'Chosen: FVE of found parts, which helps on these photographs: ' in printed
    assert f'Fine-tuning of the CNNs, {"kept" if is_better else "not kept"}: ' in printed
    assert not Path('results').exists()
    assert run('predict', 'all', 'photos/kind 1/0.png', '--pictures', 'answers') == 0


def test_override_of_some_candidates(photos, capsys):
    overrides = ['model.n_components=2', 'data.input_size=40']
    of_all, of_fve = (comparison.of_candidate(name, overrides, comparison.Project())
                      for name in ('no_parts', 'global_fve'))
    assert (of_all, of_fve) == (overrides[1:], overrides)
    assert 'model.ema_decay' in fails(
        capsys, 'train', 'photos', '--set', 'model.ema_decay=2', '--dry-run')
    assert 'training.rmsprop_alpha has no effect' in fails(
        capsys, 'train', 'photos', '--set', 'training.rmsprop_alpha=.5')


def test_dry_run(photos, capsys):
    assert run('train', 'photos', *SMALL, '--dry-run') == 0
    printed = capsys.readouterr().out
    for name in comparison.CANDIDATES:
        assert f'# configs/photos/{name}.yml' in printed
    assert not Path('results').exists()


@pytest.mark.parametrize('arguments, problem', [
    (['photos', 'photos'], 'photographs are compared alone'),
    (['photos', 'configs/photos'], 'photographs are compared alone'),
    (['photos', '--seeds', '3'], '--seeds is for configs'),
    (['photos', '--jobs', '3'], '--jobs is for configs'),
    (['photos', '--cluster', 'slurm'], '--cluster is for configs'),
    (['photos/kind 1'], 'set data.root to photos'), (['none.csv'], 'none.csv'),
])
def test_bad_arguments(arguments, problem, photos, capsys):
    assert problem in fails(capsys, 'train', *arguments)
    assert not Path('results').exists()
