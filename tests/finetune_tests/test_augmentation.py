"""Random crops of images, and jitter and dropout of parts: in training only, and repeatable."""
from pathlib import Path

import numpy
import pytest

from conftest import examples, fails, load, run
from finetune.config.config import read_config
from finetune.config.settings import Data
from finetune.data import annotation_files, cropping, pictures, transforms
from finetune.data.dataset import without_some
from finetune.models.part_classifier import build_classifier
from finetune.parts.points import point_boxes
from finetune.training import inputs
from finetune.training.inputs import inputs_of

ALL = {'random_crop': .4, 'part_jitter': .3, 'part_dropout': .4}
SIZE = 70, 90


@pytest.fixture(scope='module')
def records(drawn_birds):
    return annotation_files.read_cub(drawn_birds).train


def settings(**changes):
    return Data(**{'input_size': 32, 'part_input_size': 24, 'missing': 'mask', **changes})


def training(records, epoch=0, **changes):
    """The training examples of an epoch."""
    dataset = examples(records, settings(**changes), train=True, seed=0)
    return [dataset[epoch * len(dataset) + i] for i in range(len(dataset))]


def equal(one, other):
    return all(numpy.array_equal(a, b) for a, b in zip(one, other))


def state(seed=0):
    return numpy.random.RandomState(seed)


def test_each_setting_changes_training_in_every_epoch_and_no_test(records):
    plain = training(records)
    tested = examples(records, settings(), train=False, seed=0)
    for name, value in ALL.items():
        changed = training(records, **{name: value})
        assert not all(map(equal, plain, changed)), name
        assert all(map(equal, changed, training(records, **{name: value})))
        assert not all(map(equal, changed, training(records, 1, **{name: value})))
        of_test = examples(records, settings(**{name: value}), train=False, seed=0)
        assert all(equal(tested[i], of_test[i]) for i in range(len(records)))


def test_epochs_do_not_depend_on_what_was_read_before(records):
    """Images, and crops that are the same in every epoch, are kept in memory."""
    dataset = examples(records, settings(**ALL), train=True, seed=0)
    before = list(dataset)
    assert all(equal(dataset[12 + i], one) for i, one in enumerate(training(records, 1, **ALL)))
    assert all(map(equal, dataset, before))


def test_parts_do_not_follow_the_crop_of_the_image(records):
    """They are cut from the whole image, around their points, as without it."""
    for record, (_, crops, visible, _) in zip(records, training(
            records, random_crop=.2, flip=False, colour_jitter=0)):
        image = pictures.read_image(record.path)
        boxes = point_boxes(record.locations, record.visible, image.shape[1:],
                            settings().part_ratio)
        assert (visible == record.visible).all()
        for crop, box in zip(crops, boxes[visible]):
            enlarged = transforms.enlarged(cropping.crop(image, box), 24) / 127.5 - 1
            windows = numpy.lib.stride_tricks.sliding_window_view(enlarged, (3, 24, 24))
            assert abs(windows - crop).max(axis=(-3, -2, -1)).min() < 1e-5


def random_boxes(n=500, beyond=0):
    """Boxes in an image of :data:`SIZE`, some of which reach out of it."""
    random = state()
    corner = numpy.stack([random.randint(-beyond, extent - 8, n) for extent in SIZE], axis=1)
    extent = random.randint(beyond + 8, 40, (n, 2))
    return numpy.concatenate([corner, numpy.minimum(
        corner + extent, numpy.array(SIZE) + beyond)], axis=1).astype(numpy.int32)


def outside(boxes):
    """Shares (n, 4) of the boxes' sides that are outside at each edge."""
    sides = numpy.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return abs(boxes - boxes.clip(0, [*SIZE, *SIZE])) / sides


@pytest.mark.parametrize('strength', [.1, .5])
def test_jittered_boxes_stay_in_the_image_and_near(strength):
    boxes = random_boxes()
    changed = cropping.jittered(boxes, SIZE, strength, state(1))
    assert changed.dtype == boxes.dtype and not outside(changed).any()
    sides, new = (array[:, 2:] - array[:, :2] for array in (boxes, changed))
    assert (new >= (1 - strength) * sides - 1).all() and (new <= (1 + strength) * sides).all()
    moved = changed[:, :2] + new / 2 - boxes[:, :2] - sides / 2
    assert (abs(moved) <= strength * sides + 1).all()
    for shares in (moved / sides).T, new[:, 0] / sides[:, 0] - 1:
        assert shares.min() < -.7 * strength and shares.max() > .7 * strength


