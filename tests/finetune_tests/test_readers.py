"""The real data sets as they are distributed, their twins in the authors' layout, and GT2."""
import dataclasses
from pathlib import Path

import numpy
import pytest

from conftest import examples, load, parts_of
from finetune import cli
from finetune.config.settings import Config, Data
from finetune.data import annotation_files, pictures, transforms
from finetune.data.layout import find_layout
from finetune.data.minibirds import drawing
from finetune.errors import InputError
from finetune.parts.boxes import frame_boxes

import layouts

DATA_SETS = sorted(layouts.WRITERS)


@pytest.fixture
def data_set(drawn_birds):
    return annotation_files.read_cub(drawn_birds)


@pytest.fixture
def roots(data_set, drawn_birds, tmp_path):
    """Writes a miniature as it is distributed and in the authors' layout; returns both folders."""
    def write(dataset, kind='GT'):
        layouts.WRITERS[dataset](data_set, drawn_birds, tmp_path / dataset)
        there = load(Data(dataset=dataset, root=str(tmp_path / dataset)))
        boxes = None
        if kind == 'CS_PARTS':
            random = numpy.random.RandomState(0)
            boxes = {record.image_id: random.randint(60, 200, size=(4, 4))
                     for record in there.train + there.test}
        layouts.write_authors(there, tmp_path / 'authors', boxes)
        return tmp_path / dataset, tmp_path / 'authors'
    return write


def by_path(records):
    """Records by the last two parts of their path, which all layouts share."""
    return {record.path.parts[-2:]: record for record in records}


@pytest.mark.parametrize('dataset', DATA_SETS)
def test_both_layouts_give_the_same_records(dataset, roots):
    one, other = (load(Data(dataset=dataset, root=str(root)))
                  for root in roots(dataset))
    assert one.part_names == other.part_names and len(one.class_names) == 3
    for records, twins in ((one.train, other.train), (one.test, other.test)):
        records, twins = by_path(records), by_path(twins)
        assert records.keys() == twins.keys() and records
        for path, record in records.items():
            assert record.label == twins[path].label
            assert (record.visible == twins[path].visible).all()
            numpy.testing.assert_array_equal(record.locations[record.visible],
                                             twins[path].locations[record.visible])


@pytest.mark.parametrize('dataset', DATA_SETS)
def test_records_are_those_that_were_written(dataset, roots, data_set):
    distributed, _ = roots(dataset)
    read = load(Data(dataset=dataset, root=str(distributed)))
    names = layouts.NABIRDS_PARTS if dataset == 'nabirds' else {
        name: name.replace('_', ' ') for name in read.part_names}
    assert len(read.part_names) == {'cub200': 15, 'nabirds': 11, 'birdsnap': 17}[dataset]
    for records, expected in ((read.train, data_set.train), (read.test, data_set.test)):
        assert [record.label for record in records] == [record.label for record in expected]
        for record, original in zip(records, expected):
            assert record.path.read_bytes() == original.path.read_bytes()
            for i, name in enumerate(read.part_names):
                if names[name] not in data_set.part_names:     # the cheeks
                    assert not record.visible[i]
                    continue
                part = data_set.part_names.index(names[name])
                assert record.visible[i] == original.visible[part]
                if record.visible[i]:
                    assert abs(record.locations[i] - original.locations[part]).max() < (
                        1 if dataset == 'nabirds' else 1e-4)


def test_nabirds_leaves_out_classes_that_are_ancestors(roots):
    distributed, _ = roots('nabirds')
    read = load(Data(dataset='nabirds', root=str(distributed)))
    assert read.class_names == ['Snow Goose (White morph)', 'Wren', 'Jay']
    with pytest.raises(InputError, match=r'classes.txt, line 1: class 0 \(Birds\) has no image'):
        load(Data(dataset='cub200', root=str(distributed)))


