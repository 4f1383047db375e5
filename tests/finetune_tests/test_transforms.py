import numpy
from PIL import Image, ImageEnhance
import pytest

from finetune.data import transforms
from finetune.errors import InputError


def picture(height=40, width=60, seed=0):
    """Smooth colours, uint8, (H, W, 3)."""
    small = numpy.random.RandomState(seed).randint(0, 256, (4, 6, 3)).astype(numpy.uint8)
    return numpy.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


def random_state(seed=0):
    return numpy.random.RandomState(seed)


def save(tmp_path, image, **options):
    path = tmp_path / 'image.png'
    image.save(path, **options)
    return path


def test_read_image(tmp_path):
    rgb = picture()
    image = transforms.read_image(save(tmp_path, Image.fromarray(rgb)))
    assert image.dtype == numpy.uint8
    assert (image == rgb.transpose(2, 0, 1)).all()


@pytest.mark.parametrize('mode', ['L', 'LA', '1'])
def test_grey_images_get_three_equal_channels(mode, tmp_path):
    grey = Image.fromarray(picture()).convert(mode)
    image = transforms.read_image(save(tmp_path, grey))
    assert (image == numpy.asarray(grey.convert('L'))).all()


@pytest.mark.parametrize('mode', ['P', 'RGBA'])
def test_palette_and_alpha(mode, tmp_path):
    rgb = picture()
    image = Image.fromarray(rgb)
    image = image.quantize(256) if mode == 'P' else image.convert(mode)
    expected = numpy.asarray(image.convert('RGB')).transpose(2, 0, 1)
    assert abs(expected - rgb.transpose(2, 0, 1).astype(int)).mean() < 20    # 256 colours
    assert (transforms.read_image(save(tmp_path, image)) == expected).all()


def test_16_bits_are_scaled_not_clipped(tmp_path):
    grey = (numpy.arange(2400).reshape(40, 60) * 27).astype(numpy.uint16)
    image = transforms.read_image(save(tmp_path, Image.fromarray(grey)))
    assert (image == grey // 256).all()


def test_images_stay_as_they_are_stored(tmp_path):
    """Data sets are annotated in pixels as stored, whatever the EXIF data say."""
    rgb = picture()
    exif = Image.Exif()
    exif[0x0112] = 6        # to be turned by 90 degrees clockwise
    path = save(tmp_path, Image.fromarray(rgb), exif=exif)
    assert (transforms.read_image(path) == rgb.transpose(2, 0, 1)).all()


def test_missing_and_broken_images(tmp_path):
    with pytest.raises(InputError, match='no such image'):
        transforms.read_image(tmp_path / 'none.png')
    path = save(tmp_path, Image.fromarray(picture()))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match='not a complete image'):
        transforms.read_image(path)


def test_test_transform_scales_the_shorter_side_and_crops_the_centre():
    rgb = picture(40, 60)
    expected = numpy.asarray(Image.fromarray(rgb).resize((48, 32), Image.BILINEAR))
    expected = expected[:, 8:40].transpose(2, 0, 1) / 127.5 - 1
    result = transforms.test_transform(rgb.transpose(2, 0, 1), 32)
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


def test_image_that_claims_to_be_huge(tmp_path):
    path = tmp_path / 'huge.bmp'
    Image.new('RGB', (2, 2)).save(path)
    content = bytearray(path.read_bytes())
    content[18:26] = 2 * (100000).to_bytes(4, 'little')      # width and height
    path.write_bytes(content)
    with pytest.raises(InputError, match='huge.bmp: is damaged or too large'):
        transforms.read_image(path)
