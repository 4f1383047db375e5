import tracemalloc

import numpy
from PIL import Image, ImageEnhance
import pytest

from conftest import load
from finetune.config.settings import Data
from finetune.data import transforms
from finetune.data.dataset import PartDataset
from finetune.data.pictures import read_image


def picture(height=40, width=60, seed=0):
    """Smooth colours, uint8, (H, W, 3)."""
    small = numpy.random.RandomState(seed).randint(0, 256, (4, 6, 3)).astype(numpy.uint8)
    return numpy.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


def random_state(seed=0):
    return numpy.random.RandomState(seed)


@pytest.mark.parametrize('interpolation, of_pillow', [
    ('bilinear', Image.BILINEAR), ('bicubic', Image.BICUBIC)])
def test_test_transform_scales_the_shorter_side_and_crops_the_centre(interpolation, of_pillow):
    rgb = picture(40, 60)
    expected = numpy.asarray(Image.fromarray(rgb).resize((48, 32), of_pillow))
    expected = expected[:, 8:40].transpose(2, 0, 1) / 127.5 - 1
    result = transforms.test_transform(rgb.transpose(2, 0, 1), 32, interpolation)
    assert result.shape == (3, 32, 32) and result.dtype == numpy.float32
    numpy.testing.assert_allclose(result, expected, atol=1.5 / 127.5)


def test_train_transform_is_a_crop_of_the_scaled_image():
    image = picture(40, 60).transpose(2, 0, 1)
    scaled = transforms.test_transform(image[:, :, 10:50], 36)      # 36 = floor(32 / 0.875)
    result = transforms.train_transform(
        image[:, :, 10:50], 32, random_state(), flip=False, colour_jitter=0)
    windows = numpy.lib.stride_tricks.sliding_window_view(scaled, (3, 32, 32))[0]
    distances = abs(windows - result).max(axis=(2, 3, 4))
    assert distances.shape == (5, 5) and distances.min() < 1e-5


def test_data_set_scales_as_its_setting_says(birds):
    results = []
    for interpolation in transforms.FILTERS:
        settings = Data(root=str(birds), input_size=32, part_input_size=16, flip=False,
                        colour_jitter=0, interpolation=interpolation)
        data_set = load(settings)
        for train in False, True:
            dataset = PartDataset(data_set.train, data_set.parts, settings, train, seed=0)
            image = read_image(data_set.train[0].path)
            expected = (transforms.test_transform(image, 32, interpolation) if not train else
                        transforms.enlarged(image, 32, interpolation) / 127.5 - 1)
            img, parts, *_ = dataset[0]
            results.append((img, *parts))
            assert (img == expected).all() if not train else img[0, 0, 0] in expected
    assert not any((one == other).all() for one, other in zip(results[0], results[2]))


def test_train_transform_takes_every_crop_and_flips_half_of_the_time():
    image = picture(36, 36).transpose(2, 0, 1)
    plain = {transforms.train_transform(image, 32, random_state(seed), False, 0).tobytes()
             for seed in range(300)}
    assert len(plain) == 25
    flipped = [transforms.train_transform(image, 32, random_state(seed), True, 0)
               for seed in range(300)]
    n_flipped = sum(result.tobytes() not in plain for result in flipped)
    assert 100 < n_flipped < 200
    assert all(result[..., ::-1].tobytes() in plain or result.tobytes() in plain
               for result in flipped)


@pytest.mark.parametrize('change, enhance', [
    (transforms._brightness, ImageEnhance.Brightness),
    (transforms._contrast, ImageEnhance.Contrast),
    (transforms._saturation, ImageEnhance.Color)])
@pytest.mark.parametrize('factor', [.7, 1.3])
def test_each_change_of_colour_is_pillows(change, enhance, factor):
    rgb = picture()
    image = rgb.transpose(2, 0, 1).astype(numpy.float32)
    other = change(image)
    result = (other + factor * (image - other)).clip(0, 255)
    expected = numpy.asarray(enhance(Image.fromarray(rgb)).enhance(factor)).transpose(2, 0, 1)
    assert abs(result - expected).max() <= 2      # Pillow rounds to whole numbers on the way


def test_colour_jitter_stays_in_range_and_leaves_nothing_out():
    image = picture(36, 36).transpose(2, 0, 1)
    results = [transforms.train_transform(image, 32, random_state(seed), False, .3)
               for seed in range(50)]
    assert all(abs(result).max() <= 1 for result in results)
    means = numpy.array([result.mean() for result in results])
    plain = transforms.test_transform(image, 32).mean()
    assert means.min() < plain < means.max()


def test_the_given_generator_draws_everything():
    image = picture().transpose(2, 0, 1)
    numpy.random.seed(0)
    state = numpy.random.get_state()[1].copy()
    first, second, other = (
        transforms.train_transform(image, 32, random_state(seed)) for seed in (1, 1, 2))
    assert (first == second).all() and (first != other).any()
    assert (numpy.random.get_state()[1] == state).all()


STRIPS = [(12, 3000), (3000, 12), (7, 2111), (500, 4000)]