def test_boxes_that_reach_out_of_the_image_reach_no_further():
    boxes = random_boxes(beyond=7)
    assert outside(boxes).any(axis=1).mean() > .2
    changed = cropping.jittered(boxes, SIZE, .5, state(1))
    pixels = numpy.tile(changed[:, 2:] - changed[:, :2], 2)
    assert (pixels * outside(changed) <= pixels * outside(boxes) + 2).all()     # rounded
    for box in changed:
        cropping.crop(numpy.zeros((3, *SIZE), numpy.uint8), box)


@pytest.mark.parametrize('box', [
    (5, 5, 5, 20), (90, 5, 99, 20), (-9, -9, 0, 9), (0, 0, 2 ** 20, 2 ** 20)])
def test_jitter_leaves_boxes_that_cannot_be_cropped(box):
    boxes = numpy.array([box, (10, 10, 30, 30)], numpy.int32)
    changed = cropping.jittered(boxes, SIZE, .5, state())
    assert (changed[0] == boxes[0]).all() and (changed[1] != boxes[1]).any()


def test_no_box_grows_beyond_what_can_be_cropped():
    boxes = numpy.array([(-4088, -4088, 8, 8)], numpy.int32)
    for seed in range(20):
        changed, = cropping.jittered(boxes, SIZE, .5, state(seed))
        assert not cropping.is_oversized(changed, SIZE)


def test_jitter_of_no_boxes():
    assert cropping.jittered(numpy.zeros((0, 4), numpy.int32), SIZE, .5, state()).shape == (0, 4)


def test_boxes_of_an_image_move_independently_of_order_and_dropout(records):
    def boxes(train=True, epoch=3, **changes):
        dataset = examples(records, settings(part_jitter=.2, **changes), train=train, seed=0)
        order, found, _ = dataset.part_boxes(2, (48, 48), epoch)
        return found[numpy.argsort(order)]

    first, visible = boxes(), records[2].visible
    assert (boxes(order='shuffled') == first).all()
    assert (boxes(part_dropout=.5)[visible] == first[visible]).sum() > 0
    assert (boxes(epoch=4) != first).any() and (boxes(train=False) != first).any()


@pytest.mark.parametrize('probability', [.2, .5])
def test_share_of_the_parts_that_are_left_out(probability):
    visible = state(0).uniform(size=(2000, 15)) < .8
    left = numpy.array([without_some(row, probability, state(seed))
                        for seed, row in enumerate(visible)])
    assert (left <= visible).all()
    assert abs((visible & ~left).sum() / visible.sum() - probability) < .01
    assert left.any(axis=1).all()


def test_never_all_parts_are_left_out():
    visible = numpy.array([False, True, True, False, True])
    left = numpy.array([without_some(visible, 1., state(seed)) for seed in range(200)])
    assert (left.sum(axis=1) == 1).all() and (left.any(axis=0) == visible).all()
    assert not without_some(numpy.zeros(4, bool), .5, state()).any()
    assert without_some(numpy.zeros(0, bool), .5, state()).shape == (0,)


@pytest.mark.parametrize('missing', ['zero', 'mask'])
def test_parts_that_are_left_out_are_hidden(records, missing):
    n_left_out = 0
    for (_, crops, visible, _), record in zip(
            training(records, part_dropout=.5, missing=missing), records):
        assert len(crops) == visible.sum() > 0 and (visible <= record.visible).all()
        n_left_out += (record.visible & ~visible).sum()
    assert n_left_out > 20
    in_epochs = [[example[2] for example in training(records, epoch, part_dropout=.5)]
                 for epoch in range(2)]
    assert not numpy.array_equal(*in_epochs)


def test_replaced_parts_are_not_left_out(records):
    """A config may have the setting, and the command line replace hidden parts."""
    assert all(map(equal, training(records, missing='centre', part_dropout=.9),
                   training(records, missing='centre')))


def contents(folder):
    return [Path(folder, name).read_bytes() for name in ('model.npz', 'predictions.csv')]


@pytest.mark.parametrize('sections', [{}, {'cnn_lr_factor': 0, 'views': 4}])
def test_resumed_run_is_the_same_bits_with_any_number_of_threads(sections, write_config):
    config = write_config(data={**ALL, 'n_parts': 4}, training=sections)
    assert run('train', config, '--output', 'whole') == 0
    for n_epochs, workers in (1, 3), (2, 0):
        assert run('train', config, '--output', 'resumed', '--set', f'training.workers={workers}',
                   '--set', f'training.epochs={n_epochs}') == 0
    assert contents('resumed') == contents('whole')


