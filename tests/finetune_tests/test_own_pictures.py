"""Pictures of one's own: class folders, tables, and what is wrong with them."""
from pathlib import Path

import numpy
from numpy.testing import assert_array_equal
from PIL import Image
import pytest

import conftest
from conftest import examples
from finetune import cli
from finetune.config.settings import Data
from finetune.data import transforms
from finetune.errors import InputError
from finetune.parts.tiles import tile_boxes

NAMES = ['Blaumeise', 'Kohlmeise', 'Weißstorch groß']


def picture(path, size=(40, 30), seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = numpy.random.RandomState(seed)
    Image.fromarray(random.randint(256, size=(*size, 3)).astype(numpy.uint8)).save(path, **options)
    return path


def classes(root, n=10, names=NAMES):
    for k, name in enumerate(names):
        for i in range(n):
            picture(root / name / f'{i:02d} käfer.png', seed=100 * k + i)
    return root


def load(root, **settings):
    return conftest.load(Data(dataset='folder', root=str(root), parts='GLOBAL', **settings))


def ids(records):
    return [record.image_id for record in records]


def test_class_folders_are_split_class_by_class(tmp_path):
    data_set = load(classes(tmp_path / 'photos'))
    assert data_set.class_names == NAMES and data_set.part_names == []
    for split, n in ((data_set.train, 7), (data_set.test, 3)):
        assert_array_equal(numpy.bincount([record.label for record in split]), [n] * 3)
        assert all(record.path.is_file() and NAMES[record.label] == record.path.parent.name
                   for record in split)
    assert not set(ids(data_set.train)) & set(ids(data_set.test))
    assert all(' ' not in image_id for image_id in ids(data_set.train))


def test_the_split_depends_on_its_seed_and_share_alone(tmp_path):
    root = classes(tmp_path / 'photos')
    before = ids(load(root).test)
    assert ids(load(root).test) == before != ids(load(root, split_seed=1).test)
    assert len(load(root, test_share=.5).test) == 15
    classes(root, 4, ['Amsel'])
    assert [image_id for image_id in ids(load(root).test) if 'Amsel' not in image_id] == before


def test_one_picture_of_a_class_is_for_training(tmp_path):
    root = classes(tmp_path / 'photos')
    picture(root / 'Amsel' / 'a.jpg')
    data_set = load(root, test_share=.99)
    assert [record.label for record in data_set.train].count(0) == 1
    assert 0 not in [record.label for record in data_set.test]


@pytest.mark.parametrize('test', ['test', 'val'])
def test_folders_of_splits(test, tmp_path):
    root = tmp_path / 'photos'
    classes(root / 'train', 4)
    classes(root / test, 2, NAMES[:2])
    data_set = load(root)
    assert data_set.class_names == NAMES
    assert (len(data_set.train), len(data_set.test)) == (12, 4)
    assert all(record.path.parts[-3] == test for record in data_set.test)


def test_what_is_not_a_picture_of_a_class_is_ignored(tmp_path):
    root = classes(tmp_path / 'photos', 3)
    picture(root / NAMES[0] / 'below' / 'a.JPG')
    for name in ('notes.txt', '.hidden.png', '.folder/a.png', 'CS_parts/parts/part_locs.txt',
                 'loose.txt', f'{NAMES[0]}/notes.txt'):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('x')
    data_set = load(root)
    assert data_set.class_names == NAMES and len(data_set.train + data_set.test) == 10
    assert data_set.n_ignored == 1


def table(path, text, **options):
    path.write_text(text, **{'encoding': 'utf-8', **options})
    return path


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_table_with_splits(encoding, tmp_path):
    for name in 'abcd':
        picture(tmp_path / f'{name}, 1.png')
    path = table(tmp_path / 'list.csv', 'split,path,class\ntrain,"a, 1.png",Käfer\n'
                 'train,"b, 1.png",Biene\ntest,"c, 1.png",Biene\nval,"d, 1.png",Käfer\n',
                 encoding=encoding)
    data_set = load(path)
    assert data_set.class_names == ['Biene', 'Käfer']
    assert [record.label for record in data_set.train] == [1, 0]
    assert [record.path.name for record in data_set.test] == ['c, 1.png', 'd, 1.png']
    assert ids(data_set.test) == ['c%2C%201.png', 'd%2C%201.png']


def test_table_without_splits(tmp_path):
    rows = ''.join(f'{i}.png,{"ab"[i % 2]}\n' for i in range(20))
    data_set = load(table(tmp_path / 'list.csv', 'path,class\n' + rows))
    assert (len(data_set.train), len(data_set.test)) == (14, 6)


BAD_TABLES = {
    'path\na.png\n': 'line 1: there is no column class',
    '': 'is empty; give a header with the columns path, class and optionally split',
    'path,class\na.png\n': 'line 2: has a different number of columns',
    'path,class\na.png,b,c\n': 'line 2: has a different number of columns',
    'path,class\na.png,\n': 'line 2: the path or the class is empty',
    'path,class\na.png,b\n\na.png,c\n': 'line 4: a.png is listed twice',
    'path,class,split\na.png,b,training\n': "line 2: 'training' is not one of train, test, val",
    'path,class\n"a.png,b\n': 'line 2: is not CSV (unexpected end of data); correct the quot',
    'path,class,split\na.png,b,train\nb.png,c,test\n': 'class c has test images, such as b',
    'Path,Class\na.png,b\n': 'line 1: there is no column path, only Path, Class; give a header',
    'path,class,class\na.png,b,c\n': 'line 1: there are two columns class; remove one of them',
    'path;class\na.png;b\n': 'line 1: the columns are separated by semicolons instead of commas',
    'path\tclass\na.png\tb\n': 'line 1: the columns are separated by tabs instead of commas',
    'path,class\na.png,"b"c\n': 'line 2: is not CSV',
    'path,class\na.p\0ng,b\n': 'is not text (it has a zero byte); save it as CSV in UTF-8',
    '\n\n': 'is empty; give a header',
    'path,class,split\na.png,b,train\n': 'has no test image',
    'path,class\na.png,b\n': 'has no test image',
}


@pytest.mark.parametrize('text', BAD_TABLES)
def test_bad_tables_get_a_sentence(text, tmp_path):
    with pytest.raises(InputError) as raised:
        load(table(tmp_path / 'list.csv', text))
    assert BAD_TABLES[text] in str(raised.value) and '\n' not in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / 'list.csv'))


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r', '\n\n'])
def test_header_with_blanks_and_any_line_ends(end, tmp_path):
    lines = ' path, class,split ,,', 'a.png, b ,train,,', '"c.png",b,test,,'
    data_set = load(table(tmp_path / 'list.csv', end.join(lines)))
    assert data_set.class_names == ['b'] and ids(data_set.test) == ['c.png']


