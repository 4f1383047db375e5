"""Pictures of one's own: class folders, tables, and what is wrong with them."""
import os
from pathlib import Path

import numpy
from numpy.testing import assert_array_equal
from PIL import Image
import pytest

import conftest
from conftest import examples
from finetune import cli
from finetune.config.settings import Config, Data
from finetune.data import readers
from finetune.data import pictures, splits, transforms
from finetune.errors import InputError
from finetune.parts.tiles import tile_boxes

NAMES = ['Blaumeise', 'Kohlmeise', 'Weißstorch groß']


def picture(path, size=(40, 30), seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = numpy.random.RandomState(seed)
    Image.fromarray(random.randint(256, size=(*size, 3)).astype(numpy.uint8)).save(path, **options)
    return path


def classes(root, n=10, names=NAMES, first=0):
    for k, name in enumerate(names, first):
        for i in range(n):
            picture(root / name / f'{i:02d} käfer.png', seed=100 * k + i)
    return root


def load(root, **settings):
    return conftest.load(Data(dataset='folder', root=str(root), parts='GLOBAL', **settings))


def ids(records):
    return [record.image_id for record in records]


def test_class_folders_are_split(tmp_path):
    data_set = load(classes(tmp_path / 'photos', 20))
    assert data_set.class_names == NAMES and data_set.part_names == []
    assert len(data_set.train + data_set.test) == 60
    for split, n in ((data_set.train, 14), (data_set.test, 6)):
        deviation = numpy.sqrt(20 * .3 * .7)
        assert (numpy.abs(numpy.bincount(split.labels) - n) < 3 * deviation).all()
        assert all(record.path.is_file() and NAMES[record.label] == record.path.parent.name
                   for record in split)
    assert not set(ids(data_set.train)) & set(ids(data_set.test))
    assert all(' ' not in image_id for image_id in ids(data_set.train))


def test_the_split_depends_on_its_seed_and_share_alone(tmp_path):
    root = classes(tmp_path / 'photos')
    before = ids(load(root).test)
    assert ids(load(root).test) == before != ids(load(root, split_seed=1).test)
    assert set(before) < set(ids(load(root, test_share=.6).test))
    classes(root, 4, ['Amsel'], first=3)
    assert [image_id for image_id in ids(load(root).test) if 'Amsel' not in image_id] == before


def test_one_picture_of_a_class_is_for_training(tmp_path):
    root = classes(tmp_path / 'photos')
    picture(root / 'Amsel' / 'a.jpg')
    data_set = load(root, test_share=.99)
    assert [record.label for record in data_set.train].count(0) == 1
    assert 0 not in [record.label for record in data_set.test]
    *_, told = readers.describe(Config(data=Data(dataset='folder', root=str(root))), data_set)
    assert told == f'{root}: class Amsel has no test image'


@pytest.mark.parametrize('test', ['test', 'val'])
def test_folders_of_splits(test, tmp_path):
    root = tmp_path / 'photos'
    classes(root / 'train', 4)
    classes(root / test, 2, NAMES[:2])
    data_set = load(root)
    assert data_set.class_names == NAMES
    assert (len(data_set.train), len(data_set.test)) == (12, 4)
    assert all(record.path.parts[-3] == test for record in data_set.test)
    (root / 'CS_parts' / '.work').mkdir(parents=True)       # of parts that are being found
    (root / 'extra').mkdir()
    assert load(root).left_out == {f'folders beside train and {test}': 1}


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
    assert data_set.left_out == {'files of another kind (.txt)': 1, 'hidden files and folders': 2}


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
    rows = ''.join(f'{picture(tmp_path / f"{i}.png", seed=i).name},{"ab"[i % 2]}\n'
                   for i in range(20))
    data_set = load(table(tmp_path / 'list.csv', 'path,class\n' + rows))
    assert len(data_set.train) + len(data_set.test) == 20 and len(data_set.test)


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
    for name in 'ac':
        picture(tmp_path / f'{name}.png')
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
    stored, upright = (pictures.read_image(turned, flag) for flag in (False, True))
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
    data_set = load('photos')
    found = (f'photos: 3 classes, {len(data_set.train)} training and {len(data_set.test)} test '
             'images\n')
    assert found in printed and 'left out: files of another kind (.txt): 1' in printed
    assert '4 parts, 100 % of them visible' in printed
    assert cli.main(['train', config]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(found) and 'test accuracy' in printed


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
    assert '1 class has a single picture, the first is Amsel' in printed
    assert 'there are no copies' not in printed
    assert ('6 training images have a copy in the test images, such as photos/train/Blaumeise/'
            '00 käfer.png (class Blaumeise) and photos/test/Blaumeise/00 käfer.png (class '
            'Blaumeise), so accuracies are too high') in printed
    smooth = Image.fromarray(numpy.random.RandomState(0).randint(256, size=(4, 5, 3)).astype('u1'))
    for size, name in (((80, 60), 'train/Blaumeise/x.png'), ((60, 45), 'test/Blaumeise/y.jpg')):
        smooth.resize(size, Image.BICUBIC).save(root / name)
    for kind, names in (('Blaumeise', ('copy.png',)), (NAMES[1], ('wrong.png', 'wrong 2.png'))):
        for name in names:
            picture(root / 'train' / kind / name, seed=3)       # Blaumeise/03 käfer.png
    printed = doctor(write_config, capsys)[1]
    assert ('1 training image has a near copy in the test images, such as photos/train/Blaumeise/'
            'x.png (class Blaumeise) and photos/test/Blaumeise/y.jpg (class Blaumeise), so '
            'accuracies') in printed
    assert ('1 picture has a copy in another class, such as photos/train/Blaumeise/03 käfer.png '
            '(class Blaumeise) and photos/train/Kohlmeise/wrong.png (class Kohlmeise); remove the '
            'one whose class is wrong') in printed
    picture(root / 'train' / NAMES[2] / 'same.png', seed=203)
    assert '1 picture has a copy in the same class, such as ' in doctor(write_config, capsys)[1]
    (root / 'train' / NAMES[1] / '00 käfer.png').write_bytes(b'\x89PNG')
    code, printed = doctor(write_config, capsys)
    assert code == 2
    assert '1 picture cannot be read: photos/train/Kohlmeise/00 käfer.png; copy' in printed


def sides(data_set):
    return {record.image_id: split for split in ('train', 'test')
            for record in getattr(data_set, split)}


@pytest.mark.parametrize('n', [1, 10, 100])
def test_more_pictures_move_none(n, tmp_path, monkeypatch):
    for i in range(1000):
        path = tmp_path / 'photos' / 'abcde'[i % 5] / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'%d' % i)         # a split only looks at names and bytes
    before = sides(load(tmp_path / 'photos', test_share=.2))
    n_test = list(before.values()).count('test')
    assert abs(n_test - 200) <= 2 * numpy.sqrt(1000 * .2 * .8)
    for i in range(n):
        (tmp_path / f'photos/{"aecbd"[i % 5]}/new {i}.png').write_bytes(b'new %d' % i)
    with_more = sides(load(tmp_path / 'photos', test_share=.2))
    assert len(with_more) == 1000 + n
    assert {name: with_more[name] for name in before} == before
    for i in range(0, 1000, 3):
        next(tmp_path.rglob(f'photos/*/{i}.png')).unlink()
    with_fewer = sides(load(tmp_path / 'photos', test_share=.2))
    assert with_fewer == {name: with_more[name] for name in with_fewer}


def test_copies_are_on_one_side(tmp_path):
    root = classes(tmp_path / 'photos', 20)
    before = sides(load(root))
    for path in list(root.rglob('1*.png')):
        (path.parent / f'{path.stem} copy.png').write_bytes(path.read_bytes())
    after = load(root)
    assert {name: side for name, side in sides(after).items() if name in before} == before
    by_contents = {}
    for split in 'train', 'test':
        for record in getattr(after, split):
            by_contents.setdefault(record.path.read_bytes(), set()).add(split)
    assert {len(found) for found in by_contents.values()} == {1}


def test_the_folds_of_own_pictures_hold_out_every_training_image_once(tmp_path):
    root = classes(tmp_path / 'photos', 20)
    held_out = [name for fold in range(5)
                for name in ids(load(root, split='validation', fold=fold).test)]
    assert sorted(held_out) == sorted(ids(load(root).train))


@pytest.mark.parametrize('n', [1, 2, 3, 5, 6, 24])
def test_folds_have_equal_numbers_of_each_class_and_leave_some_of_it(n):
    labels = numpy.repeat([0, 1, 2], n)
    names = [f'{i}.png' for i in range(3 * n)]
    folds = splits.balanced_folds(names, labels, [''] * 3 * n, [''] * 3 * n, 5, 'key')
    assert set(folds) == (set(range(min(5, 3 * n))) if n > 1 else {-1})
    if n > 1:
        assert numpy.ptp(numpy.bincount(folds, minlength=5)) <= 1
    for fold in range(5):
        assert set(numpy.bincount(labels[folds == fold], minlength=3)) <= {n // 5, -(-n // 5)}
        assert set(labels[folds != fold]) == {0, 1, 2}


def test_a_validation_split_needs_two_images_of_a_class(tmp_path):
    for split in 'train', 'test':
        classes(tmp_path / split, 1)
    with pytest.raises(InputError, match='of 3 training images none is held out'):
        load(tmp_path, split='validation')


LEVELS = {
    'Train/a Train/b Test/a Test/b': 'the folders Train and Test look like a split; rename',
    'training/a testing/a': 'the folders training and testing look like a split',
    'photos/a photos/b': 'has a single folder, photos, whose folders a, b look like classes; set '
                         'data.root to ROOT/photos',
    'train/photos/a train/photos/b test/photos/a': 'set data.root to ROOT/train/photos',
    '2020/a 2020/b 2021/a 2021/b': 'set data.root to one of them, such as ROOT/2020',
    '.': 'holds pictures, but no folder per class; if birds is a class, set data.root to',
}


@pytest.mark.parametrize('folders', LEVELS)
def test_folders_one_level_off_name_the_right_root(folders, tmp_path):
    root = tmp_path / 'birds'
    for k, name in enumerate(folders.split()):
        for i in range(3):
            picture(root / name / f'{i}.png', seed=10 * k + i)
    with pytest.raises(InputError) as raised:
        load(root)
    assert LEVELS[folders].replace('ROOT', str(root)) in str(raised.value)


def unusable(path, name):
    path.mkdir(parents=True)
    if name == 'links':
        (path.parents[1] / 'elsewhere').mkdir()
        picture(path.parents[1] / 'elsewhere' / 'x.png', seed=5)
        (path / 'link').symlink_to('../../elsewhere')
        (path / 'broken.png').symlink_to('nowhere.png')
    elif name != 'empty':
        (path / name).write_bytes(b'x')


@pytest.mark.parametrize('name, why', [
    ('empty', 'it is empty'), ('a.doc', 'files of another kind (.doc): 1'),
    ('picture', 'files of another kind (no ending): 1'), ('.a.png', 'hidden files and folders: 1'),
    ('links', 'links to folders: 1, links that lead nowhere: 1'), ('film.mpg', '(.mpg)'),
    ('features.h5', '(.h5)'), ('page.ps', '(.ps)'), ('Thumbs.db', 'of other programs')])
def test_a_class_without_usable_pictures_is_refused(name, why, tmp_path):
    root = classes(tmp_path / 'photos', 6)
    unusable(root / 'Dohle', name)
    with pytest.raises(InputError) as raised:
        load(root)
    assert str(raised.value).startswith(f'{root}/Dohle: has no picture that can be used (')
    assert why in str(raised.value)


def test_thumbnails_of_other_programs_are_left_out(tmp_path):
    root = classes(tmp_path / 'photos', 6)
    for k, name in enumerate(('@eaDir/x', '__MACOSX', 'lost+found', f'{NAMES[0]}/@eaDir/x',
                              f'{NAMES[0]}/thumbs')):
        picture(root / name / 'a.png', seed=500 + k)
    data_set = load(root)
    assert data_set.class_names == NAMES and len(data_set.train + data_set.test) == 18
    assert data_set.left_out == {'files and folders of other programs': 5}


def test_names_of_any_bytes_and_any_unicode_form(tmp_path):
    root = classes(tmp_path / 'photos', 8, ['a', 'b'])
    for k, name in enumerate((b'caf\xe9', 'käfer'.encode(), 'ka\u0308fer'.encode())):
        for i in range(6):
            picture(Path(os.fsdecode(os.fsencode(root) + b'/' + name), f'{k}{i}.png'),
                    seed=900 + 10 * k + i)
    data_set = load(root)
    assert data_set.class_names == ['a', 'b', os.fsdecode(b'caf\xe9'), 'käfer']
    records = data_set.train + data_set.test
    assert all(record.path.is_file() and record.image_id.isascii() for record in records)
    assert numpy.bincount(records.labels).tolist() == [8, 8, 6, 12]
    lines = ''.join(f'{os.path.relpath(path, tmp_path)},{"xy"[i % 2]}\n' for i, path in enumerate(
        sorted((root / 'ka\u0308fer').iterdir())))
    picture(tmp_path / 'z.png', seed=1)
    table(tmp_path / 'list.csv', 'path,class\n' + lines.replace('a\u0308', 'ä') + 'z.png,x\n')
    assert all(record.path.is_file() for record in load(tmp_path / 'list.csv').train)


def test_two_names_that_differ_in_their_form_alone_are_refused(tmp_path):
    root = classes(tmp_path / 'photos', 6)
    for k, name in enumerate(('ä.png', 'a\u0308.png')):
        picture(root / NAMES[0] / name, seed=700 + k)
    with pytest.raises(InputError, match='differ in nothing but the Unicode form'):
        load(root)


def test_missing_pictures_of_a_table_are_named_before_training(tmp_path):
    for i in range(6):
        picture(tmp_path / f'{i}.png', seed=i)
    rows = ''.join(f'{i}.png,a,{"train" if i % 2 else "test"}\n' for i in range(8))
    with pytest.raises(InputError, match='2 listed pictures do not exist, the first is 6.png'):
        load(table(tmp_path / 'list.csv', 'path,class,split\n' + rows))


def test_files_and_folders_that_may_not_be_read_are_left_out(tmp_path, monkeypatch):
    root = classes(tmp_path / 'photos', 6)
    picture(root / NAMES[0] / 'mine' / 'a.png', seed=600)
    access, scandir = os.access, os.scandir
    monkeypatch.setattr(os, 'access', lambda path, mode: (
        Path(path).name != '00 käfer.png' and access(path, mode)))

    def refuse(path):
        if Path(path).name == 'mine':
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)      # root may read everything
    assert load(root).left_out == {'files that may not be read': 3,
                                   'folders that may not be read': 1}


@pytest.mark.parametrize('name', ['parts/x.png', '.work/origin.yml', 'origin.yml'])
def test_folders_of_found_parts_are_no_classes_but_classes_may_have_a_folder_parts(name, tmp_path):
    root = classes(tmp_path / 'photos', 6)
    path = root / 'engine' / name
    path.parent.mkdir(parents=True)
    if path.suffix == '.png':
        picture(path, seed=999)
    else:
        path.write_text('x')
    assert ('engine' in load(root).class_names) == (path.suffix == '.png')


@pytest.mark.parametrize('train, test', [('training_set', 'test_set'), ('seg_train', 'seg_test'),
                                         ('train_images', 'val_images'), ('train1', 'test1')])
def test_words_of_splits(train, test, tmp_path):
    classes(tmp_path / train, 2)
    classes(tmp_path / test, 2, first=5)
    with pytest.raises(InputError, match=f'{train} and {test} look like a split'):
        load(tmp_path)


def test_classes_may_be_called_like_splits_if_they_have_pictures(tmp_path):
    root = classes(tmp_path / 'photos', 6, ['freight train', 'test tube'])
    assert load(root).class_names == ['freight train', 'test tube']


def test_folders_that_all_classes_have_are_named(tmp_path):
    for k, name in enumerate(('001', '002')):
        classes(tmp_path / name, 6, ['back', 'front'], first=2 * k)
    data_set = load(tmp_path)
    assert data_set.class_names == ['001', '002'] and data_set.left_out == {
        'names of folders that all classes have (back, front)': 2}


def test_links_that_are_no_classes(tmp_path):
    root = classes(tmp_path / 'photos', 6)
    (root / 'loop').symlink_to('.')
    (root / 'list.txt').symlink_to('nowhere')
    data_set = load(root)
    assert data_set.class_names == NAMES and data_set.left_out == {'links to folders': 1}
    (root / 'Dohle').symlink_to('/mnt/nowhere')
    with pytest.raises(InputError, match='photos/Dohle: is a link that leads nowhere; restore'):
        load(root)


def test_a_small_data_set_has_a_test_image(tmp_path):
    for seed in range(20):
        data_set = load(classes(tmp_path / 'photos', 2), test_share=.01, split_seed=seed)
        assert len(data_set.test) in (1, 2) and len(data_set.train + data_set.test) == 6


def test_equal_paths_of_a_table_are_equal_texts(tmp_path):
    for i in range(6):
        picture(tmp_path / 'a' / f'{i}.png', seed=i)
    forms = 'a/{}.png', './a/{}.png', f'{tmp_path}/a/{{}}.png'
    read = [ids((data_set := load(table(tmp_path / 'list.csv', 'path,class\n' + ''.join(
        f'{form.format(i)},x\n' for i in range(6))))).train + data_set.test) for form in forms]
    assert read[0] == read[1] == read[2]


def test_doctor_finds_pictures_that_are_almost_black(tmp_path, write_config, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classes(Path('photos'), 4)
    Image.fromarray(numpy.full((30, 30), 4095, numpy.uint16)).save(f'photos/{NAMES[0]}/a.png')
    code, printed = doctor(write_config, capsys)
    assert code == 0
    assert '1 picture is almost black, the first is photos/Blaumeise/a.png' in printed


def test_a_name_that_is_too_long_for_a_file(tmp_path):
    picture(tmp_path / 'a.png')
    with pytest.raises(InputError, match='1 listed picture does not exist'):
        load(table(tmp_path / 'list.csv', f'path,class\na.png,x\n{"l" * 300}.png,x\n'))
