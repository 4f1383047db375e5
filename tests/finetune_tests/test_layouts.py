"""Every layout of the real data sets gives the boxes that were worked out by hand.

Six images of 200 x 150 pixels. Of the points, the beak (100, 60), the crown (120, 40) and the tail
(30, 110) are visible; crops around points have int(0.31 * 200) = 62 x int(0.31 * 150) = 46 pixels.
"""
import dataclasses
import shutil

import numpy
from PIL import Image
import pytest

from conftest import examples, load
from finetune import cli
from finetune.config.settings import Config, Data
from finetune.data import annotation_files, pictures
from finetune.data.layout import find_layout
from finetune.errors import InputError
from finetune.parts.groups import GROUPS

import layouts

POINTS = {'beak': (100, 60), 'crown': (120, 40), 'tail': (30, 110)}     # (x, y)
NAMES = ['back', 'beak', 'belly', 'breast', 'crown', 'forehead', 'left eye', 'left leg',
         'left wing', 'nape', 'right eye', 'right leg', 'right wing', 'tail', 'throat']

# (y_min, x_min, y_max, x_max)
BEAK = [60 - 23, 100 - 31, 60 + 23, 100 + 31]
HEAD = [50 - 23, 110 - 31, 50 + 23, 110 + 31]           # the mean of beak and crown
REGROUPED = [70 - 23, 130 - 31, 70 + 23, 130 + 31]      # as GT_regrouped has it
# (x, y, width, height) = (10, 20, 100, 90) of 427 x 427 pixels, times 150 / 427, x plus 25
CS_PARTS = [7, 28, 7 + 31, 28 + 35]


@pytest.fixture
def cub(tmp_path):
    """CUB-200-2011 as distributed, at data/cub200: three classes, a training and a test image of
    each."""
    root, ids = tmp_path / 'data/cub200', range(1, 7)
    (root / 'images').mkdir(parents=True)
    for i in ids:
        path = root / 'images' / f'{(i + 1) // 2:03d}.Bird' / f'{i}.png'
        path.parent.mkdir(exist_ok=True)
        Image.new('RGB', (200, 150), (40 * i, 0, 0)).save(path)
    points = {name: f'{x}.0 {y}.0 1' for name, (x, y) in POINTS.items()}
    data_set = {
        'images.txt': (f'{i} {(i + 1) // 2:03d}.Bird/{i}.png' for i in ids),
        'image_class_labels.txt': (f'{i} {(i + 1) // 2}' for i in ids),
        'train_test_split.txt': (f'{i} {i % 2}' for i in ids),
        'classes.txt': (f'{i} {i:03d}.Bird' for i in (1, 2, 3)),
        'parts/parts.txt': (f'{i} {name}' for i, name in enumerate(NAMES, 1)),
        'parts/part_locs.txt': (f'{i} {part} {points.get(name, "0.0 0.0 0")}' for i in ids
                                for part, name in enumerate(NAMES, 1))}
    for name, lines in data_set.items():
        layouts.write_lines(root / name, lines)
    return root


def cs_parts(data_set, root, first=0):
    """CS_parts of the authors, parts.txt numbered from ``first``; every part has the same box."""
    layouts.write_authors(data_set, root / 'CS_parts', {
        record.image_id: 4 * [(10, 20, 100, 90)] for record in data_set.train + data_set.test})
    layouts.write_lines(root / 'CS_parts/parts/parts.txt',
                        (f'{i} Part_{i}' for i in range(first, first + 4)))


def regrouped(data_set, root):
    """GT_regrouped of the authors: the head is at (130, 70), the tail visible, too."""
    points = numpy.array([(70, 130), (0, 0), (110, 30), (0, 0)], 'f')
    visible = numpy.array([True, False, True, False])

    def regroup(records):
        return [record._replace(locations=points, visible=visible) for record in records]

    layouts.write_authors(dataclasses.replace(
        data_set, part_names=list(GROUPS), train=regroup(data_set.train),
        test=regroup(data_set.test)), root / 'GT_regrouped')


def surplus(data_set, root):
    """Lines of an image that the lists of the folder do not have."""
    cs_parts(data_set, root)
    with open(root / 'CS_parts/parts/part_locs.txt', 'a') as file:
        file.write('none 1 10 20 100 90\nnone 7 10 20 100 90\n')


def without_images(data_set, root):
    cs_parts(data_set, root)
    regrouped(data_set, root)
    (root / 'CS_parts/images').unlink()
    (root / 'GT_regrouped/images').unlink()
    (root / 'GT_regrouped/images').symlink_to('not/here')
    (root / 'GT_regrouped/parts/parts.txt').unlink()