@pytest.mark.parametrize('folder', ['images', 'download/images'])
def test_birdsnap_counts_missing_downloads(folder, data_set, drawn_birds, tmp_path):
    layouts.write_birdsnap(data_set, drawn_birds, tmp_path / 'b', folder, missing=(0, 5, 13))
    read = load(Data(dataset='birdsnap', root=str(tmp_path / 'b')))
    assert read.left_out == {'listed images that do not exist': 3}
    assert (len(read.train), len(read.test)) == (10, 5)
    assert all(record.path.exists() for record in read.train + read.test)


def test_folder_of_annotations_goes_by_the_kind_of_parts(tmp_path, data_set):
    boxes = {record.image_id: [(1, 2, 30, 40)] for record in data_set.train + data_set.test}
    layouts.write_authors(data_set, tmp_path / 'ORIGINAL')
    layouts.write_authors(data_set, tmp_path / 'CS_parts', boxes)
    settings = {kind: Data(root=str(tmp_path), parts=kind)
                for kind in ('GLOBAL', 'GT', 'GT2', 'CS_PARTS')}
    assert {kind: find_layout(Config(data=one)).parts.name for kind, one in settings.items()} == {
        'GLOBAL': 'ORIGINAL', 'GT': 'ORIGINAL', 'GT2': 'ORIGINAL', 'CS_PARTS': 'CS_parts'}
    assert load(settings['CS_PARTS']).part_names == ['part 1']
    assert load(settings['GT2']).part_names == ['head', 'body', 'tail', 'legs']
    (tmp_path / 'GT_regrouped').mkdir()
    assert find_layout(Config(data=settings['GT2'])).parts.name == 'GT_regrouped'


MEMBERS = {     # by hand, from the names
    'cub200': {'head': 'beak crown forehead left_eye nape right_eye throat',
               'body': 'back belly breast left_wing right_wing', 'tail': 'tail',
               'legs': 'left_leg right_leg'},
    'nabirds': {'head': 'bill crown nape left-eye right-eye',
                'body': 'belly breast back left-wing right-wing', 'tail': 'tail'},
    'birdsnap': {'head': 'beak crown forehead left_cheek left_eye nape right_cheek right_eye '
                         'throat',
                 'body': 'back belly breast left_wing right_wing', 'tail': 'tail',
                 'legs': 'left_leg right_leg'}}


@pytest.mark.parametrize('dataset', DATA_SETS)
def test_gt2_is_the_mean_of_the_visible_parts_of_a_group(dataset, roots):
    distributed, authors = roots(dataset)
    for root in (distributed, authors):
        before, after = (load(Data(dataset=dataset, root=str(root), parts=kind))
                         for kind in ('GT', 'GT2'))
        assert after.part_names == list(MEMBERS[dataset])
        names = [name.replace(' ', '_') for name in before.part_names]
        for one, other in zip(before.train + before.test, after.train + after.test):
            for i, members in enumerate(MEMBERS[dataset].values()):
                numbers = [names.index(name) for name in members.split()]
                visible = [j for j in numbers if one.visible[j]]
                assert other.visible[i] == bool(visible)
                if visible:
                    numpy.testing.assert_allclose(
                        other.locations[i], sum(one.locations[j] for j in visible) / len(visible),
                        rtol=1e-6)


def test_gt2_needs_birds(tmp_path, data_set):
    data_set.part_names[3] = 'wheel'
    layouts.write_authors(data_set, tmp_path / 'cars')
    with pytest.raises(InputError, match="parts of birds, but a part is named 'wheel'"):
        load(Data(root=str(tmp_path / 'cars'), parts='GT2'))


def test_boxes_of_the_authors_frame():
    """(x, y, width, height) = (10, 20, 100, 90) of 427 in 200 x 150 is (28, 7, 35, 31)."""
    box = numpy.array([(20, 10, 110, 110)], 'f')
    assert frame_boxes(box, (150, 200), 427, 'crop').tolist() == [[7, 28, 38, 63]]
    # squashed: x and width times 200 / 427, y and height times 150 / 427
    assert frame_boxes(box, (150, 200), 427, 'squash').tolist() == [[7, 4, 38, 50]]
    assert frame_boxes(box, (150, 200), 0, 'crop').tolist() == [[20, 10, 110, 110]]
    assert frame_boxes(box[:0], (150, 200), 427, 'crop').shape == (0, 4)


