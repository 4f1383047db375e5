import numpy
import pytest

from finetune.config.settings import Data
from finetune.data import readers, annotation_files
from finetune.errors import InputError

FILES = {
    'images.txt': '1 001.Wren/a b.jpg\n2 002.Jay/c.jpg\n\n3 001.Wren/d.jpg\n',
    'image_class_labels.txt': '1 1\n2 2\n3 1\n',
    'train_test_split.txt': '1 1\n2 0\n3 1\n',
    'classes.txt': '1 001.Wren\n2 002.Jay\n',
    'parts/parts.txt': '1 back\n2 left eye\n',
    'parts/part_locs.txt':
        '1 1 312.0 182.5 1\n1 2 0.0 0.0 0\n3 1 5 6 1\n3 2 7 8 1\n2 1 0 0 0\n2 2 0 0 0\n'}


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'parts').mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding='utf-8')
    return tmp_path


def test_records(root):
    data_set = annotation_files.read_cub(str(root))
    assert data_set.class_names == ['001.Wren', '002.Jay']
    assert data_set.part_names == ['back', 'left eye']
    assert [(r.image_id, r.label) for r in data_set.train] == [('1', 0), ('3', 0)]
    assert [(r.image_id, r.label) for r in data_set.test] == [('2', 1)]
    first, third = data_set.train
    assert first.path == root / 'images' / '001.Wren' / 'a b.jpg'
    numpy.testing.assert_array_equal(first.locations, [(182.5, 312), (0, 0)])
    assert first.locations.dtype == numpy.float32
    assert first.visible.tolist() == [True, False] and first.visible.dtype == bool
    numpy.testing.assert_array_equal(third.locations, [(6, 5), (8, 7)])


def test_image_without_visible_parts_is_fine(root):
    assert not annotation_files.read_cub(root).test[0].visible.any()


@pytest.mark.parametrize('line_end', ['\r\n', '  \n', '\n\n'])
def test_line_ends_and_blank_lines(root, line_end):
    for name, text in FILES.items():
        (root / name).write_bytes(text.replace('\n', line_end).encode())
    data_set = annotation_files.read_cub(root)
    assert data_set.part_names == ['back', 'left eye'] and len(data_set.train) == 2


@pytest.mark.parametrize('name, old, new, line, problem', [
    ('images.txt', '2 002.Jay/c.jpg', '2', 2, '1 columns instead of 2'),
    ('images.txt', '2 002.Jay', '1 002.Jay', 2, 'id 1 is listed twice'),
    ('images.txt', '3 001.Wren/d.jpg\n', '', 3, 'no image 3 in images.txt'),
    ('image_class_labels.txt', '2 2', '2 2 2', 2, '3 columns instead of 2'),
    ('image_class_labels.txt', '3 1', '2 1', 3, 'image 2 is listed twice'),
    ('image_class_labels.txt', '3 1', '9 1', 3, 'no image 9 in images.txt'),
    ('image_class_labels.txt', '3 1', '3 7', 3, 'no class 7 in classes.txt'),
    ('image_class_labels.txt', '3 1\n', '', None, 'image 3 of images.txt is missing'),
    ('image_class_labels.txt', '2 2', '2 1', 2, 'class 2 (002.Jay) has no image'),
    ('train_test_split.txt', '3 1', '3 2', 3, "'2' is not 0 or 1"),
    ('classes.txt', '2 002.Jay', '1 002.Jay', 2, 'id 1 is listed twice'),
    ('parts/parts.txt', '2 left eye', '1 left eye', 2, 'id 1 is listed twice'),
    ('parts/part_locs.txt', '3 1 5 6 1', '3 1 5 6', 3, '4 columns instead of 5'),
    ('parts/part_locs.txt', '3 1 5 6 1', '3 1 5 six 1', 3, "'six' is not a number"),
    ('parts/part_locs.txt', '3 1 5 6 1', '3 1 5 nan 1', 3, "'nan' is not a number"),
    ('parts/part_locs.txt', '3 1 5 6 1', '3 1 5 6 0.5', 3, "'0.5' is not 0 or 1"),
    ('parts/part_locs.txt', '3 1 5 6 1', '8 1 5 6 1', 3, 'no image 8 in images.txt'),
    ('parts/part_locs.txt', '3 1 5 6 1', '3 9 5 6 1', 3, 'no part 9 in parts.txt'),
    ('parts/part_locs.txt', '3 1 5 6 1', '3 2 5 6 1', 4, 'part 2 of image 3 is listed twice'),
    ('parts/part_locs.txt', '3 1 5 6 1\n', '', None, 'part 1 of image 3 is missing'),
    ('classes.txt', FILES['classes.txt'], '\n', None, 'is empty'),
])
def test_bad_line(root, name, old, new, line, problem):
    assert old in FILES[name]
    (root / name).write_text(FILES[name].replace(old, new, 1))
    with pytest.raises(InputError) as error:
        annotation_files.read_cub(root)
    assert problem in str(error.value)
    assert '.txt' in str(error.value) and '; ' in str(error.value)     # the file; what to do
    assert (f'line {line}:' in str(error.value)) if line else ('line' not in problem)


@pytest.mark.parametrize('name', list(FILES))
def test_missing_file(root, name):
    (root / name).unlink()
    with pytest.raises(InputError, match=f'{name}: there is no such file; get it from .*caltech'):
        readers.load(Data(root=str(root)))


def test_not_utf8(root):
    (root / 'classes.txt').write_bytes(b'1 001.Wren\n2 002.H\xe4her\n')
    with pytest.raises(InputError, match='classes.txt, line 2: is not UTF-8'):
        annotation_files.read_cub(root)


def test_byte_order_marks_are_read_away(root):
    expected = annotation_files.read_cub(root)
    for path in root.rglob('*.txt'):
        path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    assert [record.image_id for record in annotation_files.read_cub(root).train] == [
        record.image_id for record in expected.train]
    assert annotation_files.read_cub(root).class_names == expected.class_names
