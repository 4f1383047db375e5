import itertools
from pathlib import Path
import subprocess
import sys

import numpy
from PIL import Image
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from finetune.data import cub_writer, annotation_files
from finetune.data.minibirds import drawing
from finetune.data.minibirds.species import make_species, PATTERNS, Species
from finetune.errors import InputError

CUB_PARTS = ['back', 'beak', 'belly', 'breast', 'crown', 'forehead', 'left eye', 'left leg',
             'left wing', 'nape', 'right eye', 'right leg', 'right wing', 'tail', 'throat']
SMALL = dict(n_species=3, n_train=2, n_test=1, size=48)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'minibirds'
    drawing.prepare(root, n_species=10, n_train=20, n_test=10, size=64)
    return root


@pytest.fixture(scope='module')
def data_set(root):
    return annotation_files.read_cub(root)


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob('*') if path.is_file()}


def test_layout(root, data_set):
    assert data_set.part_names == CUB_PARTS
    assert len(data_set.class_names) == 10 and len(set(data_set.class_names)) == 10
    assert numpy.bincount([r.label for r in data_set.train]).tolist() == [20] * 10
    assert numpy.bincount([r.label for r in data_set.test]).tolist() == [10] * 10
    for record in data_set.train + data_set.test:
        assert record.path.parent.name == data_set.class_names[record.label]
        with Image.open(record.path) as image:
            assert image.mode == 'RGB' and image.size == (64, 64)
    assert len(list(root.glob('images/*/*'))) == 300


def test_points_lie_in_box_and_image(root, data_set):
    boxes = {line.split()[0]: numpy.array(line.split()[1:], float)
             for line in (root / 'bounding_boxes.txt').read_text().splitlines()}
    for record in data_set.train:
        x, y, width, height = boxes[record.image_id]
        points = record.locations[record.visible]
        assert (points >= (y - 1, x - 1)).all()
        assert (points <= (y + height + 1, x + width + 1)).all()
        assert (points >= 0).all() and (points < 64).all()
        assert not record.locations[~record.visible].any()


def test_parts_get_hidden(data_set):
    visible = numpy.array([r.visible for r in data_set.train + data_set.test])
    share = dict(zip(CUB_PARTS, visible.mean(axis=0)))
    assert all(0.25 < share[part] < 0.99 for part in CUB_PARTS)
    assert 0.55 < visible.mean() < 0.9
    both_eyes = visible[:, CUB_PARTS.index('left eye')] & visible[:, CUB_PARTS.index('right eye')]
    assert not both_eyes.any()


def test_same_seed_same_files_in_another_process(tmp_path):
    drawing.prepare(tmp_path / 'one', **SMALL)
    code = ('import sys; from finetune.data.minibirds import drawing; '
            f'drawing.prepare(sys.argv[1], **{SMALL!r})')
    subprocess.run([sys.executable, '-c', code, str(tmp_path / 'two')], check=True,
                   cwd=Path(__file__).parents[2])
    drawing.prepare(tmp_path / 'three', seed=1, **SMALL)
    one, two, three = (contents(tmp_path / name) for name in ('one', 'two', 'three'))
    assert one == two
    assert set(one.values()).isdisjoint(
        data for name, data in three.items() if name.endswith('.png'))


@pytest.mark.parametrize('pretraining', [False, True])
@pytest.mark.parametrize('seed', range(5))
def test_sisters_differ_in_two_or_three_details(pretraining, seed):
    species = make_species(20, pretraining, seed)
    for one, other in itertools.combinations(range(20), 2):
        distance = sum(species[one].details[slot] != species[other].details[slot]
                       for slot in PATTERNS)
        if one // 5 == other // 5:
            assert 2 <= distance <= 3
        else:
            assert distance >= 4
    assert len({one.name for one in species}) == 20


@pytest.mark.parametrize('seed', range(5))
def test_pretraining_has_other_species(seed):
    def looks(pretraining, n):
        return {tuple(one.details.items()) for one in make_species(n, pretraining, seed)}
    assert looks(False, 20).isdisjoint(looks(True, 30))


def species_with(slot, detail):
    details = {name: None for name in PATTERNS}
    details.update(beak=('cone', 'black'), leg=('plain', 'black'))
    details[slot] = detail
    return Species('', details)


@pytest.mark.parametrize('slot, pattern, parts', [
    ('crown', 'cap', ['crown']), ('forehead', 'patch', ['forehead']),
    ('nape', 'patch', ['nape']),
    ('beak', 'cone', ['beak']), ('throat', 'bib', ['throat']), ('belly', 'patch', ['belly']),
    ('back', 'patch', ['back']), ('leg', 'plain', ['left leg', 'right leg']),
    ('wing', 'patch', ['left wing', 'right wing']), ('tail', 'band', ['tail'])])
