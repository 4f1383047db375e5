"""Parts of a data set: found, written, read, resumed and refused, through the command line."""
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import numpy
from numpy.testing import assert_array_equal
import pytest
import yaml

import chainer
from chainer.testing import attr
from conftest import load, settings
from finetune import cli, files
from finetune.config.settings import Data
from finetune.data import annotation_files, lines, pictures
from finetune.parts.cs_parts import detector, search
from finetune.runs.folder import RunFolder

WHOLE = {'data': {'parts': 'GLOBAL', 'root': 'birds'}, 'model': {'encoding': 'gap'},
         'training': {'epochs': 1}}
BOXES = {'parts': 'CS_PARTS', 'box_frame': 32, 'root': 'birds'}
DETECTOR = {'cnn': 'cnn.yml', 'input_size': 32, 'sigma': 1, 'smallest_box': 8, 'svm_c': 10}


def write(name='cs.yml', **changes):
    """Configs of a CNN and of a run that finds parts with it, in this folder."""
    write_tree('cnn.yml', **WHOLE)
    return write_tree(name, data=BOXES, training={'epochs': 1}, detector={**DETECTOR, **changes})


def write_tree(name, **sections):
    Path(name).write_text(yaml.safe_dump(settings('birds', **sections)))
    return name


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob('*')) if path.is_file() and path.name != '.lock'}