def images_above(data_set, root):
    without_images(data_set, root)
    (root / 'ORIGINAL/images').rename(root / 'images')


def parts_only(data_set, root):
    """Boxes and nothing else, for the images of the folder above and for another one."""
    ids = [record.image_id for record in data_set.train + data_set.test] + ['none']
    layouts.write_lines(root / 'CS_parts/parts/part_locs.txt', (
        f'{image_id} {part} 10 20 100 90' for image_id in ids for part in (1, 2, 3, 4)))


def both(data_set, root):
    cs_parts(data_set, root)
    regrouped(data_set, root)


def as_distributed(dataset, beneath=None):
    def build(cub, root):
        if root != cub:
            layouts.WRITERS[dataset](annotation_files.read_cub(cub), cub, root)
        if beneath:
            data_set = load(Data(dataset=dataset, root=str(root)))
            beneath(data_set, root)
    return dataset, build


def by_the_authors(main, beneath):
    """No lists and no images in the folder itself, all in the folders of annotations."""
    def build(cub, root):
        images = shutil.move(cub, cub.with_name('elsewhere')) / 'images'
        data_set = annotation_files.read_cub(images.parent)
        layouts.write_authors(data_set, root / main)
        (root / main / 'images').unlink()
        shutil.copytree(images, root / main / 'images')
        beneath(data_set, root)
    return 'cub200', build


ALL = {'GT': BEAK, 'GT2': REGROUPED, 'CS_PARTS': CS_PARTS}
LAYOUTS = {
    'CUB': (as_distributed('cub200'), {'GT': BEAK, 'GT2': HEAD}),
    'CUB, annotations': (as_distributed('cub200', both), ALL),
    'CUB, annotations without images': (as_distributed('cub200', without_images), ALL),
    'CUB, parts only': (as_distributed('cub200', parts_only),
                        {'GT': BEAK, 'GT2': HEAD, 'CS_PARTS': CS_PARTS}),
    'CUB, parts numbered from 1': (as_distributed(
        'cub200', lambda data_set, root: cs_parts(data_set, root, first=1)),
        {'CS_PARTS': CS_PARTS}),
    'CUB, surplus lines': (as_distributed('cub200', surplus), {'CS_PARTS': CS_PARTS}),
    'NA-Birds': (as_distributed('nabirds'), {'GT': BEAK, 'GT2': HEAD}),
    'NA-Birds, annotations': (as_distributed('nabirds', both), ALL),
    'Birdsnap': (as_distributed('birdsnap'), {'GT': BEAK, 'GT2': HEAD}),
    'Birdsnap, annotations': (as_distributed('birdsnap', both), ALL),
    'authors': (by_the_authors('ORIGINAL', both), ALL),
    'authors, resized': (by_the_authors('RESIZED', both), ALL),
    'authors, images in ORIGINAL': (by_the_authors('ORIGINAL', without_images), ALL),
    'authors, images above': (by_the_authors('ORIGINAL', images_above), ALL),
    'authors, ungrouped': (by_the_authors('ORIGINAL', cs_parts), {
        'GT': BEAK, 'GT2': HEAD, 'CS_PARTS': CS_PARTS}),
    'authors, surplus lines': (by_the_authors('ORIGINAL', surplus), {'CS_PARTS': CS_PARTS}),
}
FIRST = {'GT': ('beak', 'bill'), 'GT2': ('head', 'part 1'),
         'CS_PARTS': ('Part_0', 'Part_1', 'part 1')}


def first_boxes(settings):
    """Box of the beak, the head or the first CS-Part in every image, as the program crops it."""
    data_set = load(settings)
    part = next(i for i, name in enumerate(data_set.part_names) if name in FIRST[settings.parts])
    boxes = []
    for records in (data_set.train, data_set.test):
        dataset = examples(records, settings, train=False, seed=0)
        for i, record in enumerate(records):
            size = pictures.read_image(record.path).shape[1:]
            _, part_boxes, visible = dataset.part_boxes(i, size)
            assert visible[part]
            boxes.append(part_boxes[part].tolist())
    return boxes


def classes_and_splits(data_set):
    return {record.path.name: (record.label, split) for split in ('train', 'test')
            for record in getattr(data_set, split)}


@pytest.mark.parametrize('layout, kind', [
    (layout, kind) for layout, (_, expected) in LAYOUTS.items() for kind in expected])