def test_table_that_is_not_utf_8(tmp_path):
    (tmp_path / 'list.csv').write_bytes('path,class\na.png,b\n'.encode('utf-16'))
    with pytest.raises(InputError, match='is in UTF-16; save it as UTF-8'):
        load(tmp_path / 'list.csv')
    (tmp_path / 'list.csv').write_bytes(b'path,class\nK\xe4fer.png,b\n')
    with pytest.raises(InputError, match='is not text in UTF-8; save it as UTF-8'):
        load(tmp_path / 'list.csv')


def test_folders_without_pictures(tmp_path):
    with pytest.raises(InputError, match='there is no such folder; set data.root to the folder '
                       'that has one folder of pictures per class'):
        load(tmp_path / 'nothing')
    (tmp_path / 'a').mkdir()
    with pytest.raises(InputError, match='has no subfolder with pictures'):
        load(tmp_path)
    classes(tmp_path / 'train', 2)
    with pytest.raises(InputError, match='has a folder train, but not both train and test'):
        load(tmp_path)


def test_pictures_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6        # to be turned by 90 degrees
    root = classes(tmp_path / 'photos', 4, NAMES[:1])
    turned = picture(root / NAMES[0] / 'turned.png', exif=exif)
    stored, upright = (transforms.read_image(turned, flag) for flag in (False, True))
    assert_array_equal(upright, numpy.rot90(stored, -1, axes=(1, 2)))
    data_set = load(root)
    record, = (record for record in data_set.train + data_set.test if record.path == turned)
    data = Data(dataset='folder', parts='GRID', grid=[1, 1], input_size=24, part_input_size=24)
    tiled = record._replace(locations=numpy.zeros((1, 4), 'f'), visible=numpy.ones(1, bool))
    img, parts, *_ = examples([tiled], data, train=False, seed=0)[0]
    assert_array_equal(img, transforms.test_transform(upright, 24))
    assert_array_equal(parts[0], img)


