"""Archives of trained models: written by export, read by predict in place of the folder."""
import json
from pathlib import Path
import shutil
import zipfile

import numpy
from numpy.testing import assert_array_equal
import pytest
import yaml

from conftest import fails, run, settings
import finetune
from finetune.runs.archive import DETECTOR, find_model, NEEDED, OPTIONAL


@pytest.fixture(autouse=True)
def here(birds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def picture():
    return str(next(Path('birds/images').rglob('*.png')))


@pytest.fixture
def archive(finished_gap):
    """The archive of a run; the tests may break it."""
    assert run('export', finished_gap, 'model.zip') == 0
    return Path('model.zip')


def predictions(model, *options):
    assert run('predict', model, 'birds/images', '--output', 'p.json', *options) == 0
    answers = json.loads(Path('p.json').read_text())
    Path('p.json').unlink()
    return answers['images'] if 'images' in answers else answers


def rewritten(archive, change):
    """Replaces the files of an archive, a dictionary that ``change`` gets."""
    with zipfile.ZipFile(archive) as old:
        files = {name: old.read(name) for name in old.namelist()}
    change(files)
    with zipfile.ZipFile(archive, 'w') as new:
        for name, content in files.items():
            new.writestr(name, content)


def test_archive_predicts_as_the_folder_does(finished_gap, copy_of, capsys):
    folder = copy_of(finished_gap)
    expected = predictions(folder)
    assert run('export', folder, 'shared/model.zip') == 0
    assert 'shared/model.zip: ' in capsys.readouterr().out
    shutil.rmtree('results')
    assert predictions('shared/model.zip') == expected
    assert not Path('results').exists()


def test_archive_with_a_detector_finds_parts(capsys):
    Path('cnn.yml').write_text(yaml.safe_dump(settings('birds', **{
        'data': {'parts': 'GLOBAL', 'root': 'birds'}, 'model': {'encoding': 'gap'},
        'training': {'epochs': 1}})))
    Path('cs.yml').write_text(yaml.safe_dump(settings('birds', **{
        'data': {'parts': 'CS_PARTS', 'box_frame': 32, 'root': 'birds'},
        'training': {'epochs': 1},
        'detector': {'cnn': 'cnn.yml', 'input_size': 32, 'sigma': 1, 'smallest_box': 8}})))
    assert run('train', 'cs.yml') == 0
    boxes = finetune.load('results/cs/seed0').predict('birds/images').boxes
    assert run('export', 'results/cs/seed0', 'model.zip') == 0
    with zipfile.ZipFile('model.zip') as content:
        assert {name for name in content.namelist() if name.startswith(DETECTOR)} == {
            'detector/settings.yml', 'detector/weights.npz'}
    shutil.rmtree('results')
    assert_array_equal(finetune.load('model.zip').predict('birds/images').boxes, boxes)


def test_archive_of_a_comparison_has_the_model_that_was_chosen(finished_gap, copy_of):
    copy_of(finished_gap)
    Path('results/chosen.yml').write_text('run: config/seed0\n')
    Path('results/model_card.md').write_text('Tested by the comparison.\n')
    assert run('export', 'results', 'model.zip') == 0
    with zipfile.ZipFile('model.zip') as content:
        assert content.read('model_card.md') == b'Tested by the comparison.\n'
    assert find_model('model.zip').model.read_bytes() == (finished_gap / 'model.npz').read_bytes()


def test_equal_models_have_equal_archives_without_paths_of_the_machine(archive, finished_gap):
    assert run('export', finished_gap, 'again.zip') == 0
    assert archive.read_bytes() == Path('again.zip').read_bytes()
    with zipfile.ZipFile(archive) as content:
        assert set(content.namelist()) == {*NEEDED, *OPTIONAL}      # no environment.yml
    rewritten(archive, lambda files: files.pop('images.csv'))
    assert run('predict', archive, 'birds/images') == 0


def test_drawings_have_the_examples_of_the_archive(archive):
    assert run('predict', archive, 'birds/images', '--pictures', 'drawn') == 0
    assert len(list(Path('drawn').iterdir())) == 18


def test_messages_name_the_archive(archive, picture, capsys):
    assert repr(finetune.load(archive)) == '<3 classes by model.zip>'
    (Path('parts.csv')).write_text('image,part,x,y\n')
    Path('no_parts.yml').write_text(yaml.safe_dump(settings('birds', **{
        'data': {'parts': 'GLOBAL', 'root': 'birds'}, 'model': {'encoding': 'gap'}})))
    assert run('train', 'no_parts.yml') == 0
    assert run('export', 'results/no_parts/seed0', 'no_parts.zip') == 0
    error = fails(capsys, 'predict', 'no_parts.zip', picture, '--parts', 'parts.csv')
    assert error.startswith('finetune: no_parts.zip: the model has no part stream')


@pytest.mark.parametrize('change, reason', [
    (lambda files: files.pop('model.npz'), 'model.npz is missing'),
    (lambda files: files.update({'../model.npz': b''}), 'it also has ../model.npz'),
    (lambda files: files.update({'detector/../../x': b''}), 'it also has detector/../../x'),
    (lambda files: files.update({'detector/..': b''}), 'it also has detector/..'),
    (lambda files: files.update({'/etc/x': b''}), 'it also has /etc/x')])
def test_files_of_other_names_are_refused(archive, change, reason, picture, capsys):
    rewritten(archive, change)
    before = set(Path('..').rglob('*'))
    assert f'model.zip: is not a complete archive of a model ({reason}); ' in fails(
        capsys, 'predict', archive, picture)
    assert set(Path('..').rglob('*')) == before


@pytest.mark.parametrize('position', range(10))
def test_damaged_archive(archive, position, picture, capsys):
    content = bytearray(archive.read_bytes())
    at = len(content) * position // 10
    if position % 2:
        del content[at:]
    else:
        content[at:at + 200] = numpy.random.RandomState(position).bytes(200)
    archive.write_bytes(content)
    assert 'model.zip: ' in fails(capsys, 'predict', archive, picture)


def test_archive_is_new_and_whole(finished_gap, archive, capsys):
    before = archive.read_bytes()
    assert 'exists already' in fails(capsys, 'export', finished_gap, archive)
    assert archive.read_bytes() == before
    assert 'the layer alone is an ONNX graph' in fails(
        capsys, 'export', finished_gap, 'x.zip', '--layer')
    assert 'there is no such folder' in fails(capsys, 'export', 'nothing', 'x.zip')
    assert not Path('x.zip').exists()
