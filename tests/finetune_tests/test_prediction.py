"""What a trained model says about pictures: the same as its evaluation, wherever they are."""
import csv
import json
import math
import os
from pathlib import Path
import shutil

import numpy
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
import pytest
import yaml

import chainer
from chainer.testing import attr
from conftest import fails, finish, load, run, settings
import finetune
from finetune.data.dataset import collate, PartDataset
from finetune.errors import InputError
from finetune.runs.folder import RunFolder
from finetune.runs.opening import open_run

KINDS = {
    'points': {},
    'gap': {'data': {'missing': 'zero'}, 'model': {'encoding': 'gap'}},
    'centre': {'data': {'missing': 'centre'}},
    'grid': {'data': {'parts': 'GRID'}},
    'global': {'data': {'parts': 'GLOBAL'}},
    'no_parts': {'data': {'parts': 'GLOBAL'}, 'model': {'encoding': 'gap'}},
    'gradient': {'data': {'parts': 'GRID'}, 'model': {'encoding': 'gradient_fve'}},
}
DETECTOR = {'cnn': 'cnn.yml', 'input_size': 32, 'sigma': 1, 'smallest_box': 8, 'svm_c': 10}


@pytest.fixture(scope='module')
def runs(drawn_birds, tmp_path_factory):
    """Folder of a finished run by kind, made when it is asked for, but for that of a detector."""
    folders = {}

    def get(kind):
        if kind not in folders:
            folders[kind] = finish(drawn_birds, tmp_path_factory.mktemp(kind),
                                   training={'epochs': 1}, **KINDS[kind])
        return folders[kind]
    return get


@pytest.fixture(scope='module')
def detected(drawn_birds, tmp_path_factory):
    """A finished run of parts that were found, and its images."""
    folder = tmp_path_factory.mktemp('detected')
    root = shutil.copytree(drawn_birds, folder / 'birds')
    (folder / 'cnn.yml').write_text(yaml.safe_dump(settings(
        root, data={'parts': 'GLOBAL'}, model={'encoding': 'gap'}, training={'epochs': 1})))
    return finish(root, folder, data={'parts': 'CS_PARTS', 'box_frame': 32}, detector=DETECTOR,
                  training={'epochs': 1}), root


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_images(folder):
    """Records of a run's test images."""
    return load(RunFolder(folder).read_config().data).test


test_images.__test__ = False


def write_parts(path, folder, with_size=False):
    """Writes the annotated parts of a run's test images as a table."""
    data_set = load(RunFolder(folder).read_config().data)
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['image', 'part', 'x', 'y', *(['width', 'height'] if with_size else [])])
        for record in data_set.test:
            for name, (y, x, *_), visible in zip(data_set.part_names, record.locations,
                                                 record.visible):
                if visible:
                    box = [math.floor(x - 6.5), math.floor(y - 6.5), 14, 14]    # 0.31 of 48 pixels
                    point = [float(x), float(y)]
                    writer.writerow([record.path, name, *(box if with_size else point)])
    return path


def assert_same_as_evaluation(folder, stream='both', *options):
    records = test_images(folder)
    assert run('predict', folder, *(record.path for record in records), '--output', 'out.csv',
               '--top', 1, *options) == 0
    rows = list(csv.DictReader(open('out.csv', encoding='utf-8')))
    assert [row['image'] for row in rows] == [str(record.path) for record in records]
    assert_array_equal([row['class'] for row in rows],
                       RunFolder(folder).read_predictions()[stream])


@pytest.mark.parametrize('kind', ['grid', 'global', 'no_parts', 'gradient'])
def test_predictions_are_those_of_the_evaluation(runs, kind):
    assert_same_as_evaluation(runs(kind))


@pytest.mark.parametrize('kind', ['points', 'gap', 'centre'])
def test_predictions_with_annotated_parts_are_those_of_the_evaluation(runs, kind):
    assert_same_as_evaluation(runs(kind), 'both', '--parts', write_parts('parts.csv', runs(kind)))


def test_predictions_with_found_parts_are_those_of_the_evaluation(detected):
    assert_same_as_evaluation(detected[0])


def scores_of_evaluation(folder):
    """Scores of a run's test images by stream, and the data set."""
    model, config, data_set, _ = open_run(RunFolder(folder))
    dataset = PartDataset(data_set.test, data_set.parts, config.data, train=False, seed=0)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        img, parts, visible, _ = collate(list(dataset))
        return {stream: scores.array for stream, scores in
                model.scores(img, parts, visible).items()}, dataset