def test_hidden_boxes(tmp_path, data_set):
    boxes = {record.image_id: [(-1, -1, -1, -1), (1.5, 2, 30, 40)]
             for record in data_set.train + data_set.test}
    layouts.write_authors(data_set, tmp_path / 'cs', boxes)
    read = load(Data(root=str(tmp_path / 'cs'), parts='CS_PARTS'))
    record = read.train[0]
    assert record.visible.tolist() == [False, True]
    assert record.locations[1].tolist() == [2, 1.5, 42, 31.5]
    made = parts_of(Data(parts='CS_PARTS', box_frame=0)).boxes(
        record.locations, record.visible, (100, 200))
    assert made.tolist() == [[35, 69, 66, 131], [2, 1, 42, 31]]     # 0.31 of the image, centred


def test_crops_of_boxes_are_cut_from_the_image_as_it_is_on_disk(tmp_path, data_set):
    boxes = {record.image_id: [(-1, -1, -1, -1), (100, 50, 200, 150)]
             for record in data_set.train + data_set.test}
    layouts.write_authors(data_set, tmp_path / 'cs', boxes)
    settings = Data(root=str(tmp_path / 'cs'), parts='CS_PARTS', part_input_size=32)
    records = load(settings).train
    _, crops, visible, _ = examples(records, settings, train=False, seed=0)[2]
    image = pictures.read_image(records[2].path)
    assert image.shape == (3, 48, 48) and visible.tolist() == [False, True]
    # times 48 / 427: x 11.2, y 5.6, width 22.5, height 16.9
    assert (crops[0] == transforms.test_transform(image[:, 5:21, 11:33], 32)).all()


@pytest.mark.parametrize('kind', ['GLOBAL', 'GT', 'GT2', 'CS_PARTS'])
@pytest.mark.parametrize('dataset', DATA_SETS)
def test_trains_through_the_command_line(dataset, kind, roots, write_config):
    distributed, authors = roots(dataset, kind)
    encoding = 'gap' if kind == 'GLOBAL' else 'fve'
    for name, root in (('distributed', distributed), ('authors', authors)):
        if kind in ('GT', 'GT2') and name == 'authors':
            continue        # the same records, see above
        if kind == 'CS_PARTS' and name == 'distributed':
            continue        # has no boxes
        path = write_config(f'{name}.yml', data={'dataset': dataset, 'root': str(root),
                                                 'parts': kind}, model={'encoding': encoding})
        assert cli.main(['train', path]) == 0
        assert (Path('results') / name / 'seed0' / 'evaluation.yml').exists()


@pytest.mark.parametrize('kind, other, has', [
    ('CS_PARTS', 'GT', 'points'), ('GT', 'CS_PARTS', 'boxes'), ('GT2', 'CS_PARTS', 'boxes')])
def test_parts_of_another_kind(kind, other, has, roots):
    _, authors = roots('cub200', other)
    with pytest.raises(InputError, match=f'part_locs.txt: has {has}, but data.parts {kind} needs'):
        load(Data(root=str(authors), parts=kind))


def test_no_parts_at_all(roots):
    _, authors = roots('cub200')
    for name in ('parts.txt', 'part_locs.txt'):
        (authors / 'parts' / name).unlink()
    assert load(Data(root=str(authors), parts='GLOBAL')).part_names == []
    with pytest.raises(InputError, match='part_locs.txt: there is no such file; set data.root'):
        load(Data(root=str(authors), parts='GT'))


@pytest.mark.parametrize('dataset, source', [
    ('cub200', 'caltech'), ('nabirds', 'allaboutbirds'), ('birdsnap', 'thomasberg')])
def test_missing_root_says_where_to_get_the_data(dataset, source, tmp_path):
    with pytest.raises(InputError, match=f'nowhere: there is no such folder; get it .*{source}'):
        load(Data(dataset=dataset, root=str(tmp_path / 'nowhere')))