def test_evaluation_of_a_run_sees_all_parts(write_config):
    assert run('train', write_config(data=ALL, training={'epochs': 1}), '--output', 'out') == 0
    before = contents('out')
    assert run('evaluate', 'out') == 0
    assert contents('out') == before
    table = Path('out/predictions.csv').read_text().splitlines()
    n_visible = [int(row.split(',')[table[0].split(',').index('n_visible')]) for row in table[1:]]
    assert n_visible == load(read_config('config.yml').data).test.visible.sum(axis=1).tolist()


def test_random_views_of_kept_conv_maps_have_other_crops_and_boxes(write_config):
    """The first two views are those of tests; the names of the others say what they are."""
    config = read_config(write_config(data=ALL, training={'cnn_lr_factor': 0, 'views': 3}))
    plain = read_config(write_config(training={'cnn_lr_factor': 0, 'views': 3}))
    data_set = load(config.data)
    of_run, of_plain = (inputs_of(one, data_set).training_views for one in (config, plain))
    assert of_run[:2] == of_plain[:2] == ['plain', 'mirrored']
    assert of_run[2] == of_plain[2] + ', random_crop 0.4, part_jitter 0.3'


@pytest.mark.parametrize('name', ['random_crop', 'part_jitter'])
@pytest.mark.parametrize('views', [1, 2])
def test_kept_conv_maps_without_random_views_refuse(name, views, write_config, capsys):
    config = write_config(data={name: .2}, training={'cnn_lr_factor': 0, 'views': views})
    error = fails(capsys, 'train', config)
    assert f'data.{name} has no effect without ' in error and 'training.views 0' in error
    read_config(write_config(data={name: .2, 'flip': False}, training={
        'cnn_lr_factor': 0, 'views': 2}))


def test_only_random_views_of_kept_conv_maps_differ(write_config, monkeypatch):
    """Views of tests, and the first two of training images, are as without augmentation."""
    given = []
    monkeypatch.setattr(inputs, '_conv_maps', lambda model, cnn, batch: given.append(batch)
                        or numpy.zeros((len(batch), 1, 2, 2), numpy.float16))
    seen = {}
    for name, data in {'plain': {}, 'all': ALL, 'again': ALL}.items():
        config = read_config(write_config(data={**data, 'n_parts': 3}, training={
            'cnn_lr_factor': 0, 'views': 3}))
        config.project = config.project.with_results(name)
        data_set = load(config.data)
        inputs_of(config, data_set).prepare(build_classifier(config, data_set),
                                            with_training=True)
        seen[name] = numpy.concatenate([batch for batch in given if len(batch) > 1])
        given.clear()
    assert seen['all'].shape == seen['plain'].shape
    assert (seen['all'] == seen['again']).all()
    share = (seen['all'] == seen['plain']).all(axis=(1, 2, 3)).mean()
    assert .7 < share < .8      # of 6 test images one view, of 12 training images two of three


def test_random_views_crop_whole_images_and_move_boxes(write_config, monkeypatch):
    cut, transform = [], transforms.train_transform

    def recorded(image, *arguments, **options):
        cut.append((image.shape[1:], options['random_crop']))
        return transform(image, *arguments, **options)

    monkeypatch.setattr(transforms, 'train_transform', recorded)
    config = read_config(write_config(data=ALL, training={'cnn_lr_factor': 0, 'views': 3}))
    data_set = load(config.data)
    inputs_of(config, data_set).prepare(build_classifier(config, data_set), with_training=True)
    n_images, n_crops = len(data_set.train), int(data_set.train.visible.sum())
    assert cut[:n_images] == n_images * [((48, 48), .4)]
    assert {random_crop for _, random_crop in cut[n_images:]} == {0}
    sides = [height for (height, _), _ in cut[n_images:]]
    assert len(sides) == n_crops and min(sides) < 14 < max(sides)       # 0.31 of 48 pixels


@pytest.mark.parametrize('name, value, message', [
    ('random_crop', 1.2, 'data.random_crop is 1.2, but must be between 0 and 1.'),
    ('part_jitter', -.1, 'data.part_jitter is -0.1, but must be between 0 and 0.5.'),
    ('part_dropout', 2, 'data.part_dropout is 2.0, but must be between 0 and 1.')])
def test_ranges(name, value, message, write_config, capsys):
    assert message in fails(capsys, 'train', write_config(data={name: value}))