def test_scores_are_those_of_the_evaluation(runs, detected):
    """The classes of a model that has hardly learned could agree by chance."""
    for folder, stream in ((detected[0], 'both'), (runs('points'), 'global')):
        expected, dataset = scores_of_evaluation(folder)
        prediction = finetune.load(folder).predict([record.path for record in dataset.records])
        assert_allclose(prediction.scores, expected[stream], rtol=1e-4, atol=1e-5)
        assert numpy.abs(expected['global'] - expected['both']).max() > 1e-3
        if stream == 'both':
            for i in range(len(dataset)):
                assert_array_equal(prediction.boxes[i], dataset.part_boxes(i, (48, 48))[1])
        else:
            assert not prediction.visible.any()


def test_boxes_of_a_file_are_those_around_its_points(runs):
    folder = runs('points')
    points, boxes = (finetune.load(folder, part_file=write_parts(name, folder, has_size)).predict(
        [record.path for record in test_images(folder)])
        for name, has_size in (('points.csv', False), ('boxes.csv', True)))
    assert points.visible.any() and not points.visible.all()
    for name in 'scores', 'boxes', 'visible':
        assert_array_equal(getattr(boxes, name), getattr(points, name))


def test_picture_without_a_line_is_told(runs, capsys):
    paths = [record.path for record in test_images(runs('points'))]
    table = write_parts('parts.csv', runs('points'))
    shutil.copy(paths[0], 'new.png')
    capsys.readouterr()
    assert run('predict', runs('points'), paths[0], 'new.png', '--parts', table) == 0
    assert capsys.readouterr().err == (
        'new.png: has no line in parts.csv; all parts are hidden\n')


def test_without_parts_the_whole_image_is_classified(runs, capsys):
    assert_same_as_evaluation(runs('gap'), 'global')
    error = capsys.readouterr().err
    assert error.count('only the whole images are classified') == 1


def test_detector_of_another_run_finds_parts(runs, detected):
    folder, _ = detected
    paths = [record.path for record in test_images(folder)]
    prediction = finetune.load(runs('points'), detector=folder).predict(paths)
    assert_array_equal(prediction.boxes, finetune.load(folder).predict(paths).boxes)
    assert prediction.visible.all()


def test_batches_and_order_do_not_matter(detected):
    model = finetune.load(detected[0])
    paths = [record.path for record in test_images(detected[0])]
    expected = model.predict(paths, batch_size=1)
    for prediction, order in ((model.predict(paths, batch_size=4), 1),
                              (model.predict(paths[::-1]), -1)):
        assert_allclose(prediction.scores[::order], expected.scores, rtol=1e-4, atol=1e-5)
        assert_array_equal(prediction.boxes[::order], expected.boxes)
        assert_array_equal(prediction.visible[::order], expected.visible)
        assert prediction.images[::order] == expected.images


def test_arrays_are_predicted_as_files_are(runs):
    model = finetune.load(runs('grid'))
    paths = [record.path for record in test_images(runs('grid'))]
    arrays = [numpy.asarray(Image.open(path).convert('RGB')).transpose(2, 0, 1) for path in paths]
    assert_array_equal(model.predict(arrays).scores, model.predict(paths).scores)
    assert_allclose(model.predict(arrays).probabilities.sum(axis=1), 1, rtol=1e-5)
    prediction = model.predict(arrays)
    assert_array_equal(prediction.top(3)[:, 0], prediction.classes)
    assert (numpy.diff(numpy.take_along_axis(prediction.scores, prediction.top(3), 1)) <= 0).all()


def test_run_is_enough(detected, tmp_path, capsys):
    """Moved to another folder, after its data were deleted."""
    folder, root = detected
    expected = finetune.load(folder).predict([record.path for record in test_images(folder)])
    shutil.copytree(folder, 'moved')
    names = [shutil.copy(record.path, f'{i}.png') for i, record in enumerate(test_images(folder))]
    (tmp_path / 'moved/config.yml').write_text(
        (tmp_path / 'moved/config.yml').read_text().replace(str(root), '/nowhere'))
    assert_array_equal(finetune.load('moved').predict(names).scores, expected.scores)
    assert run('predict', 'moved', *names, '--pictures', 'pictures') == 0
    assert len(list(Path('pictures').iterdir())) == len(names)
    assert '/nowhere' in fails(capsys, 'evaluate', 'moved')


def test_evaluation_of_other_images(detected, drawn_birds, capsys):
    folder, _ = detected
    before = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
    shutil.copytree(drawn_birds, 'others')
    images = Path('others/train_test_split.txt')
    swapped = [f'{line[:-1]}{1 - int(line[-1])}' for line in images.read_text().splitlines()]
    images.write_text('\n'.join(swapped))
    assert run('evaluate', folder, '--set', 'data.root=others', '--output', 'out') == 0
    assert '18 images' in capsys.readouterr().out          # its own detector found their parts
    evaluation = RunFolder('out').read_evaluation()
    assert evaluation['settings'] == ['data.root=others']
    assert len(RunFolder('out').read_predictions()['label']) == 12      # the training images
    assert 'CS_parts' in {path.name for path in Path('others').iterdir()}
    assert {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()} == before
    assert 'kept' in fails(capsys, 'evaluate', folder, '--output', 'out')