@pytest.fixture(scope='module')
def trained(drawn_birds, tmp_path_factory):
    folder = tmp_path_factory.mktemp('cs')
    shutil.copytree(drawn_birds, folder / 'birds')
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert cli.main(['train', write()]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def found(trained, tmp_path, monkeypatch):
    """A finished run whose parts were found, and the folder of its boxes, for a test to break."""
    shutil.copytree(trained, tmp_path / 'copy')
    monkeypatch.chdir(tmp_path / 'copy')
    return RunFolder('results/cs/seed0'), Path('birds/CS_parts')


@pytest.fixture
def here(birds, tmp_path, monkeypatch):
    """The test runs in a folder of its own with the birds."""
    monkeypatch.chdir(tmp_path)


def test_parts_are_found_when_they_are_needed(here, capsys):
    folder, boxes = RunFolder('results/cs/seed0'), Path('birds/CS_parts')
    assert cli.main(['train', write()]) == 0
    printed = capsys.readouterr().out
    assert 'Training of the CNN that finds parts: cnn.yml' in printed
    assert 'CS_parts: 4 parts in each of 18 images' in printed
    assert set(content(boxes)) == {'origin.yml', 'images.csv', 'detector/settings.yml',
                                   'detector/weights.npz', 'parts/parts.txt', 'parts/part_locs.txt'}
    assert content(folder.detector) == content(boxes / 'detector')
    before = (boxes / 'parts/part_locs.txt').stat().st_mtime_ns
    assert cli.main(['train', 'cs.yml', '--seed', '1']) == 0
    assert 'Training of the CNN' not in capsys.readouterr().out
    assert (boxes / 'parts/part_locs.txt').stat().st_mtime_ns == before


@pytest.mark.parametrize('are_there', [True, False])
def test_every_annotation_file_is_parsed_once(are_there, found, monkeypatch):
    if not are_there:       # the run has its detector, which finds them again
        shutil.rmtree('birds/CS_parts')
    parsed, rows = [], lines.rows
    for module in (annotation_files, lines):
        monkeypatch.setattr(module, 'rows', lambda path, *arguments: (
            parsed.append(path.relative_to('birds').as_posix()), rows(path, *arguments))[1])
    assert cli.main(['evaluate', 'results/cs/seed0']) == 0
    assert sorted(parsed) == sorted([
        'images.txt', 'classes.txt', 'image_class_labels.txt', 'train_test_split.txt',
        'parts/parts.txt', 'parts/part_locs.txt', 'CS_parts/parts/parts.txt',
        'CS_parts/parts/part_locs.txt'])


def test_boxes_of_the_file_are_those_of_the_detector(found):
    folder, boxes = found
    data = Data(**BOXES)
    data_set = load(data)
    records = data_set.train + data_set.test
    images = [pictures.read_image(record.path) for record in records]
    locations, visible = detector.load(folder.detector, chainer.get_device('@numpy')).find(images)
    for record, image, box, is_visible in zip(records, images, locations, visible):
        assert_array_equal(data_set.parts.boxes(record.locations, record.visible, image.shape[1:]),
                           box)
        assert_array_equal(record.visible, is_visible)


def test_lines_are_those_of_the_authors_tools(found):
    _, boxes = found
    lines = (boxes / 'parts/part_locs.txt').read_text().splitlines()
    columns = numpy.array([line.split() for line in lines], int)
    assert columns.shape == (18 * 4, 6)
    assert_array_equal(columns[:4, 1], [1, 2, 3, 4])
    assert (columns[:, 2:4] >= 0).all() and (columns[:, 2:4] + columns[:, 4:] <= 32).all()
    assert (columns[:, 4:] >= 8).all()


def test_images_in_which_nothing_is_found_have_hidden_parts(here, capsys):
    """With so small a C no feature is selected."""
    assert cli.main(['train', write(svm_c=1e-9)]) == 0
    printed = capsys.readouterr().out
    assert '0.0 of 96 features are selected for a class' in printed
    assert '4 parts in each of 18 images, except 18 images in which none was found' in printed
    data_set = load(Data(**BOXES))
    assert not any(record.visible.any() for record in data_set.train + data_set.test)


def test_a_runs_own_detector_finds_its_parts_again(found):
    """Elsewhere, without the run of the CNN."""
    _, boxes = found
    before = content(boxes)
    shutil.rmtree(boxes)
    shutil.rmtree('results/cnn')
    assert cli.main(['evaluate', 'results/cs/seed0']) == 0
    after = content(boxes)
    assert {name for name in before if before[name] != after[name]} == {'origin.yml'}


@pytest.mark.parametrize('workers', [1, 2])
def test_loaders_do_not_matter(workers, found):
    _, boxes = found
    before = content(boxes)
    shutil.rmtree(boxes)
    assert cli.main(['train', 'cs.yml', '--seed', '1', '--set',
                     f'training.workers={workers}']) == 0
    assert content(boxes) == before


@pytest.mark.parametrize('n_files', range(1, 6))
def test_an_interrupted_search_is_resumed(n_files, found, monkeypatch):
    """It stops before each of its files of unfinished work, and before the boxes are written."""
    _, boxes = found
    before = content(boxes)
    shutil.rmtree(boxes)
    monkeypatch.setattr(search, 'SHARD_BATCHES', 1)
    atomic, n_written = search.atomic, []

    def interrupted(path):
        n_written.append(path)
        if len(n_written) == n_files + 1:
            raise KeyboardInterrupt
        return atomic(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, 'atomic', interrupted)
        assert cli.main(['train', 'cs.yml', '--seed', '1']) == 130
    assert not (boxes / 'parts/part_locs.txt').exists()
    assert cli.main(['train', 'cs.yml', '--seed', '1']) == 0
    assert content(boxes) == before


@pytest.mark.parametrize('change', [
    lambda rows: {'other': rows}, lambda rows: {'rows': rows[:-1]},
    lambda rows: {'rows': rows[:, :1]}, lambda rows: {'rows': numpy.float32(1)}])
def test_unfinished_work_of_another_search_is_refused(change, found, monkeypatch, capsys):
    monkeypatch.setattr(search, 'SHARD_BATCHES', 1)
    monkeypatch.setattr(search, 'BATCH_SIZE', 8)
    boxes = Path('birds/CS_parts')
    shutil.rmtree(boxes)
    with monkeypatch.context() as patch:
        patch.setattr(search.selection, 'fit_svm', lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cli.main(['train', write(), '--output', 'new'])
    path = boxes / '.work/features_00001.npz'
    files.write_arrays(path, change(files.read_arrays(path)['rows']))
    assert cli.main(['train', write(), '--output', 'new']) == 2
    assert 'holds files of another search for parts; remove' in capsys.readouterr().err


def test_a_run_that_stops_with_its_detector_copied_can_start_over(found):
    run = Path('new')
    shutil.copytree('birds/CS_parts/detector', run / 'detector')
    assert cli.main(['train', write(), '--output', str(run)]) == 0


@attr.slow
def test_a_killed_search_is_resumed(found):
    """Killed at five random times."""
    _, boxes = found
    before, random = content(boxes), numpy.random.RandomState(0)
    shutil.rmtree(boxes)
    command = [sys.executable, '-m', 'finetune', 'train', 'cs.yml', '--seed', '1']
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])}
    for seconds in random.uniform(1.5, 4, size=5):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert cli.main(['train', 'cs.yml', '--seed', '1']) == 0
    assert content(boxes) == before


