"""Parts by a CNN whose weights are given: folds, labels, folders, and pictures of any shape."""
from dataclasses import replace
from pathlib import Path
import shutil

import chainer
from chainer import serializers
import numpy
from numpy.testing import assert_array_equal
from PIL import Image
import pytest
import yaml

from conftest import fails, run, settings
from finetune import files
from finetune.config.config import read_config
from finetune.data import pictures, readers
from finetune.models.small_cnn import SmallCNN
from finetune.parts.cs_parts import detector, search, selection
from finetune.parts.kind import load, parts_of

CPU = chainer.get_device('@numpy')
DATA = {'dataset': 'folder', 'root': 'photos', 'parts': 'CS_PARTS', 'box_frame': 32,
        'part_input_size': 16, 'missing': 'mask', 'interpolation': 'bicubic',
        'box_frame_fit': 'squash'}
DETECTOR = {'cnn': 'cnn.npz', 'input_size': 32, 'sigma': 1, 'smallest_box': 6, 'n_parts': 2,
            'columns': 'position'}
SELECTED = {**DETECTOR, 'svm_c': 100}
FOLDS = {**SELECTED, 'folds': 5}
ALL = {**DETECTOR, 'features': 'all'}


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(Path(folder).rglob('*')) if path.is_file()}


def write(detector_settings, name='cs.yml', **data):
    Path(name).write_text(yaml.safe_dump(settings(
        'photos', data={**DATA, **data}, detector=detector_settings, training={'epochs': 1})))
    return name


def config_of(detector_settings, **data):
    return read_config(write(detector_settings, **data))


def find(config):
    """Finds the parts of an experiment; returns their kind, which has the folder."""
    parts = parts_of(config)
    parts.find(readers.load(config), Path('cnn.npz'), CPU)
    return parts


def boxes(config):
    """Boxes of all images by their id."""
    data_set = load(config)
    records = data_set.train + data_set.test
    return {record.image_id: record.locations.tolist() for record in records}