def test_evaluation_with_other_parts(runs, drawn_birds, capsys):
    """They matter only if each has its own place in the encoding."""
    shutil.copytree(drawn_birds, 'others')
    path = Path('others/parts/parts.txt')
    path.write_text(path.read_text().replace('beak', 'bill'))
    assert "is 'bill', but 'beak' in the run" in fails(
        capsys, 'evaluate', runs('gap'), '--set', 'data.root=others')
    assert run('evaluate', runs('points'), '--set', 'data.root=others') == 0


def odd_pictures(folder):
    """Pictures of odd sizes and kinds in a folder; returns those that can be read, and others."""
    Path(folder).mkdir()
    random = numpy.random.RandomState(0)
    image = Image.fromarray(random.randint(0, 256, (40, 30, 3)).astype('uint8'))
    pictures = {'tiny.png': image.resize((1, 1)), 'long.png': image.resize((12000, 50)),
                'high.png': image.resize((50, 12000)), 'cmyk.jpg': image.convert('CMYK'),
                'grey.png': image.convert('L'), 'palette.gif': image.convert('P'),
                'clear.png': image.convert('RGBA'), '.hidden.png': image}
    for name, picture in pictures.items():
        picture.save(Path(folder, name))
    Path(folder, 'text.png').write_text('not a picture')
    Path(folder, 'notes.txt').write_text('left out')
    whole = Path(folder, 'whole.png')
    image.save(whole)
    Path(folder, 'truncated.png').write_bytes(whole.read_bytes()[:-2000])
    return sorted({*pictures, 'whole.png'} - {'.hidden.png'}), ['text.png', 'truncated.png']


@pytest.mark.parametrize('kind', ['grid', 'no_parts', 'detected'])
def test_odd_pictures(runs, detected, kind, capsys):
    folder = detected[0] if kind == 'detected' else runs(kind)
    readable, unreadable = odd_pictures('odd')
    assert run('predict', folder, 'odd', '--output', 'new/out.json') == 1
    error = capsys.readouterr().err
    content = json.loads(Path('new/out.json').read_text(encoding='utf-8'))
    assert [Path(row['image']).name for row in content['images']] == readable
    assert [Path(path).name for path in content['unreadable']] == unreadable
    assert all(error.count(f'odd/{name}: ') == 1 for name in unreadable)
    assert '2 of 10 pictures were skipped' in error
    assert 'odd: left out: files of another kind (.txt): 1' in error
    assert content['box_order'] == ['y_min', 'x_min', 'y_max', 'x_max']
    for row in content['images']:
        height, width = (Image.open(row['image']).size)[::-1]
        boxes = numpy.array([part['box'] for part in row['parts']]).reshape(-1, 2, 2)
        assert (boxes[:, 1] > boxes[:, 0]).all() and (boxes[:, 1] <= [height, width]).all()
        assert [part['part'] for part in row['parts']] == [
            *finetune.load(folder).part_names][:len(row['parts'])]
        assert all(numpy.isfinite(scores['probability']) for scores in row['classes'])


def test_pictures_of_odd_pictures(runs, detected):
    for kind, folder in (('grid', runs('grid')), ('detected', detected[0])):
        readable, _ = odd_pictures(kind)
        assert run('predict', folder, kind, '--pictures', f'{kind}/out') == 1
        assert len(list(Path(kind, 'out').iterdir())) == len(readable)


def test_pictures_are_turned_as_their_exif_data_say(runs, detected):
    record = test_images(runs('grid'))[0]
    image = Image.open(record.path)
    exif = Image.Exif()
    exif[274] = 6                                   # shown turned by 90 degrees clockwise
    image.transpose(Image.Transpose.ROTATE_90).save('turned.png', exif=exif)
    for folder in (runs('grid'), detected[0]):
        model = finetune.load(folder)
        turned, upright = model.predict(['turned.png', record.path]).scores
        assert_allclose(turned, upright, rtol=1e-4, atol=1e-5)


def test_many_pictures(runs, capsys):
    """A thousand: as many lines."""
    Path('many').mkdir()
    paths = [record.path for record in test_images(runs('no_parts'))]
    for i in range(1000):
        os.symlink(paths[i % len(paths)], f'many/{i:04d}.png')
    capsys.readouterr()
    assert run('predict', runs('no_parts'), 'many') == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1000
    for i, line in enumerate(lines):
        assert line.split()[0] == f'many/{i:04d}.png'
        assert line.split()[1:] == lines[i % len(paths)].split()[1:]