def refused(arguments, capsys):
    assert cli.main(arguments) == 2
    return capsys.readouterr().err


def test_other_settings_or_images_are_refused(found, capsys):
    _, boxes = found
    before = content(boxes)
    message = refused(['train', write(sigma=2), '--seed', '1'], capsys)
    assert 'parts were found with a different detector.sigma; set data.boxes to another' in message
    write()
    split = Path('birds/train_test_split.txt')
    lines = split.read_text().splitlines()
    split.write_text('\n'.join(['1 0', *lines[1:]]))
    assert lines[0] == '1 1'
    message = refused(['train', 'cs.yml', '--seed', '1'], capsys)
    assert 'parts were found before the data set changed: 1 image (' in message
    assert ') moved between training and test images; set data.boxes' in message
    assert content(boxes) == before


def test_another_folder_of_boxes(found):
    write(sigma=2)
    assert cli.main(['train', 'cs.yml', '--seed', '1', '--set', 'data.boxes=blurred']) == 0
    origin = yaml.safe_load(Path('birds/blurred/origin.yml').read_text())
    assert origin['detector']['sigma'] == 2


def test_boxes_of_others_are_used_as_they_are(found, capsys):
    _, boxes = found
    (boxes / 'origin.yml').unlink()
    shutil.rmtree('results')
    assert cli.main(['train', 'cs.yml', '--set', 'detector.sigma=3']) == 0
    assert 'finds parts' not in capsys.readouterr().out


def test_a_search_does_not_end_with_a_cnn_of_other_classes(found, capsys):
    """The CNN's run is one of other settings by now."""
    _, boxes = found
    shutil.rmtree(boxes)
    write_tree('cnn.yml', **{**WHOLE, 'training': {'epochs': 2}})
    message = refused(['train', 'cs.yml', '--seed', '1'], capsys)
    assert 'results/cnn/seed0: the run has a different training.epochs' in message


def test_the_detectors_square_is_that_of_the_boxes(here, capsys):
    message = refused(['train', write(input_size=48)], capsys)
    assert 'finds boxes in images of detector.input_size, 48; set data.box_frame' in message


def test_no_boxes_and_no_detector(here, capsys):
    message = refused(['train', write_tree('cs.yml', data=BOXES)], capsys)
    assert 'set detector.cnn to the config of a run whose CNN finds parts' in message


def test_one_class_has_no_parts_that_tell_it_apart(here, capsys):
    shutil.copytree(next(Path('birds/images').iterdir()), 'photos/finch')
    own = {'dataset': 'folder', 'root': 'photos'}
    write_tree('cnn.yml', **{**WHOLE, 'data': {**WHOLE['data'], **own}})
    config = write_tree('cs.yml', data={**BOXES, **own}, training={'epochs': 1}, detector=DETECTOR)
    message = refused(['train', config], capsys)
    assert 'photos: has a single class, finch, but there must be at least two' in message


def test_drawn_data_set_is_drawn_before_its_parts_are_found(tmp_path, monkeypatch):
    """Though the CNN is there already, trained before the data set was deleted."""
    monkeypatch.chdir(tmp_path)
    drawn = {'dataset': 'minibirds', 'root': 'drawn',
             'drawing': {'n_species': 3, 'n_train': 4, 'n_test': 2, 'size': 48}}
    write_tree('cnn.yml', data={**WHOLE['data'], **drawn}, model=WHOLE['model'],
               training=WHOLE['training'])
    write_tree('cs.yml', data={**BOXES, **drawn}, training={'epochs': 1}, detector=DETECTOR)
    assert cli.main(['train', 'cnn.yml']) == 0
    shutil.rmtree('drawn')
    assert cli.main(['train', 'cs.yml']) == 0
