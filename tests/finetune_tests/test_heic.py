"""HEIC, the format of iPhones: read if a package is there, otherwise named with what to install."""
import numpy
from PIL import Image
import pytest

from finetune.data import pictures
from finetune.data.pictures import read_image, size_and_orientation
from finetune.errors import InputError

from conftest import fails, run
from test_own_pictures import classes, load, picture

HEADER = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'
INSTALL = 'pip install pi-heif'


def write(path, content=HEADER):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize('name', ['a.heic', 'a.jpg'])
@pytest.mark.parametrize('brand', [b'heic', b'mif1'])
def test_picture_names_the_package(name, brand, without_heic, tmp_path):
    path = write(tmp_path / name, HEADER.replace(b'heic', brand, 1))
    with pytest.raises(InputError) as raised:
        read_image(path)
    assert str(raised.value) == (f'{path}: is in the format HEIC, which needs another package; '
                                 f'{INSTALL}, or convert it to JPEG or PNG.')


@pytest.mark.parametrize('split', ['', 'train/'])
def test_folder_of_nothing_else_names_the_package(split, without_heic, tmp_path):
    root = tmp_path / 'photos'
    for folder in [f'{split}a', f'{split}b'] + (['test/a'] if split else []):
        write(root / folder / 'IMG_1.HEIC')
        write(root / folder / 'IMG_2.heif')
    with pytest.raises(InputError) as raised:
        load(root)
    n = 6 if split else 4
    assert f'all {n} pictures, such as IMG_1.HEIC, are in the format HEIC, which needs' in str(
        raised.value)
    assert INSTALL in str(raised.value)


def test_pictures_that_are_left_out_name_the_package(without_heic, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = classes(tmp_path / 'photos', 6)
    write(root / 'Blaumeise' / 'IMG_1.HEIC')
    left_out = load(root).left_out
    assert left_out == {f'HEIC pictures, which need {INSTALL}': 1}
    write(root / 'Dohle' / 'IMG_1.HEIC')
    with pytest.raises(InputError, match=f'Dohle: has no picture that can be used .*{INSTALL}: 1'):
        load(root)


def test_prediction_of_pictures_names_the_package(without_heic, finished_gap, tmp_path, capsys):
    write(tmp_path / 'new' / 'IMG_1.heic')
    assert f'HEIC pictures, which need {INSTALL}: 1' in fails(
        capsys, 'predict', finished_gap, tmp_path / 'new')


@pytest.fixture
def heic():
    """Writes HEICs."""
    if not pictures.READS_HEIC:
        pytest.skip('needs pi-heif')
    writer = pytest.importorskip('pillow_heif')

    def write_heic(path, image, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        writer.from_pillow(image).save(path, quality=-1, **options)
        return path
    return write_heic


def smooth(mode='RGB'):
    small = numpy.random.RandomState(0).randint(256, size=(3, 4, 3)).astype(numpy.uint8)
    return Image.fromarray(small).resize((80, 60), Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L'])
@pytest.mark.parametrize('name', ['a.heic', 'a.HEIF', 'a.jpg'])
def test_colours_are_those_of_the_picture(mode, name, heic, tmp_path):
    image = smooth(mode)
    path = heic(tmp_path / name, image)
    expected = numpy.asarray(image.convert('RGB'), int).transpose(2, 0, 1)
    assert numpy.abs(read_image(path) - expected).mean() < 3
    assert size_and_orientation(path) == ((60, 80), 1)


@pytest.mark.parametrize('upright', [False, True])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_pictures_are_upright(orientation, upright, heic, tmp_path):
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    path = heic(tmp_path / 'a.heic', smooth(), exif=exif.tobytes())
    turn = pictures.TURNS.get(orientation)
    image = smooth().transpose(turn) if turn is not None else smooth()
    expected = numpy.asarray(image, int).transpose(2, 0, 1)
    read = read_image(path, upright)
    assert read.shape == expected.shape and numpy.abs(read - expected).mean() < 3
    assert size_and_orientation(path) == (expected.shape[1:], 1)


def test_damaged_files_get_a_sentence(heic, tmp_path):
    content = heic(tmp_path / 'a.heic', smooth()).read_bytes()
    for damaged in content[:len(content) // 2], content[:40], HEADER:
        with pytest.raises(InputError, match='is not a complete image'):
            read_image(write(tmp_path / 'a.heic', damaged))


def test_runs_train_on_them(heic, tmp_path, write_config):
    root = tmp_path / 'photos'
    for kind in 'ab':
        for i in range(4):
            heic(root / kind / f'IMG_{i}.HEIC', Image.open(picture(tmp_path / 'x.png', seed=i)))
    config = write_config(data={'dataset': 'folder', 'root': str(root), 'parts': 'GLOBAL'},
                          model={'encoding': 'gap'}, training={'epochs': 1})
    assert run('doctor', config) == run('train', config) == 0
