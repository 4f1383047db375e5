"""Data that change between the commands of a run: refused, or the same as a run from scratch."""
from pathlib import Path
import shutil
import unicodedata

import numpy
from PIL import Image
import pytest
import yaml

from conftest import fails, run
from finetune.data.fingerprint import Fingerprint
from finetune.training.extensions import Evaluator

RUN = Path('results/photos/own/seed0')
CLASSES = 'ant', 'bee', 'cat'
DATA = {'dataset': 'folder', 'root': 'photos', 'parts': 'GLOBAL', 'input_size': 32,
        'test_share': .5}
SETTINGS = {'data': DATA, 'model': {'architecture': 'small_cnn', 'encoding': 'gap'},
            'training': {'epochs': 2, 'lr_epochs': [1], 'update_size': 6, 'batch_size': 6}}
FOUND = {**SETTINGS, 'data': {**DATA, 'parts': 'CS_PARTS', 'box_frame': 32, 'part_input_size': 32},
         'detector': {'cnn': 'configs/own.yml', 'input_size': 32, 'sigma': 1, 'smallest_box': 8,
                      'n_parts': 2}}


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = numpy.random.RandomState(seed).randint(256, size=(24, 24, 3))
    Image.fromarray(pixels.astype(numpy.uint8)).save(path)


