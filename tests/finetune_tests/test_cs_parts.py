"""The stages of CS-Parts against independent ones, and a planted detector with known answers."""
import itertools

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
from numpy.testing import assert_allclose, assert_array_equal
import pytest
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu

from finetune.config.settings import Detector as Settings
from finetune.errors import InputError
from finetune.parts.cs_parts import box_search, clusters, detector, saliency, selection
from finetune.parts.cs_parts.detector import Detector

CPU = chainer.get_device('@numpy')
COLOURS = {'red': (1, -1, -1), 'green': (-1, 1, -1), 'blue': (-1, -1, 1),
           'yellow': (1, 1, -1), 'cyan': (-1, 1, 1), 'magenta': (1, -1, 1)}
N_CLASSES, MARK, GRID = 3, 18, 3    # marks of red, green or blue say the class


def chosen(svm, features='selected'):
    return (selection.AllFeatures() if features == 'all'
            else selection.SparseSVMs([svm], features))


def random_map(random, size=(40, 50)):
    return gaussian_filter(random.uniform(size=size), 2) ** 2


def test_svm_selects_few_features_and_those_that_matter():
    random = numpy.random.RandomState(0)
    label = numpy.repeat(range(4), 60)
    features = random.uniform(size=(240, 30))
    features[numpy.arange(240), label] += 1
    coefficients, intercepts = selection.fit_svm(features, label, c=.1)
    assert coefficients.shape == (4, 30) and intercepts.shape == (4,)
    selected = coefficients != 0
    assert selected[range(4), range(4)].all() and selected.mean() < .3
    again = selection.fit_svm(features, label, c=.1)
    assert_array_equal(coefficients, again[0])


def test_of_two_classes_each_has_coefficients():
    features = numpy.array([[0, 1], [0, 2], [1, 0], [2, 0]] * 5, float)
    coefficients, intercepts = selection.fit_svm(features, [0, 0, 1, 1] * 5, 1)
    scores = features @ coefficients.T + intercepts
    assert_array_equal(scores.argmax(axis=1), [0, 0, 1, 1] * 5)


def test_weights_of_features():
    coefficients = numpy.array([[0, .5, -2]])
    for features, expected in (('selected', [0, 1, 1]), ('positive', [0, 1, 0]),
                               ('all', [1, 1, 1]), ('score', [0, .5, -2])):
        assert_array_equal(selection.feature_weights(coefficients, features), [expected])


def test_gradients_are_differences_of_the_weighted_sum_of_features():
    random = numpy.random.RandomState(1)
    with chainer.using_config('dtype', numpy.float64):
        cnn = chainer.Sequential(L.Convolution2D(3, 5, 3, stride=2), F.sigmoid,
                                 L.Convolution2D(5, 4, 3), F.tanh)
    img, weights = random.normal(size=(2, 3, 12, 14)), random.normal(size=(2, 4))

    def weighted(x):
        return (cnn(x).array.mean(axis=(2, 3)) * weights).sum()

    expected = numpy.zeros_like(img)
    for index in numpy.ndindex(*img.shape):
        step = numpy.zeros_like(img)
        step[index] = 1e-5
        expected[index] = (weighted(img + step) - weighted(img - step)) / 2e-5
    x = chainer.Variable(img)
    actual = saliency.pixel_gradients(F.mean(cnn(x), axis=(2, 3)), x, weights)
    assert_allclose(actual, abs(expected).mean(axis=1), atol=1e-8)


def test_saliency_is_scaled_blurred_and_compressed():
    gradient = random_map(numpy.random.RandomState(2)).astype(numpy.float32)
    scaled = (gradient.astype(float) - gradient.min()) / numpy.ptp(gradient.astype(float))
    assert_allclose(saliency.saliency_map(gradient, 3, .7), gaussian_filter(scaled, 3) ** .7)
    assert_allclose(saliency.saliency_map(gradient, 0, 1), scaled)
    assert not saliency.saliency_map(numpy.full((5, 6), 3.), 3, .7).any()


@pytest.mark.parametrize('seed', range(5))
def test_otsu_threshold_is_that_of_scikit_image(seed):
    values = random_map(numpy.random.RandomState(seed))
    assert_allclose(clusters.otsu_threshold(values), threshold_otsu(values))


@pytest.mark.parametrize('seed', range(5))
def test_peaks_are_those_of_scikit_image(seed):
    values = random_map(numpy.random.RandomState(seed))
    expected = peak_local_max(values, min_distance=1, num_peaks=4)
    assert_array_equal(clusters.peaks(values, 4), expected)


def blobs(centres, size=(60, 80), width=4):
    y, x = numpy.indices(size)
    return sum(height * numpy.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2 / width ** 2)
               for height, (cy, cx) in zip((1, .9, .8, .7), centres))


@pytest.mark.parametrize('columns', clusters.COLUMNS)
def test_groups_are_blobs_in_the_order_of_their_height(columns):
    centres = [(15, 60), (45, 15), (12, 15), (45, 62)]
    values = blobs(centres)
    grey = numpy.zeros((3, *values.shape))
    groups = clusters.group(values, values > .1, grey, 4, columns)
    assert_array_equal([groups[centre] for centre in centres], range(4))
    assert_array_equal(groups == -1, values <= .1)