@pytest.fixture
def cropped_first(monkeypatch):
    """Lets the way of long strips be taken for every image."""
    def turn(is_on):
        monkeypatch.setattr(transforms, 'MOST_PIXELS', 0 if is_on else 2 ** 24)
    return turn


@pytest.mark.parametrize('interpolation', transforms.FILTERS)
@pytest.mark.parametrize('shape', STRIPS)
def test_long_strips_give_the_same_without_being_scaled_as_a_whole(shape, interpolation,
                                                                   cropped_first):
    image = picture(*shape).transpose(2, 0, 1)
    results = []
    for is_on in (False, True):
        cropped_first(is_on)
        kept = transforms.enlarged(image, 32, interpolation)
        assert (kept is image) == is_on
        results.append([transforms.test_transform(image, 32, interpolation)] + [
            transforms.train_transform(kept, 32, random_state(seed), interpolation=interpolation)
            for seed in range(20)])
    for whole, crop in zip(*results):
        assert crop.shape == whole.shape == (3, 32, 32) and crop.dtype == numpy.float32
        numpy.testing.assert_allclose(crop, whole, atol=2e-4)


@pytest.mark.parametrize('shape', [(12, 100_000), (100_000, 12), (3, 3_000_000)])
def test_memory_of_long_strips(shape):
    image = numpy.zeros((3, *shape), numpy.uint8)
    image[:, shape[0] // 2:, shape[1] // 2:] = 255
    tracemalloc.start()
    try:
        tested = transforms.test_transform(image, 299)
        trained = transforms.train_transform(
            transforms.enlarged(image, 299), 299, random_state(), colour_jitter=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert tested.shape == trained.shape == (3, 299, 299)
    halves = tested.reshape(3, -1)[:, [0, -1]]
    assert (halves == [-1, 1]).all()


def test_ordinary_images_are_scaled_as_a_whole(cropped_first, monkeypatch):
    image = picture(300, 400).transpose(2, 0, 1)
    kept = transforms.enlarged(image, 32)
    monkeypatch.delattr(transforms, '_source')
    assert kept.shape == (3, 36, 48) and kept.dtype == numpy.float32
    assert (transforms.train_transform(image, 32, random_state())
            == transforms.train_transform(kept, 32, random_state())).all()


def position_image(height, width):
    """An image whose values are its rows, columns and zeros."""
    rows, columns = numpy.mgrid[:height, :width]
    return numpy.stack([rows, columns, 0 * rows]).astype(numpy.uint8)


def shown_box(result):
    """The box (y_min, x_min, y_max, x_max) that a view of :func:`position_image` shows, about."""
    values = (result + 1) * 127.5
    (top, bottom), (left, right) = (
        (numpy.median(first), numpy.median(last)) for first, last in
        ((values[0, 0], values[0, -1]), (values[1, :, 0], values[1, :, -1])))
    return numpy.array([top, left, bottom + 1, right + 1])


@pytest.mark.parametrize('shape', [(1, 1), (3, 200), (2 ** 20, 1)])
def test_random_crop_of_a_strip(shape):
    image = numpy.full((3, *shape), 255, numpy.uint8)
    for seed in range(20):
        assert (transforms.train_transform(image, 16, random_state(seed), colour_jitter=0,
                                           random_crop=.01) == 1).all()


@pytest.mark.parametrize('shape', [(60, 60), (50, 90), (120, 50), (200, 40)])
@pytest.mark.parametrize('smallest', [.2, .6, 1.])
def test_random_crop_is_a_box_of_the_image_of_any_area_from_the_smallest(shape, smallest):
    boxes = numpy.array([transforms.random_box(shape, smallest, random_state(seed))
                         for seed in range(300)])
    height, width = (boxes[:, 2:] - boxes[:, :2]).T
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= shape).all()
    areas, rounding = height * width / min(shape) ** 2, 1.2 / min(shape)
    assert smallest - rounding <= areas.min() < smallest + .1
    assert .9 < areas.max() <= 1 + rounding
    ratios = numpy.log(width / height) / numpy.log(4 / 3)
    assert abs(ratios).max() < 1.15
    if smallest < .7:       # of the others, the image limits the ratio
        assert ratios.min() < -.8 and ratios.max() > .8
    if min(shape) < max(shape) or smallest < 1:
        assert len(set(map(tuple, boxes[:, :2]))) > 50


def test_random_crop_is_scaled_to_the_input():
    image = position_image(100, 150)
    for seed in range(20):
        box = transforms.random_box((100, 150), .3, random_state(seed))
        result = transforms.train_transform(
            image, 64, random_state(seed), flip=False, colour_jitter=0, random_crop=.3)
        assert result.shape == (3, 64, 64) and result.dtype == numpy.float32
        assert abs(shown_box(result) - box).max() < 1.5


def test_random_crop_leaves_flip_and_colours_on():
    image = position_image(60, 60)
    plain, changed = ([transforms.train_transform(
        image, 32, random_state(seed), on, .3 * on, random_crop=.5) for seed in range(40)]
        for on in (False, True))
    is_mirrored = [one[1, 0, 0] > one[1, 0, -1] for one in changed]
    assert 5 < sum(is_mirrored) < 35
    assert all((one != other).any() for one, other in zip(plain, changed))