def random_cnn(seed=0):
    with chainer.using_config('dtype', numpy.float32):
        numpy.random.seed(seed)
        return SmallCNN()


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Wide pictures in a folder per class, whose brightest square tells the class."""
    folder, random = tmp_path_factory.mktemp('own'), numpy.random.RandomState(0)
    for label, name in enumerate(('finch', 'jay', 'wren')):
        (folder / 'photos' / name).mkdir(parents=True)
        for i in range(8):
            image = random.randint(0, 90, size=(36, 60, 3)).astype(numpy.uint8)
            y, x = random.randint(0, (24, 48))
            image[y:y + 12, x:x + 12, label] = 255
            Image.fromarray(image).save(folder / 'photos' / name / f'{i}.png')
    serializers.save_npz(folder / 'cnn.npz', random_cnn())
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / 'here')
    monkeypatch.chdir(tmp_path / 'here')


def test_folder_of_the_pictures_stays_as_it_is(here, capsys):
    before, names = content('photos'), sorted(Path('photos').rglob('*'))
    config = write(FOLDS)
    assert run('train', config) == 0
    assert run('doctor', config) == 0
    assert run('visualize', 'parts', config, '--split', 'train') == 0
    assert run('predict', 'results/photos/cs/seed0', 'photos/jay/1.png') == 0
    shutil.rmtree('results/photos/parts')     # the run has the SVMs of all folds
    assert run('evaluate', 'results/photos/cs/seed0') == 0
    assert content('photos') == before and sorted(Path('photos').rglob('*')) == names
    assert len(list(Path('results/photos/parts/CS_parts').iterdir())) == 1


def test_settings_of_detectors_have_folders_of_their_own(here):
    found = {name: parts_of(config_of(chosen, **data)).folder for name, chosen, data in (
        ('all', ALL, {}), ('blurred', {**ALL, 'sigma': 2}, {}), ('folds', FOLDS, {}),
        ('crop', ALL, {'box_frame_fit': 'crop'}), ('bilinear', ALL, {'interpolation': 'bilinear'}),
        ('other split', FOLDS, {'split_seed': 1}), ('named', ALL, {'boxes': 'mine'}))}
    assert len(set(found.values())) == len(found)
    assert found['named'].parent == Path('results/photos/parts/mine')
    assert parts_of(config_of(ALL)).to_be_found
    assert find(config_of(ALL)).folder == found['all']
    assert not parts_of(config_of(ALL)).to_be_found
    absolute = parts_of(config_of(ALL, root=str(Path('photos').resolve())))
    assert absolute.folder == found['all']


def test_a_project_that_moves_keeps_its_boxes(here, monkeypatch):
    folder = find(config_of(ALL)).folder
    moved = Path.cwd().with_name('moved')
    shutil.copytree('.', moved)
    monkeypatch.chdir(moved)
    assert parts_of(config_of(ALL)).folder == folder and not parts_of(config_of(ALL)).to_be_found


def test_boxes_of_others_beside_the_pictures_are_used(here):
    config = config_of(ALL)
    found = find(config).folder
    given = Path('photos/CS_parts/parts')
    shutil.copytree(found / 'parts', given)
    lines = given.joinpath('part_locs.txt').read_text().splitlines()
    given.joinpath('part_locs.txt').write_text('\n'.join(
        ' '.join([*line.split()[:2], '1', '2', '10', '11']) for line in lines))
    assert parts_of(config).folder == Path('photos/CS_parts')
    assert not parts_of(config).to_be_found
    assert set(map(str, boxes(config).values())) == {str([[2., 1., 13., 11.]] * 2)}
    Path('photos/CS_parts/origin.yml').write_text('detector: {}\n')     # found by this program
    assert parts_of(config).folder == found


def test_folds_are_those_of_validation(here):
    config = config_of(FOLDS)
    data_set = readers.load(config)
    folds = dict(zip(data_set.train.image_ids, parts_of(config).folds_of(data_set, 'train')))
    assert set(folds.values()) == {0, 1, 2, 3, 4}
    for fold in range(5):
        held_out = readers.load(config_of(FOLDS, split='validation', fold=fold)).test
        assert set(held_out.image_ids) == {one for one, its in folds.items() if its == fold}
    assert set(parts_of(config).folds_of(data_set, 'test')) == {-1}


def relabelled(data_set, chosen):
    """The data set with other labels for chosen training images."""
    train = data_set.train
    labels = numpy.where(chosen, (train.labels + 1) % 3, train.labels)
    columns = train.image_ids, train.names, labels, train.locations, train.visible
    return replace(data_set, train=type(train)(*columns, train.folder))


def found_in(config, data_set, folds, folder):
    search.find_parts(config, data_set, Path(folder), Path('cnn.npz'), CPU, folds, lambda: True)
    lines = (Path(folder) / 'parts/part_locs.txt').read_text().splitlines()
    by_id = {}
    for line in lines:
        image_id, *box = line.split()
        by_id.setdefault(image_id, []).append(box)
    return by_id


def test_boxes_of_a_fold_do_not_depend_on_its_labels(here):
    config = config_of(FOLDS)
    data_set = readers.load(config)
    folds = numpy.array(parts_of(config).folds_of(data_set, 'train'))
    before = found_in(config, data_set, folds, 'before')
    after = found_in(config, relabelled(data_set, folds == 2), folds, 'after')
    ids = numpy.array(data_set.train.image_ids)
    assert all(before[one] == after[one] for one in ids[folds == 2])
    others = [*ids[folds != 2], *data_set.test.image_ids]
    assert any(before[one] != after[one] for one in others)
    # Without folds its labels do matter.
    none = numpy.full(len(folds), -1)
    plain = [found_in(config, one, none, name) for name, one in (
        ('plain', data_set), ('changed', relabelled(data_set, folds == 2)))]
    assert any(plain[0][one] != plain[1][one] for one in ids[folds == 2])
    assert all(plain[0][one] == before[one] for one in data_set.test.image_ids)


def test_boxes_by_all_features_do_not_depend_on_labels(here):
    config = config_of(ALL)
    data_set = readers.load(config)
    folds = numpy.full(len(data_set.train), -1)
    changed = relabelled(data_set, numpy.arange(len(data_set.train)) % 2 == 0)
    assert found_in(config, data_set, folds, 'one') == found_in(config, changed, folds, 'other')


@pytest.mark.parametrize('chosen', [ALL, FOLDS])
def test_validation_shares_the_boxes_of_the_whole_data_set(chosen, here):
    whole = find(config_of(chosen))
    expected = boxes(config_of(chosen))
    for fold in (0, 3):
        config = config_of(chosen, split='validation', fold=fold)
        assert not parts_of(config).to_be_found and parts_of(config).folder == whole.folder
        shared = boxes(config)
        assert shared.items() <= expected.items() and len(shared) < len(expected)
        assert not load(config).left_out
    before = content(whole.folder)
    shutil.rmtree(whole.folder)
    find(config)        # a validation split that comes first finds those of all images
    assert content(whole.folder) == before


def test_validation_that_would_see_labels_finds_its_own_parts(here):
    find(config_of(SELECTED))
    validation = [config_of(SELECTED, split='validation', fold=fold) for fold in (0, 1)]
    assert all(parts_of(config).to_be_found for config in validation)
    assert len({parts_of(config).folder for config in validation}) == 2
    few = config_of(FOLDS, split='validation', train_per_class=2)
    assert parts_of(few).folder != parts_of(config_of(FOLDS, train_per_class=2)).folder


def test_pictures_that_change_are_told(here, capsys):
    find(config_of(ALL))
    config = write(ALL, split='validation')
    image = Path('photos/jay/2.png')
    Image.open(image).rotate(90).save(image)
    message = fails(capsys, 'train', config)
    assert 'parts were found before the data set changed: 1 image (jay/2.png) has' in message


def test_an_interrupted_search_starts_again_if_pictures_change(here, monkeypatch, capsys):
    config = write(FOLDS)
    with monkeypatch.context() as patch:
        patch.setattr(selection, 'fit_svm', interrupt)
        assert run('train', config) == 130
    work, = Path('results').rglob('.work')
    assert list(work.glob('features_*.npz'))
    Path('photos/jay/2.png').unlink()
    assert run('train', config) == 0
    printed = capsys.readouterr().out
    assert 'the unfinished search for parts starts again; its parts were found before' in printed
    again = content(work.parent)
    shutil.rmtree(work.parent)
    find(config_of(FOLDS))
    assert content(work.parent) == again


def interrupt(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize('interpolation, pillow', [('bilinear', 2), ('bicubic', 3)])
def test_inputs_are_whole_pictures_or_their_centre(interpolation, pillow):
    image = numpy.random.RandomState(0).randint(256, size=(30, 50, 3)).astype(numpy.uint8)
    whole, centre = (detector.Transform(fit, interpolation).apply(image.transpose(2, 0, 1), 20)
                     for fit in ('squash', 'crop'))
    for actual, size, left in ((whole, (20, 20), 0), (centre, (33, 20), 6)):
        expected = numpy.stack([numpy.asarray(Image.fromarray(image[..., i].astype('f')).resize(
            size, pillow))[:, left:left + 20] for i in range(3)])
        numpy.testing.assert_allclose(actual, expected.clip(0, 255) / 127.5 - 1, atol=1e-5)


@pytest.mark.parametrize('fit, chosen', [('squash', FOLDS), ('crop', ALL)])
def test_boxes_of_the_file_are_those_of_new_pictures(fit, chosen, here):
    """Of wide pictures in another interpolation than the default."""
    config = config_of(chosen, box_frame_fit=fit)
    folder = find(config).folder
    data_set = load(config)
    images = [pictures.read_image(path) for path in data_set.test.paths]
    locations, _ = detector.load(folder / 'detector', CPU).find(images)
    for record, image, box in zip(data_set.test, images, locations):
        assert_array_equal(data_set.parts.boxes(record.locations, record.visible, image.shape[1:]),
                           box)
    reach = locations[..., 3].max() - locations[..., 1].min()
    assert reach > 40 if fit == 'squash' else reach <= 36


def test_pictures_of_training_images_show_the_svm_of_their_fold(here):
    config = config_of(FOLDS)
    parts = find(config)
    data_set = load(config)
    found_by = parts.load_detector(CPU)
    for i, fold in list(enumerate(parts.folds_of(data_set, 'train')))[:4]:
        record = data_set.train[i]
        shown, = found_by.look([found_by.input(pictures.read_image(record.path))], [fold])
        assert_array_equal(shown.boxes, record.locations)


@pytest.mark.parametrize('n_written', [1, 4, 6])
def test_an_interrupted_search_with_folds_gives_the_same_bytes(n_written, here, monkeypatch):
    config = config_of(FOLDS)
    monkeypatch.setattr(search, 'SHARD_BATCHES', 1)
    folder = find(config).folder
    before = content(folder)
    shutil.rmtree(folder)
    atomic, written = files.atomic, []

    def interrupted(path):
        written.append(path)
        if len(written) > n_written:
            raise KeyboardInterrupt
        return atomic(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, 'atomic', interrupted)
        with pytest.raises(KeyboardInterrupt):
            find(config)
    assert parts_of(config).to_be_found
    find(config)
    assert content(folder) == before


def test_boxes_of_earlier_versions_are_still_known(here):
    """Their origin has neither folds nor how pictures become inputs."""
    data = {'box_frame_fit': 'crop', 'interpolation': 'bilinear'}
    folder = find(config_of(SELECTED, **data)).folder
    origin = yaml.safe_load((folder / 'origin.yml').read_text())
    del origin['transform'], origin['detector']['folds']
    (folder / 'origin.yml').write_text(yaml.safe_dump(origin))
    assert len(load(config_of(SELECTED, **data)).part_names) == 2
    origin['detector']['sigma'] = 3
    (folder / 'origin.yml').write_text(yaml.safe_dump(origin))
    with pytest.raises(Exception, match='with a different detector.sigma; give another --output'):
        load(config_of(SELECTED, **data))


@pytest.mark.parametrize('chosen, sentence', [
    ({**ALL, 'cnn': 'none.npz'}, 'none.npz: there is no such weights file; correct'),
    ({**ALL, 'cnn': 'photos/jay/1.png'}, 'photos/jay/1.png: '),
    ({**FOLDS, 'folds': 1}, 'detector.folds is 1, but an SVM needs the images of other folds'),
    ({**ALL, 'input_size': 48}, 'images of detector.input_size, 48; set data.box_frame to 48')])
def test_what_cannot_work_is_refused(chosen, sentence, here, capsys):
    config = write(chosen)
    assert sentence in fails(capsys, 'train', config)
    assert run('doctor', config) == 2
    assert not list(Path('results').rglob('part_locs.txt'))


def test_a_degenerate_choice_of_features_is_told():
    few, many = numpy.zeros((3, 10)), numpy.ones((3, 10))
    few[0, 0] = 1
    assert selection.described(few, 'selected').endswith(
        '0.3 of 10 features are selected for a class, mean over the classes; none for 2 of 3 '
        'classes, so that images of these have no parts: raise detector.svm_c, or set '
        'detector.features to all')
    assert selection.described(-many, 'positive').endswith('detector.features to all')
    assert selection.described(many, 'selected').endswith(
        'so that parts hardly depend on the class: lower detector.svm_c')
    assert selection.described(many * (numpy.arange(10) < 4), 'selected').endswith('the classes')


def test_a_detector_without_an_svm_of_a_fold_is_refused(here):
    folder = find(config_of(FOLDS)).folder / 'detector'
    arrays = files.read_arrays(folder / 'weights.npz')
    arrays['svm3/W'] = arrays['svm3/W'][:, :5]
    files.write_arrays(folder / 'weights.npz', arrays)
    with pytest.raises(Exception, match='has no sparse SVM of 96 features'):
        detector.load(folder, CPU)