@pytest.mark.parametrize('size, grid', [((40, 30), (2, 2)), ((41, 31), (3, 4)), ((5, 7), (1, 1))])
def test_tiles_cover_an_image_without_overlap(size, grid):
    boxes = tile_boxes(size, *grid)
    times = numpy.zeros(size, int)
    for y_min, x_min, y_max, x_max in boxes:
        times[y_min:y_max, x_min:x_max] += 1
    assert (times == 1).all() and len(boxes) == grid[0] * grid[1]
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (numpy.ptp(sides, axis=0) <= 1).all()


def test_tiles_of_a_tiny_image_have_pixels():
    boxes = tile_boxes((1, 2), 3, 3)
    assert (boxes[:, :2] < boxes[:, 2:]).all() and (boxes[:, :2] < (1, 2)).all()


def test_tiles_are_parts_of_every_data_set(birds):
    data_set = conftest.load(Data(root=str(birds), parts='GRID', grid=[1, 3]))
    assert data_set.part_names == ['tile 1,1', 'tile 1,2', 'tile 1,3']
    assert all(record.visible.all() for record in data_set.train + data_set.test)


def test_pictures_of_ones_own_from_the_command_line(tmp_path, write_config, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classes(Path('photos'), 6)
    (Path('photos') / NAMES[0] / 'notes.txt').write_text('x')
    data = {'dataset': 'folder', 'root': 'photos', 'parts': 'GRID', 'missing': 'mask'}
    config = write_config('own.yml', data=data, training={'epochs': 1})
    assert cli.main(['doctor', config]) == 0
    printed = capsys.readouterr().out
    assert 'photos: 3 classes, 12 training and 6 test images; 1 other files are ignored' in printed
    assert '4 parts, 100 % of them visible' in printed
    assert cli.main(['train', config]) == 0
    assert 'test accuracy' in capsys.readouterr().out


def doctor(write_config, capsys):
    config = write_config('own.yml', data={'dataset': 'folder', 'root': 'photos',
                                           'parts': 'GLOBAL'}, model={'encoding': 'gap'})
    capsys.readouterr()
    code = cli.main(['doctor', config])
    return code, capsys.readouterr().out


def test_doctor_finds_single_pictures_duplicates_and_unreadable_ones(
        tmp_path, write_config, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = classes(Path('photos/train'), 4).parent
    classes(root / 'test', 2)       # the same pictures by other names
    picture(root / 'train' / 'Amsel' / 'a.png', seed=999)
    code, printed = doctor(write_config, capsys)
    assert code == 0
    assert '1 classes have a single picture, the first is Amsel' in printed
    assert '6 pictures are in both training and test images' in printed
    (root / 'train' / NAMES[1] / '00 käfer.png').write_bytes(b'\x89PNG')
    code, printed = doctor(write_config, capsys)
    assert code == 2
    assert '1 pictures cannot be read, the first is photos/train/Kohlmeise/00 käfer.png' in printed