def test_boxes_are_those_worked_out_by_hand(layout, kind, cub, tmp_path):
    (dataset, build), expected = LAYOUTS[layout]
    root = tmp_path / 'data' / dataset
    build(cub, root)
    settings = Data(dataset=dataset, root=str(root), parts=kind)
    assert first_boxes(settings) == 6 * [expected[kind]]
    folder = find_layout(Config(data=settings)).parts     # naming it gives the same
    assert first_boxes(dataclasses.replace(settings, root=str(folder))) == 6 * [expected[kind]]
    whole, main = (classes_and_splits(load(dataclasses.replace(settings, parts=parts)))
                   for parts in (kind, 'GLOBAL'))
    assert whole == main and len(main) == 6


def test_default_folder(cub, tmp_path, monkeypatch):
    both(annotation_files.read_cub(cub), cub)
    monkeypatch.chdir(tmp_path)
    for kind, box in ALL.items():
        assert first_boxes(Data(parts=kind)) == 6 * [box]


def test_part_ids_are_matched_in_the_order_of_numbers(cub):
    """Twelve parts, numbered from 0 in parts.txt; as text, 10 would come before 2."""
    data_set, root = annotation_files.read_cub(cub), cub / 'CS_parts'
    boxes = [(part, 2, 3, 4) for part in range(1, 13)]
    layouts.write_authors(data_set, root, {record.image_id: boxes
                                        for record in data_set.train + data_set.test})
    layouts.write_lines(root / 'parts/parts.txt', (f'{i} Part_{i}' for i in range(12)))
    read = load(Data(root=str(cub), parts='CS_PARTS'))
    assert read.part_names == [f'Part_{i}' for i in range(12)]
    assert read.test[0].locations[:, 1].tolist() == list(range(1, 13))


@pytest.mark.parametrize('names, problem', [
    (range(5), 'part 0 of image u0 is missing; add a line'),
    (range(1, 4), 'line 4: there is no part 4 in parts.txt')])
def test_another_number_of_parts(names, problem, cub):
    cs_parts(annotation_files.read_cub(cub), cub)
    layouts.write_lines(cub / 'CS_parts/parts/parts.txt', (f'{i} Part_{i}' for i in names))
    with pytest.raises(InputError, match=problem):
        load(Data(root=str(cub), parts='CS_PARTS'))


def test_lines_of_other_images_only(cub):
    cs_parts(annotation_files.read_cub(cub), cub)
    path = cub / 'CS_parts/parts/part_locs.txt'
    path.write_text(path.read_text().replace('u', 'v'))
    with pytest.raises(InputError, match='has no line for an image of images.txt; get both'):
        load(Data(root=str(cub), parts='CS_PARTS'))


@pytest.mark.parametrize('missing, address', [
    ('CS_parts/labels.txt', 'dataset_annotations.zip'),
    ('classes.txt', 'caltech.edu')])
def test_missing_files_and_where_to_get_them(missing, address, cub):
    parts_only(annotation_files.read_cub(cub), cub)
    if missing == 'CS_parts/labels.txt':
        shutil.rmtree(cub / 'CS_parts')
        cs_parts(annotation_files.read_cub(cub), cub)
    (cub / missing).unlink()
    with pytest.raises(InputError, match=f'{missing}: there is no such file; get it .*{address}'):
        load(Data(root=str(cub), parts='CS_PARTS'))


def test_points_alone_have_no_boxes(cub):
    with pytest.raises(InputError, match='has points, but data.parts CS_PARTS needs boxes; set '
                       'detector.cnn to the config of a run whose CNN finds parts when training '
                       "starts, or put the authors' folder CS_parts of "
                       'https.*dataset_annotations.zip .* into .*data/cub200'):
        load(Data(root=str(cub), parts='CS_PARTS'))


def doctor(write_config, capsys, cub):
    config = write_config(data={'root': str(cub), 'parts': 'CS_PARTS'})
    capsys.readouterr()
    cli.main(['doctor', config])
    return capsys.readouterr().out


def test_doctor_names_sources_and_ignored_lines(cub, write_config, capsys):
    surplus(annotation_files.read_cub(cub), cub)
    printed = doctor(write_config, capsys, cub)
    assert 'left out: lines of part_locs.txt for unknown images: 2' in printed
    assert 'CUB-200-2011 comes from https://data.caltech.edu' in printed
    assert "the authors' folder CS_parts is in https://github.com" in printed
    assert 'another class or split' not in printed


@pytest.mark.parametrize('name, other', [('tr_ID.txt', 0), ('labels.txt', 3)])
def test_doctor_compares_classes_and_splits(name, other, cub, write_config, capsys):
    cs_parts(annotation_files.read_cub(cub), cub)
    folder = cub / 'CS_parts'
    lines = (folder / name).read_text().split()
    lines[1], lines[other] = lines[other], lines[1]
    layouts.write_lines(folder / name, lines)
    assert f'2 images differ in class or split between {folder} and {cub}, the first' in (
        doctor(write_config, capsys, cub))