BROKEN_AUTHORS = [
    ('labels.txt', lambda text: text.replace('5', 'five', 1), "'five' is not a whole number"),
    ('labels.txt', lambda text: text.split('\n', 1)[1], 'has 17 lines, but images.txt has 18'),
    ('labels.txt', lambda text: text.replace('5', '5 5', 1), 'has 2 columns instead of 1'),
    ('tr_ID.txt', lambda text: text.replace('1', 'x', 1), "'x' is not a whole number"),
    ('tr_ID.txt', lambda text: text.replace('0', '1'), 'has no test image'),
    ('images.txt', lambda text: text.replace('u1 ', 'u0 ', 1), 'line 2: id u0 is listed twice'),
    ('parts/part_locs.txt', lambda text: text.replace('u0 2 ', 'u0 1 ', 1),
     'line 2: part 1 of image u0 is listed twice'),
]
BROKEN_BOXES = [
    ('1 2 3', '6 columns'), ('1 2 3 x', "line 1: 'x' is not a number"),
    ('1 2 0 4', 'line 1: the box is 0 x 4 pixels'), ('1 2 3 -4', 'the box is 3 x -4 pixels'),
    ('1 2 nan 4', "'nan' is not a number"), ('-1 -1 -1 4', 'the box is -1 x 4 pixels'),
]
BROKEN_BIRDSNAP = [
    ('images.txt', 'species_id', 'species', 'line 1: there is no column species_id'),
    ('images.txt', 'path\t', 'file\t', 'line 1: there is no column path'),
    ('images.txt', 'Species_1/0.png\t1', 'Species_1/0.png\t9', 'line 2: there is no species 9'),
    ('images.txt', 'Species_1/1.png', 'Species_1/0.png', 'line 3: image Species_1/0.png is listed'),
    ('images.txt', '\t45\t', '\t45\tx\t', 'line 2: has 43 columns instead of 42'),
    ('species.txt', '2\tSpecies 2', '1\tSpecies 2', 'line 3: id 1 is listed twice'),
    ('species.txt', 'id\tcommon', 'common', 'line 1: there is no column id'),
    ('test_images.txt', 'path\n', 'path\nnone.jpg\n', 'there is no image none.jpg in images.txt'),
]


@pytest.mark.parametrize('name, change, problem', BROKEN_AUTHORS)
def test_broken_authors_layout(name, change, problem, roots):
    _, authors = roots('cub200')
    path = authors / name
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError) as error:
        load(Data(root=str(authors)))
    assert problem in str(error.value) and name in str(error.value) and '; ' in str(error.value)


@pytest.mark.parametrize('box, problem', BROKEN_BOXES)
def test_broken_boxes(box, problem, roots):
    _, authors = roots('cub200', 'CS_PARTS')
    path = authors / 'parts' / 'part_locs.txt'
    first, rest = path.read_text().split('\n', 1)
    if problem == '6 columns':
        path.write_text(f'{first}\nu0 2 {box}\n{rest.split(chr(10), 1)[1]}')
        problem = 'line 2: has 5 columns instead of 6'
    else:
        path.write_text(f'u0 1 {box}\n{rest}')
    with pytest.raises(InputError) as error:
        load(Data(root=str(authors), parts='CS_PARTS'))
    assert problem in str(error.value) and 'part_locs.txt' in str(error.value)


@pytest.mark.parametrize('name, old, new, problem', BROKEN_BIRDSNAP)
def test_broken_birdsnap(name, old, new, problem, roots):
    distributed, _ = roots('birdsnap')
    path = distributed / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        load(Data(dataset='birdsnap', root=str(distributed)))
    assert problem in str(error.value) and name in str(error.value) and '; ' in str(error.value)


def test_birdsnap_without_images(roots):
    distributed, _ = roots('birdsnap')
    (distributed / 'download').rename(distributed / 'elsewhere')
    with pytest.raises(InputError, match='neither images/ nor download/images/; run get_birdsnap'):
        load(Data(dataset='birdsnap', root=str(distributed)))