def test_table_has_classes_in_order(runs, capsys):
    record = test_images(runs('no_parts'))[0]
    capsys.readouterr()
    assert run('predict', runs('no_parts'), record.path) == 0
    cells = capsys.readouterr().out.split(' % ')
    percent = [float(cell.split()[-1]) for cell in cells[:-1]]
    assert len(percent) == 3 and percent == sorted(percent, reverse=True)
    assert sum(percent) == pytest.approx(100, abs=.2)


def test_nothing_that_can_be_read(runs, capsys):
    Path('text.png').write_text('text')
    assert run('predict', runs('no_parts'), 'text.png', '--output', 'out.csv') == 2
    assert 'none of the 1 pictures can be read' in capsys.readouterr().err
    assert not Path('out.csv').exists()


def test_options_for_parts_need_a_model_with_parts(runs, capsys):
    picture = test_images(runs('no_parts'))[0].path
    for option in ('--parts', '--detector'):
        assert f'leave out {option}' in fails(
            capsys, 'predict', runs('no_parts'), picture, option, 'x')


def test_gpu_that_is_not_there(runs, capsys):
    picture = test_images(runs('no_parts'))[0].path
    assert 'that GPU cannot be used' in fails(
        capsys, 'predict', runs('no_parts'), picture, '--gpu', '60')


def test_detector_needs_a_place_for_every_part(runs, detected, capsys):
    picture = test_images(runs('gap'))[0].path
    assert 'the detector finds 4 parts' in fails(
        capsys, 'predict', runs('gap'), picture, '--detector', detected[0])


@attr.gpu
@pytest.mark.parametrize('kind', ['gap', 'gradient', 'global'])
def test_gpu(runs, kind):
    folder, paths = runs(kind), [record.path for record in test_images(runs(kind))]
    options = {'part_file': write_parts('p.csv', folder)} if kind == 'gap' else {}
    on_cpu, on_gpu = (finetune.load(folder, gpu, **options) for gpu in (-1, 0))
    assert_allclose(on_gpu.predict(paths).scores, on_cpu.predict(paths).scores, rtol=1e-3,
                    atol=1e-4)
    example = on_cpu.examine([on_cpu.picture(paths[0])])[0]
    for shares, expected in zip(on_gpu.explain(example, 1), on_cpu.explain(example, 1)):
        if expected is not None:
            assert_allclose(shares, expected, rtol=1e-3, atol=1e-4)


@attr.gpu
def test_gpu_finds_parts(detected):
    paths = [record.path for record in test_images(detected[0])]
    on_cpu, on_gpu = (finetune.load(detected[0], gpu).predict(paths) for gpu in (-1, 0))
    assert numpy.abs(on_gpu.boxes - on_cpu.boxes).max() <= 1        # rounded from other sums
    assert (on_gpu.visible == on_cpu.visible).all()


def test_examples_are_of_the_class(runs):
    folder = RunFolder(runs('points'))
    data_set = load(folder.read_config().data)
    examples = folder.read_examples()
    for label in range(len(data_set.class_names)):
        first = [record.path for record in data_set.train if record.label == label][:2]
        for example, path in zip(examples.of(label), first):
            image = numpy.asarray(Image.open(path).convert('RGB').resize((32, 32)), float)
            assert numpy.abs(example - image).mean() < 8


def test_damaged_names_and_examples(runs, copy_of, capsys):
    folder = copy_of(runs('points'))
    shutil.copy(test_images(runs('points'))[0].path, 'a.png')
    examples = (folder / 'examples.npz').read_bytes()
    (folder / 'examples.npz').write_bytes(examples[:99])
    assert 'examples.npz: is not a complete file' in fails(
        capsys, 'predict', folder, 'a.png', '--parts', write_parts('p.csv', folder), '--pictures',
        'out')
    (folder / 'names.yml').write_text('classes: 3')
    assert 'names.yml: is not a complete' in fails(capsys, 'predict', folder, 'a.png')
    (folder / 'names.yml').unlink()
    assert 'names.yml: there is no such file; copy' in fails(capsys, 'predict', folder, 'a.png')


def test_variances_below_zero(runs, copy_of, capsys):
    folder = copy_of(runs('grid'))
    arrays = dict(numpy.load(folder / 'model.npz'))
    numpy.savez(folder / 'model.npz', **{**arrays, 'encoder/var': -arrays['encoder/var']})
    picture = test_images(runs('grid'))[0].path
    assert 'model.npz: cannot be loaded (var must be positive' in fails(
        capsys, 'predict', folder, picture)


def test_conventional_pipeline_is_refused(runs, copy_of, capsys):
    folder = copy_of(runs('points'))
    picture = next(iter(test_images(folder))).path
    config = folder / 'config.yml'
    config.write_text(config.read_text().replace('method: joint', 'method: conventional'))
    assert 'conventional pipeline' in fails(capsys, 'predict', folder, picture)


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match='is no run'):
        finetune.load(tmp_path)