def photos():
    for k, name in enumerate(CLASSES):
        for i in range(6):
            picture(Path('photos', name, f'{i}.png'), 10 * k + i)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A project with a finished run, and another that finds parts."""
    folder = tmp_path_factory.mktemp('moved')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        photos()
        Path('configs').mkdir()
        Path('configs/own.yml').write_text(yaml.safe_dump(SETTINGS))
        Path('configs/found.yml').write_text(yaml.safe_dump(FOUND))
        assert run('train', 'configs/found.yml') == 0
        assert run('train', 'configs/own.yml') == 0
    return folder


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def boxes():
    """Folder of the parts that were found."""
    folder, = Path('results/photos/parts/CS_parts').iterdir()
    return folder


def content(folder='results'):
    return {path: path.read_bytes() for path in Path(folder).rglob('*') if path.is_file()
            and path.name != '.lock'}


def rename_class():
    Path('photos/ant').rename('photos/emmet')


def rename_picture():
    Path('photos/ant/0.png').rename('photos/ant/zero.png')


def remove_picture():
    Path('photos/bee/1.png').unlink()


def add_pictures():
    for i in range(2):
        picture(Path(f'photos/bee/new{i}.png'), 100 + i)


def add_class():
    for i in range(6):
        picture(Path(f'photos/dog/{i}.png'), 200 + i)


def remove_class():
    shutil.rmtree('photos/cat')


def exchange_pictures():
    one, other = Path('photos/ant/0.png'), Path('photos/bee/0.png')
    before = one.read_bytes(), other.read_bytes()
    one.write_bytes(before[1]), other.write_bytes(before[0])


def exchange_classes():
    Path('photos/ant').rename('photos/x')
    Path('photos/bee').rename('photos/ant')
    Path('photos/x').rename('photos/bee')


def replace_picture():
    picture(Path('photos/ant/0.png'), 300)


def move_picture():
    Path('photos/ant/0.png').rename('photos/bee/moved.png')


CHANGES = {
    rename_class: 'class ant is gone and class emmet is new',
    rename_picture: '1 image (ant/zero.png) is new, 1 image (ant/0.png) is gone',
    remove_picture: '1 image (bee/1.png) is gone',
    add_pictures: '2 images (such as bee/new0.png) are new',
    add_class: 'class dog is new',
    remove_class: 'class cat is gone',
    exchange_pictures: '2 images (such as ant/0.png) have other contents',
    exchange_classes: '12 images (such as ant/0.png) have other contents',
    replace_picture: '1 image (ant/0.png) has other contents',
    move_picture: '1 image (bee/moved.png) is new, 1 image (ant/0.png) is gone',
}
of_changes = pytest.mark.parametrize('change', CHANGES, ids=lambda change: change.__name__)
# Where a command takes seconds; `tools/reliability data` tries all changes at all stages.
of_some_changes = pytest.mark.parametrize('change', [rename_class, add_pictures, replace_picture],
                                          ids=lambda change: change.__name__)


@of_changes
def test_a_finished_run_refuses_other_data_and_keeps_its_results(change, project, capsys):
    before = content()
    change()
    for command in (('train', 'configs/own.yml'), ('evaluate', RUN),
                    ('evaluate', RUN, '--output', 'elsewhere'),
                    ('visualize', 'confusion', RUN)):
        error = fails(capsys, *command)
        assert f'the data set has changed since this run was trained: {CHANGES[change]}' in error
        assert f'python -m finetune evaluate {RUN} --set data.root=DIR --output NEW' in error
    assert content() == before and not Path('elsewhere').exists()


@of_some_changes
def test_an_interrupted_run_refuses_other_data(change, project, capsys, monkeypatch):
    shutil.rmtree(RUN)
    evaluate, n = Evaluator.evaluate, []

    def interrupted(self):
        n.append(1)
        if len(n) == 2:
            raise KeyboardInterrupt
        return evaluate(self)

    monkeypatch.setattr(Evaluator, 'evaluate', interrupted)
    assert run('train', 'configs/own.yml') == 130
    monkeypatch.undo()
    monkeypatch.chdir(project)
    before = content()
    shutil.copytree('photos', 'as_before')
    change()
    assert CHANGES[change] in fails(capsys, 'train', 'configs/own.yml')
    assert content() == before
    shutil.rmtree('photos')
    shutil.copytree('as_before', 'photos')
    assert run('train', 'configs/own.yml') == 0


@of_some_changes
def test_parts_found_before_are_refused(change, project, capsys):
    shutil.rmtree('results/photos/found')
    before = content(boxes())
    change()
    error = fails(capsys, 'train', 'configs/found.yml')
    assert f'parts were found before the data set changed: {CHANGES[change]}' in error
    assert content(boxes()) == before


@of_changes
def test_the_cnn_that_finds_parts_is_of_the_same_data(change, project, capsys):
    shutil.rmtree('results/photos/found')
    shutil.rmtree(boxes())
    change()
    error = fails(capsys, 'train', 'configs/found.yml')
    assert error.startswith(f'finetune: {RUN}: the data set has changed') and CHANGES[
        change] in error
    assert not list(Path('results').rglob('part_locs.txt'))


def test_no_parts_are_found_in_other_data(project, capsys):
    shutil.rmtree(boxes())
    replace_picture()
    error = fails(capsys, 'train', 'configs/found.yml')
    assert error.startswith('finetune: results/photos/found/seed0: the data set has changed')
    assert not list(Path('results').rglob('part_locs.txt'))


def test_the_detector_of_a_run_that_has_not_begun_is_not_used(project, capsys):
    for name in 'model.npz', 'evaluation.yml':
        Path('results/photos/found/seed0', name).unlink()
    for path in Path('results/photos/found/seed0').glob('snapshot*'):
        path.unlink()
    for folder in boxes(), RUN:
        shutil.rmtree(folder)
    add_class()
    capsys.readouterr()
    assert run('train', 'configs/found.yml') == 0
    assert 'Training of the CNN that finds parts' in capsys.readouterr().out


def test_a_moved_folder_is_the_same_data_set(project, capsys):
    before = (RUN / 'predictions.csv').read_bytes()
    Path('photos').rename('moved')
    assert run('train', 'configs/own.yml', '--set', 'data.root=moved', '--output', RUN) == 0
    assert not Path('results/moved').exists() and (RUN / 'predictions.csv').read_bytes() == before
    shutil.copytree('moved', 'photos')
    replace_picture()
    assert CHANGES[replace_picture] in fails(capsys, 'train', 'configs/own.yml', '--set',
                                             f'data.root={project}/photos')


def test_a_search_for_parts_that_was_interrupted_leaves_no_class(project):
    shutil.rmtree('results/photos/found')
    folder = boxes()
    shutil.rmtree(folder)
    (folder / '.work').mkdir(parents=True)
    assert run('train', 'configs/found.yml') == 0


def test_a_suite_does_not_skip_what_it_cannot_compare(project, capfd):
    (RUN / 'images.csv').write_text('x')
    assert run('train', 'configs/own.yml', '--seeds', '1') == 1
    assert 'images.csv: is not a complete list of images' in capfd.readouterr().err
    Path('photos/empty').mkdir()
    assert run('train', 'configs/own.yml', '--seeds', '1') == 1
    assert 'photos/empty: has no picture that can be used' in capfd.readouterr().err


def test_a_suite_neither_skips_nor_mixes(project, capfd):
    replace_picture()
    assert run('train', 'configs/own.yml', '--seeds', '2') == 1
    assert CHANGES[replace_picture] in capfd.readouterr().err
    assert Path('results/photos/own/seed1/evaluation.yml').exists()


def test_pictures_that_change_during_training(project, capsys, monkeypatch):
    shutil.rmtree(RUN)
    evaluate = Evaluator.evaluate
    monkeypatch.setattr(Evaluator, 'evaluate', lambda self: replace_picture() or evaluate(self))
    assert CHANGES[replace_picture] in fails(capsys, 'train', 'configs/own.yml')
    assert not (RUN / 'evaluation.yml').exists()


def test_what_is_no_change(project, capsys):
    before = (RUN / 'evaluation.yml').read_bytes()
    Path('photos/ant/notes.txt').write_text('x')
    Path('photos/.hidden').mkdir()
    for path in Path('photos').rglob('*.png'):
        path.touch()
    assert run('train', 'configs/own.yml') == 0
    assert run('evaluate', RUN) == 0
    assert (RUN / 'evaluation.yml').read_bytes() == before


def test_other_data_are_evaluated_on_purpose_and_trained_pictures_told(project, capsys):
    shutil.copytree('photos', 'others')
    n = len([image for image in Fingerprint.read(RUN / 'images.csv') if image.split == 'train'])
    kept = content()
    assert run('evaluate', RUN, '--set', 'data.root=others', '--set', 'data.test_share=.99',
               '--output', 'out') == 0
    told = capsys.readouterr().err
    n_told = int(told.split('was trained on ')[1].split()[0])
    assert n - 3 <= n_told <= n and 'so the accuracy is too high' in told
    assert Path('out/evaluation.yml').exists() and content() == kept


def test_a_run_without_a_list_of_images_compares_its_classes(project, capsys):
    (RUN / 'images.csv').unlink()
    replace_picture()
    assert run('evaluate', RUN) == 0
    rename_class()
    assert CHANGES[rename_class] in fails(capsys, 'evaluate', RUN)


def test_unicode_forms_are_no_change(project, capsys):
    for form in 'NFC', 'NFD':
        name = unicodedata.normalize(form, 'Käfer')
        source = next(path for path in Path('photos').iterdir() if path.name[0] in 'aK')
        source.rename(Path('photos', name))
        if form == 'NFC':
            shutil.rmtree('results')
        assert run('train', 'configs/own.yml') == 0


@pytest.mark.parametrize('damage', ['', 'path,split\n', 'no list', None])
def test_a_damaged_list_of_images_is_refused(damage, project, capsys):
    path = RUN / 'images.csv'
    text = path.read_text() if damage is None else damage
    path.write_text(text[:-5] if damage is None else damage)
    before = content()
    error = fails(capsys, 'train', 'configs/own.yml')
    assert ('is not a complete list of images' in error) or 'other parts' in error
    assert content() == before


def test_reports_leave_out_runs_on_other_data(project, capsys):
    Path('configs/own').mkdir()
    shutil.move('configs/own.yml', 'configs/own/own.yml')
    shutil.rmtree('results')
    for seed in 0, 1:
        assert run('train', 'configs/own/own.yml', '--seed', seed) == 0
    replace_picture()
    assert run('train', 'configs/own/own.yml', '--seed', '2') == 0
    capsys.readouterr()
    assert run('report') == 0
    printed = capsys.readouterr().out
    assert printed.startswith('2 runs of 1 experiment')
    assert ('skipped: results/photos/own/own/seed2: has other training images or test images than '
            '2 runs with the same settings' in printed)