def test_birdsnap_coordinate_that_is_no_number(roots):
    distributed, _ = roots('birdsnap')
    path = distributed / 'images.txt'
    header, first, rest = path.read_text().split('\n', 2)
    fields = first.split('\t')
    place = next(i for i, field in enumerate(fields[8:], 8) if field)
    fields[place] = 'here'
    path.write_text('\n'.join((header, '\t'.join(fields), rest)))
    with pytest.raises(InputError, match="images.txt, line 2: 'here' is not a number"):
        load(Data(dataset='birdsnap', root=str(distributed)))


def test_validation_split_looks_at_no_test_image(tmp_path):
    drawing.prepare(tmp_path / 'birds', n_species=3, n_train=11, n_test=4, size=48)
    settings = Data(dataset='cub200', root=str(tmp_path / 'birds'))
    whole = load(settings)
    validation = load(dataclasses.replace(settings, split='validation'))
    ids = [[record.image_id for record in records]
           for records in (whole.train, validation.train, validation.test)]
    assert sorted(ids[1] + ids[2]) == sorted(ids[0])
    assert [record.label for record in validation.test] == [0, 0, 1, 1, 2, 2]


def test_the_folds_hold_out_every_training_image_once(tmp_path):
    drawing.prepare(tmp_path / 'birds', n_species=3, n_train=11, n_test=4, size=48)
    settings = Data(dataset='cub200', root=str(tmp_path / 'birds'))
    folds = [load(dataclasses.replace(settings, split='validation', fold=i)) for i in range(5)]
    held_out = [name for fold in folds for name in fold.test.image_ids]
    assert sorted(held_out) == sorted(load(settings).train.image_ids)
    assert all(len(fold.train) + len(fold.test) == 33 for fold in folds)


@pytest.mark.parametrize('split, n_all', [('', 11), ('validation', 9)])
def test_first_training_images_of_each_class(split, n_all, tmp_path):
    drawing.prepare(tmp_path / 'birds', n_species=3, n_train=11, n_test=4, size=48)
    settings = Data(dataset='cub200', root=str(tmp_path / 'birds'), split=split)
    whole = load(settings)
    first = load(dataclasses.replace(settings, train_per_class=4))
    names, labels = whole.train.image_ids, whole.train.labels
    assert first.train.image_ids == [name for i in range(3) for name in [
        name for name, label in zip(names, labels) if label == i][:4]]
    assert first.test.image_ids == whole.test.image_ids
    more = load(dataclasses.replace(settings, train_per_class=99))
    assert len(more.train) == 3 * n_all


@pytest.mark.parametrize('parts', ['GT', 'GRID'])
def test_first_parts(parts, drawn_birds):
    settings = Data(dataset='cub200', root=str(drawn_birds), parts=parts)
    whole = load(settings)
    first = load(dataclasses.replace(settings, n_parts=3))
    assert first.part_names == whole.part_names[:3] and len(whole.part_names) > 3
    for few, many in ((first.train, whole.train), (first.test, whole.test)):
        assert (few.locations == many.locations[:, :3]).all() and len(few) == len(many)
        assert (few.visible == many.visible[:, :3]).all()
    more = load(dataclasses.replace(settings, n_parts=99))
    assert more.part_names == whole.part_names


def test_too_few_images_for_a_validation_split(drawn_birds):
    with pytest.raises(InputError, match='of 12 training images none is held out'):
        load(Data(dataset='cub200', root=str(drawn_birds), split='validation'))


def test_drawn_data_has_its_own_annotations_alone(tmp_path):
    root, drawing_options = tmp_path / 'birds', {'n_species': 2, 'n_train': 3, 'n_test': 1}
    settings = Data(dataset='minibirds', root=str(root), drawing=drawing_options,
                           parts='GT2')
    names = load(settings).part_names
    (root / 'GT_regrouped').mkdir()
    assert load(settings).part_names == names
    for problem in ('has points, but .* needs boxes', 'there is no such file'):
        with pytest.raises(InputError, match=(
                f'{problem}; set detector.cnn to .*starts(, or data.parts to GLOBAL)?\\.$')):
            load(dataclasses.replace(settings, parts='CS_PARTS'))
        (root / 'CS_parts').mkdir(exist_ok=True)