def test_a_detail_shows_at_its_point_exactly_if_visible(slot, pattern, parts):
    """Only the colour of one detail changes, so a change at a point means that it is seen there."""
    n_seen = n_hidden = 0
    for seed in range(60):
        drawings = [drawing.draw_image(
            numpy.random.RandomState(seed), species_with(slot, (pattern, colour)), 96, 0.6)
            for colour in ('blue', 'yellow')]
        change = numpy.abs(numpy.asarray(drawings[0][0], int) - numpy.asarray(drawings[1][0]))
        _, points, visible, _, _ = drawings[0]
        if not change.any():
            continue        # worn, or wholly covered
        for part in parts:
            y, x = numpy.floor(points[CUB_PARTS.index(part)]).astype(int)
            is_visible = visible[CUB_PARTS.index(part)]
            if 'wing' in part and not is_visible:
                continue    # the far side's point is on another wing
            at_point = change[max(y - 1, 0):y + 2, max(x - 1, 0):x + 2].max(axis=2)
            if is_visible:
                assert at_point.max() > 40, (seed, part)
                n_seen += 1
            else:
                assert at_point.min(initial=0) < 40, (seed, part)
                n_hidden += 1
    assert n_seen > 15 and n_hidden > (-1 if slot in ('wing', 'tail') else 0)


def test_changes_stay_local():
    """Two species from equal states differ near one part and nowhere else."""
    shares = []
    for seed in range(10):
        images = [numpy.asarray(drawing.draw_image(
            numpy.random.RandomState(seed), species_with('nape', detail), 96, 0)[0], int)
            for detail in (None, ('patch', 'red'))]
        shares.append((numpy.abs(images[0] - images[1]).max(axis=2) > 8).mean())
    assert max(shares) < 0.02 and numpy.median(shares) > 0


def test_global_colour_tells_little(data_set):
    def features(records):
        pixels = numpy.stack([numpy.asarray(Image.open(r.path)) for r in records])
        bins = (pixels // 64).reshape(len(records), -1, 3) @ [16, 4, 1]
        histogram = numpy.stack([numpy.bincount(row, minlength=64) for row in bins]) ** .5
        means = pixels.reshape(len(records), -1, 3).mean(axis=1)
        return histogram, means, numpy.array([r.label for r in records])
    *train, y_train = features(data_set.train)
    *test, y_test = features(data_set.test)
    for x_train, x_test in zip(train, test):
        classifier = make_pipeline(StandardScaler(), LinearSVC(C=.01, random_state=0))
        assert classifier.fit(x_train, y_train).score(x_test, y_test) < 3 / 10


def test_all_sizes_and_difficulties_draw():
    one = make_species(2, True, 3)[0]
    for size, difficulty in itertools.product((32, 50, 200), (0, 1)):
        image, points, visible, bbox, _ = drawing.draw_image(
            numpy.random.RandomState(0), one, size, difficulty)
        assert image.size == (size, size) and points.shape == (15, 2) and visible.shape == (15,)
        assert 0 <= bbox[0] < bbox[2] <= size and 0 <= bbox[1] < bbox[3] <= size


def test_complete_directory_is_left_alone(tmp_path):
    drawing.prepare(tmp_path / 'birds', **SMALL)
    (tmp_path / 'birds' / 'images.txt').write_text('mine')
    drawing.prepare(tmp_path / 'birds', **SMALL)
    assert (tmp_path / 'birds' / 'images.txt').read_text() == 'mine'
    with pytest.raises(InputError, match='origin.yml: this data set was drawn with other options'):
        drawing.prepare(tmp_path / 'birds', **SMALL, seed=5)


def test_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(InputError, match='was not drawn by this program'):
        drawing.prepare(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt
    monkeypatch.setattr(cub_writer, '_point_lines', interrupt)
    with pytest.raises(KeyboardInterrupt):
        drawing.prepare(tmp_path / 'birds', **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ['.birds.lock']


def test_no_space_left(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(Image.Image, 'save', fail)
    with pytest.raises(InputError, match='No space left on device'):
        drawing.prepare(tmp_path / 'birds', **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ['.birds.lock']


def test_what_a_killed_process_has_drawn_is_removed(tmp_path):
    (tmp_path / '.birds.unfinished/images').mkdir(parents=True)
    (tmp_path / '.birds.unfinished/images/half.png').write_text('half')
    drawing.prepare(tmp_path / 'birds', **SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {'birds', '.birds.lock'}
    assert not list(tmp_path.rglob('half.png'))


@pytest.mark.parametrize('options, problem', [
    ({'n_specis': 3}, 'no setting n_specis; did you mean n_species?'),
    ({'size': 'large'}, "size is 'large', but must be a whole number"),
    ({'size': 8}, 'size is 8, but must be between 32'),
    ({'difficulty': 2}, 'difficulty is 2'), ({'n_train': 2.5}, 'n_train is 2.5'),
    ({'pretraining': 1}, 'pretraining is 1'), ({'seed': True}, 'seed is True')])
def test_bad_options(tmp_path, options, problem):
    with pytest.raises(InputError) as error:
        drawing.prepare(tmp_path / 'birds', **options)
    assert problem in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_option_that_yaml_reads_as_text(tmp_path):
    drawing.prepare(tmp_path / 'birds', n_species=2, n_train=1, n_test=1, size=32,
                    difficulty='1e-1')
    assert 'difficulty: 0.1\n' in (tmp_path / 'birds/origin.yml').read_text()