def test_colours_group_pixels_if_they_are_to():
    values = numpy.pad(numpy.ones((20, 20)), 5) + numpy.random.RandomState(0).rand(30, 30) * 1e-3
    img = numpy.zeros((3, 30, 30))
    img[:, :, 15:] = 1
    mask = values > .5
    groups = clusters.group(values, mask, img, 2, 'position_saliency_colour')
    left, right = groups[mask & (img[0] == 0)], groups[mask & (img[0] == 1)]
    assert len(set(left)) == len(set(right)) == 1 and left[0] != right[0]


def test_fewer_pixels_or_peaks_than_parts():
    values = numpy.zeros((9, 9))
    values[4, 4], values[4, 5] = 1, .9
    groups = clusters.group(values, values > .5, numpy.zeros((3, 9, 9)), 4, 'position')
    assert groups[4, 4] != groups[4, 5] and (groups >= 0).sum() == 2
    ramp = numpy.tile(numpy.arange(12.), (12, 1))       # without a peak inside
    groups = clusters.group(ramp, ramp > 5, numpy.zeros((3, 12, 12)), 4, 'position')
    assert set(groups[ramp > 5]) == {0, 1, 2, 3}


def test_best_box_is_that_of_an_exhaustive_search():
    random = numpy.random.RandomState(3)
    for _ in range(20):
        height, width = random.randint(3, 24, size=2)
        weights = random.uniform(size=(height, width)) ** 5
        weights[random.uniform(size=weights.shape) < .7] = 0
        weights[0, 0] = .1
        best = 0.
        for y_min, y_max in itertools.combinations(range(height + 1), 2):
            columns = numpy.append(0, weights[y_min:y_max].sum(axis=0).cumsum())
            for x_min, x_max in itertools.combinations(range(width + 1), 2):
                sides = sorted((y_max - y_min, x_max - x_min))
                best = max(best, (columns[x_max] - columns[x_min]) * sides[0] / sides[1])
        y_min, x_min, y_max, x_max = box_search.best_box(weights)
        sides = sorted((y_max - y_min, x_max - x_min))
        found = weights[y_min:y_max, x_min:x_max].sum() * sides[0] / sides[1]
        assert found >= best * (1 - 1e-9)


@pytest.mark.parametrize('pixel', [(0, 0), (39, 49), (20, 0), (17, 31)])
def test_boxes_are_large_enough_and_inside(pixel):
    values, members = random_map(numpy.random.RandomState(0)), numpy.zeros((40, 50), bool)
    members[pixel] = True
    y_min, x_min, y_max, x_max = box_search.part_box(values, members, 15)
    assert (y_max - y_min, x_max - x_min) == (15, 15)
    assert 0 <= y_min <= pixel[0] < y_max <= 40 and 0 <= x_min <= pixel[1] < x_max <= 50


