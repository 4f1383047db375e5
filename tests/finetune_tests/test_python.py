"""The program in Python: what ``finetune.load`` gives, for images in all of their usual forms."""
import doctest
import os
from pathlib import Path
import subprocess
import sys

import numpy
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageOps
import pytest

from conftest import run
import finetune
from finetune.errors import InputError
from finetune.runs.folder import RunFolder

CLASSES = 'bullfinch', 'robin', 'siskin'
SMALL = 'data.input_size=32', 'data.part_input_size=32', 'training.epochs=60', 'training.workers=0'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with ``photos/`` in three colours, a run of FVE of tiles, and two pictures."""
    folder = tmp_path_factory.mktemp('python')
    random = numpy.random.RandomState(0)
    for i, name in enumerate(CLASSES):
        for split, n in (('train', 6), ('test', 2)):
            there = folder / 'photos' / split / name
            there.mkdir(parents=True)
            for j in range(n):
                pixels = random.randint(0, 60, (40, 50, 3))
                pixels[..., i] += 190
                Image.fromarray(pixels.astype(numpy.uint8)).save(there / f'{j}.png')
    Image.open(folder / 'photos/test/bullfinch/0.png').save(folder / 'bird.jpg')
    Image.open(folder / 'photos/test/siskin/0.png').save(folder / 'another.jpg')
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert run('train', 'configs/photos/grid_fve.yml', '--output', 'results/photos', *(
            word for override in ('data.root=photos', *SMALL) for word in ('--set', override))) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def model(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return finetune.load('results/photos')


def test_example_of_the_docstring(folder, monkeypatch):
    monkeypatch.chdir(folder)
    test, = doctest.DocTestFinder().find(finetune.load, 'load', globs={'finetune': finetune})
    assert test.examples
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_representations(model):
    assert repr(model) == '<3 classes by results/photos>'
    assert repr(model.predict('bird.jpg')) == '<predictions for 1 image>'
    assert repr(model.evaluate('photos/test')) == '<100.0 % of 6 images are classified correctly>'


def assert_same(prediction, expected, images=None):
    assert_array_equal(prediction.scores, expected.scores)
    assert prediction.images == (expected.images if images is None else images)


def test_one_image_or_several_or_a_folder(model):
    one = model.predict('bird.jpg')
    assert one.scores.shape == (1, 3) and one.boxes.shape == (1, 4, 4) and one.names == [CLASSES[0]]
    assert_same(model.predict(Path('bird.jpg')), one)
    assert_same(model.predict(iter(['bird.jpg'])), one)
    paths = sorted(str(path) for path in Path('photos/test').rglob('*.png'))
    inside = model.predict('photos/test')
    assert_same(inside, model.predict(paths), paths)
    assert inside.names == [name for name in CLASSES for _ in range(2)]


def test_arrays_and_pil_images(model):
    image = Image.open('photos/test/robin/1.png')
    path, array = image.filename, numpy.asarray(image)
    expected, unnamed = model.predict(path), ['image 1']
    assert_same(model.predict(image), expected, [path])
    for same in (array, array.transpose(2, 0, 1), numpy.dstack([array, array[..., :1]]),
                 Image.fromarray(array), array[:, ::-1][:, ::-1]):
        assert_same(model.predict(same), expected, unnamed)
        assert_same(model.predict([same]), expected, unnamed)
    assert_same(model.predict(array[None]), expected, unnamed)
    assert_same(model.predict(Image.fromarray(array).convert('RGBA')), expected, unnamed)
    for mode in '1', 'P', 'LA', 'CMYK':
        converted = Image.fromarray(array).convert(mode)
        assert_same(model.predict(converted), model.predict(numpy.asarray(
            converted.convert('RGB'))))
    grey = numpy.asarray(image.convert('L'))
    assert_same(model.predict(grey), model.predict(numpy.dstack(3 * [grey])))
    pair = model.predict([array, Image.fromarray(array), path])
    assert pair.images == ['image 1', 'image 2', path] and len(set(pair.names)) == 1


def test_the_last_axis_says_first_what_is_a_colour(model):
    array = numpy.random.RandomState(0).randint(0, 256, (3, 20, 3), numpy.uint8)
    Image.fromarray(array).save('wide.png')         # 3 pixels high, 20 wide
    assert_same(model.predict(array), model.predict('wide.png'), ['image 1'])
    assert Image.open('wide.png').size == (20, 3)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_pil_images_are_turned_as_their_exif_data_say(model, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.open('bird.jpg').crop((0, 0, 50, 20))
    stored.save('turned.png', exif=exif)
    turned = Image.open('turned.png')
    expected = model.predict(numpy.asarray(ImageOps.exif_transpose(turned)))
    assert_same(model.predict(turned), expected, ['turned.png'])
    assert_same(model.predict('turned.png'), expected, ['turned.png'])


def test_unusable_images(model, tmp_path):
    array = numpy.zeros((9, 9, 3), numpy.uint8)
    for image, error, text in [
            ('nope.jpg', InputError, f'correct the path, which is relative to {Path.cwd()}.'),
            (tmp_path / 'nope.jpg', InputError, 'correct the path.$'),
            (tmp_path, InputError, 'has no pictures'),
            (['photos'], InputError, 'photos: is a folder; give a folder alone'),
            (array / 255, ValueError, r'float64; give numpy.uint8\(255 \* x\)'),
            (array.astype(int), ValueError, 'must be uint8, in 0 ... 255, not int64'),
            ([array, array[None]], ValueError, r'image 2 must have .*, not \(1, 9, 9, 3\)'),
            (array[..., :2], ValueError, r'not \(9, 9, 2\)'), (array[:0], ValueError, 'shape'),
            ([], ValueError, 'there is no image'), ([None], TypeError, 'image 1 must be the path'),
            (7, TypeError, 'images must be .* not int'), ([b'x'], TypeError, 'not bytes'),
            (Image.new('F', (3, 3), -1), InputError, 'image 1: has numbers from -1')]:
        for method in model.predict, model.features:
            with pytest.raises(error, match=text):
                method(image)


@pytest.mark.parametrize('flip', [False, True])
def test_scores_are_linear_in_the_features(folder, flip, monkeypatch):
    monkeypatch.chdir(folder)
    model = finetune.load('results/photos', flip=flip)
    features, heads = model.features('photos/test'), model.model.heads
    weight = numpy.concatenate([heads[stream].W.array for stream in ('global', 'parts')], axis=1)
    assert features.shape == (6, 3 * 1280) and features.dtype == numpy.float32
    scores = features @ weight.T + heads['global'].b.array + heads['parts'].b.array
    assert_allclose(scores, model.predict('photos/test').scores, rtol=1e-4, atol=1e-5)
    assert_array_equal(model.features('photos/test', batch_size=1).shape, features.shape)


def test_features_of_the_whole_image_alone(finished_run):
    """The parts of pictures are unknown."""
    model = finetune.load(finished_run)
    image = numpy.full((40, 40, 3), 99, numpy.uint8)
    assert model.stream == 'global'
    scores = model.features(image) @ model.model.heads['global'].W.array.T
    assert_allclose(scores + model.model.heads['global'].b.array, model.predict(image).scores,
                    rtol=1e-4, atol=1e-5)


def test_evaluation_is_that_of_the_run(model):
    evaluation = model.evaluate('photos')           # of the split
    assert evaluation.n_trained_on == 0 and len(evaluation.labels) == 6
    saved = RunFolder('results/photos')
    assert evaluation.accuracy == saved.read_evaluation()['accuracy']['both']
    columns = saved.read_predictions()
    assert evaluation.prediction.names == columns['both'].tolist()
    assert [CLASSES[i] for i in evaluation.labels] == columns['label'].tolist()


def test_evaluation_of_some_classes(model, tmp_path):
    """Two of them, of which one has a picture of another."""
    for name, source in (('robin/a', 'robin'), ('robin/b', 'siskin'), ('siskin/c', 'siskin')):
        path = tmp_path / f'{name}.png'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Path(f'photos/test/{source}/0.png').read_bytes())
    evaluation = model.evaluate(tmp_path)
    assert evaluation.accuracy == pytest.approx(2 / 3)
    assert evaluation.accuracies == {'robin': .5, 'siskin': 1.}
    assert_array_equal(evaluation.confusion, [[0, 0, 0], [0, 1, 1], [0, 0, 1]])
    table = tmp_path / 'table.csv'
    table.write_text('path,class\nrobin/a.png,robin\nrobin/b.png,siskin\n')
    assert model.evaluate(table).accuracies == {'robin': 1., 'siskin': 1.}
    table.write_text('path,class\nrobin/a.png,wren\n')
    with pytest.raises(InputError, match='of the class wren, but the model knows only bullfinch,'):
        model.evaluate(table)
    table.write_text('path,class,split\nrobin/a.png,robin,train\n')
    with pytest.raises(InputError, match='has no test image; give a folder without train'):
        model.evaluate(table)
    with pytest.raises(InputError, match='nowhere: there is no such folder or table'):
        model.evaluate('nowhere')


def test_evaluation_on_training_images_warns(model):
    with pytest.warns(UserWarning, match='trained on 18 of these 18 pictures'):
        assert model.evaluate('photos/train').n_trained_on == 18


def test_import_is_light():
    """It needs what the layer needs."""
    process = subprocess.run(
        [sys.executable, '-c', 'import sys, finetune; print(*sys.modules)'], stdout=subprocess.PIPE,
        text=True, check=True)
    modules = set(process.stdout.split())
    assert not modules & {'yaml', 'matplotlib', 'sklearn'}
    assert not [name for name in modules if name.startswith('finetune.')]