class ColourFilters(chainer.Chain):

    """Six features, each of which sees one colour; no training."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(3, 6, 1)
        directions = numpy.array(list(COLOURS.values()), 'f')
        self.conv.W.array[:] = directions[:, :, None, None] / 3 ** .5
        self.conv.b.array[:] = -(1 + 1 / 3) / 2 * 3 ** .5

    def forward(self, x):
        return 1000 * F.relu(self.conv(x))


def marked_image(label, random, size=128):
    """Two marks of the class's colour and four neutral ones, (y, x) of their corners."""
    img = random.normal(0, .05, size=(3, size, size)).astype('f')
    colours = [list(COLOURS)[label]] * 2 + [list(COLOURS)[i] for i in random.randint(3, 6, size=4)]
    cells = random.permutation(GRID ** 2)[:6]
    corners = numpy.stack(numpy.divmod(cells, GRID), axis=1) * (size // GRID)
    corners = corners + random.randint(0, size // GRID - MARK, size=(6, 2))
    for (y, x), colour in zip(corners, colours):
        img[:, y:y + MARK, x:x + MARK] = numpy.reshape(COLOURS[colour], (3, 1, 1))
    return img, corners


@pytest.fixture(scope='module')
def planted():
    """A classifier without training, its SVM, and test images with the corners of their marks."""
    random, cnn = numpy.random.RandomState(0), ColourFilters()
    label = numpy.arange(180) % N_CLASSES
    img = numpy.stack([marked_image(i, random)[0] for i in label])
    features = F.mean(cnn(img), axis=(2, 3)).array
    svm = selection.fit_svm(features, label, c=.01)
    test = [(i % N_CLASSES, *marked_image(i % N_CLASSES, random)) for i in range(36)]
    return cnn, svm, test


def marks_in_boxes(found, corners):
    """Shares of the class's and the neutral marks whose centre is in a box."""
    centres = corners + MARK / 2
    inside = (found[:, None, :2] <= centres) & (centres < found[:, None, 2:])
    inside = inside.all(axis=2).any(axis=0)
    return inside[:2].mean(), inside[2:].mean()


def located(planted, features, columns):
    cnn, svm, test = planted
    settings = Settings(sigma=1.5, smallest_box=MARK + 1, features=features, columns=columns,
                        input_size=128)
    planted_detector = Detector(settings, '', cnn, chosen(svm, features), CPU)
    return [parts.boxes for i in range(0, len(test), detector.BATCH_SIZE) for parts in
            planted_detector.look([img for _, img, _ in test[i:i + detector.BATCH_SIZE]])]


def elsewhere(found, random):
    """Boxes of the same sizes at random places."""
    extent = found[:, 2:] - found[:, :2]
    low = (random.uniform(size=(4, 2)) * (128 - extent)).astype(int)
    return numpy.concatenate([low, low + extent], axis=1)


@pytest.mark.parametrize('columns', clusters.COLUMNS)
def test_parts_are_where_the_marks_of_the_class_are(planted, columns):
    random = numpy.random.RandomState(0)
    found = {'selected': located(planted, 'selected', columns),
             'all': located(planted, 'all', columns)}
    found['random'] = [elsewhere(of_image, random) for of_image in found['selected']]
    shares = {name: numpy.mean([marks_in_boxes(of_image, corners) for of_image, (_, _, corners)
                                in zip(of_images, planted[2])], axis=0)
              for name, of_images in found.items()}
    of_class, neutral = shares['selected']
    assert of_class >= .9 and neutral <= .2
    assert shares['all'][1] >= .4 and shares['random'][0] <= .35


def test_svm_keeps_the_colour_of_the_class_and_drops_neutral_ones(planted):
    coefficients, _ = planted[1]
    assert (coefficients[range(3), range(3)] > 0).all() and not coefficients[:, 3:].any()


def test_an_image_without_anything_has_hidden_parts(planted):
    cnn, svm, _ = planted
    parts, = Detector(Settings(), '', cnn, chosen(svm), CPU).look([numpy.zeros((3, 64, 64), 'f')])
    assert not parts.visible.any() and (parts.groups == -1).all()


@pytest.mark.parametrize('size', [(128, 128), (300, 128), (100, 333), (64, 65), (1000, 40),
                                  (128, 129), (7, 9), (1, 1), (250, 2), (90, 60)])
def test_boxes_lie_where_the_saliency_is_whatever_the_size(planted, size):
    cnn, svm, _ = planted
    settings = Settings(sigma=1.5, smallest_box=19, input_size=128, columns='position')
    img = numpy.full((3, *size), 128, numpy.uint8)
    edge = min(size)
    y, x = (extent // 2 - edge // 4 for extent in size)     # a red square in the middle
    mark = max(edge // 4, 1)
    img[:, y:y + mark, x:x + mark] = numpy.reshape([255, 0, 0], (3, 1, 1))
    found, visible = Detector(settings, '', cnn, chosen(svm), CPU).find([img])
    assert found.shape == (1, 4, 4) and found.dtype == numpy.float32
    assert visible.all() == (edge > 1)      # one colour has no edges
    if edge >= 40:
        near = found[0, 0] - numpy.array([y, x, y + mark, x + mark])
        assert (abs(near) <= .2 * edge).all()


def test_other_images_of_a_batch_do_not_matter(planted):
    cnn, svm, test = planted
    settings = Settings(sigma=1.5, smallest_box=19, input_size=128)
    planted_detector = Detector(settings, '', cnn, chosen(svm), CPU)
    inputs = [img for _, img, _ in test[:5]]
    together = planted_detector.look(inputs)
    for parts, img in zip(together, inputs):
        alone, = planted_detector.look([img])
        assert_array_equal(alone.boxes, parts.boxes)


def small_detector(n_classes=3):
    from finetune.models.small_cnn import SmallCNN
    random = numpy.random.RandomState(0)
    svm = random.normal(size=(n_classes, 96)).astype('f'), numpy.zeros(n_classes, 'f')
    return Detector(Settings(input_size=32, smallest_box=8), 'small_cnn', SmallCNN(), chosen(svm),
                    CPU)


def test_a_saved_detector_finds_the_same(tmp_path):
    original = small_detector()
    original.save(tmp_path / 'detector')
    loaded = detector.load(tmp_path / 'detector', CPU)
    images = [numpy.random.RandomState(i).randint(256, size=(3, 40, 50)).astype(numpy.uint8)
              for i in range(10)]
    for one, other in zip(original.find(images), loaded.find(images)):
        assert_array_equal(one, other)


@pytest.mark.parametrize('damage, sentence', [
    (lambda folder: (folder / 'weights.npz').write_bytes(b'PK'), 'is not a complete .npz file'),
    (lambda folder: (folder / 'settings.yml').write_text('architecture: resnet'),
     "architecture is 'resnet', but must be one of"),
    (lambda folder: (folder / 'settings.yml').write_text('architecture: small_cnn\nsigma: -1'),
     'sigma is -1.0, but must be between 0 and 1000'),
    (lambda folder: numpy.savez(folder / 'weights.npz', a=numpy.zeros(3)),
     'has no sparse SVM of 96 features'),
])
def test_a_damaged_detector_is_refused(damage, sentence, tmp_path):
    small_detector().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=sentence):
        detector.load(tmp_path, CPU)
