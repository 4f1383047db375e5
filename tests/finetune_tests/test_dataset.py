import chainer
import numpy
import pytest

from conftest import examples
from finetune.config.settings import Data
from finetune.data import annotation_files, cropping, pictures, transforms
from finetune.data import dataset as dataset_module
from finetune.data.dataset import collate, EpochOrder
from finetune.parts.points import point_boxes


@pytest.fixture(scope='module')
def records(drawn_birds):
    return annotation_files.read_cub(drawn_birds).train


def settings(**changes):
    return Data(**{'input_size': 32, 'part_input_size': 24, **changes})


def equal(one, other):
    return all(numpy.array_equal(a, b) for a, b in zip(one, other))


def test_example(records):
    dataset = examples(records, settings(), train=True, seed=0)
    assert len(dataset) == len(records) == 12
    img, crops, visible, label = dataset[5]
    assert img.shape == (3, 32, 32) and img.dtype == numpy.float32
    assert crops.shape == (visible.sum(), 3, 24, 24) and crops.dtype == numpy.float32
    assert (visible == records[5].visible).all()
    assert label == records[5].label and label.dtype == numpy.int32
    assert abs(img).max() <= 1 and abs(crops).max() <= 1


def test_iteration_ends_after_one_epoch(records):
    dataset = examples(records, settings(), train=True, seed=0)
    of_epoch = list(dataset)
    assert len(of_epoch) == 12
    assert all(equal(one, dataset[i]) for i, one in enumerate(of_epoch))


def test_crops_without_augmentation_are_cut_around_the_points(records):
    img, crops, visible, _ = examples(records, settings(), train=False, seed=0)[3]
    image = pictures.read_image(records[3].path)
    assert (img == transforms.test_transform(image, 32)).all()
    boxes = point_boxes(
        records[3].locations, records[3].visible, image.shape[1:], settings().part_ratio)
    for one, box in zip(crops, boxes[visible]):
        assert (one == transforms.test_transform(cropping.crop(image, box), 24)).all()


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('room, n_times', [(2 ** 27, 1), (0, 2)])
def test_images_are_kept_if_all_of_them_fit_into_memory(records, train, room, n_times,
                                                        monkeypatch):
    read, paths, crop, boxes = pictures.read_image, [], cropping.crop, []
    monkeypatch.setattr(dataset_module, 'KEPT_BYTES', room)
    monkeypatch.setattr(pictures, 'read_image', lambda path, upright: paths.append(path) or read(
        path, upright))
    monkeypatch.setattr(cropping, 'crop', lambda image, box: boxes.append(box) or crop(image, box))
    dataset = examples(records, settings(order='shuffled'), train=train, seed=0)
    indices = [*range(len(records)), *range(12 * (1 if train else 0), 12 * (2 if train else 1))]
    made = [dataset[i] for i in indices]
    assert sorted(paths) == sorted(n_times * [record.path for record in records])
    assert len(boxes) == n_times * sum(record.visible.sum() for record in records)
    fresh = examples(records, settings(order='shuffled'), train=train, seed=0)
    monkeypatch.setattr(dataset_module, 'KEPT_BYTES', 0)
    assert all(equal(one, fresh[i]) for i, one in zip(indices, made))


def test_no_parts(records):
    img, crops, visible, _ = examples(
        records, settings(parts='GLOBAL'), train=True, seed=0)[0]
    assert crops.shape == (0, 3, 24, 24) and visible.shape == (0,)


def test_hidden_parts_are_cropped_at_the_centre_on_request(records):
    hidden = next(i for i, record in enumerate(records) if not record.visible.all())
    _, crops, visible, _ = examples(
        records, settings(missing='centre'), train=False, seed=0)[hidden]
    assert visible.all() and len(crops) == 15
    first, second = numpy.flatnonzero(~records[hidden].visible)[[0, -1]]
    assert (crops[first] == crops[second]).all()


def test_augmentation_is_a_function_of_seed_epoch_and_image(records):
    n = len(records)
    first, again = (examples(records, settings(), train=True, seed=0) for _ in range(2))
    later = again[n + 3]
    again[0]        # whatever is read before
    assert equal(first[3], again[3]) and equal(first[n + 3], later)
    assert not equal(first[3], later)
    assert not equal(first[3], examples(records, settings(), train=True, seed=1)[3])


@pytest.mark.parametrize('order, n_orders', [('shuffled', 3), ('shuffled_once', 1)])
def test_parts_are_shuffled_in_every_epoch_or_once(records, order, n_orders):
    points = numpy.arange(30, dtype='f').reshape(15, 2) + 9
    marked = [record._replace(locations=points, visible=numpy.ones(15, dtype=bool))
              for record in records]
    ordered = examples(marked, settings(), train=False, seed=0)
    shuffled = examples(marked, settings(order=order), train=False, seed=0)
    orders = []
    for i in range(4):
        crops = {part.tobytes(): p for p, part in enumerate(ordered[i][1])}
        order = [crops[part.tobytes()] for part in shuffled[i][1]]
        assert sorted(order) == list(range(15))
        assert equal(shuffled[i], shuffled[i])
        orders.append(tuple(order))
    assert len(set(orders)) == 4 and tuple(range(15)) not in orders
    in_epochs = {tuple(part.tobytes() for part in shuffled[epoch * len(shuffled)][1])
                 for epoch in range(3)}
    assert len(in_epochs) == n_orders


def test_visibility_is_shuffled_with_the_parts(records):
    shuffled = examples(records, settings(order='shuffled'), train=False, seed=0)
    ordered = examples(records, settings(), train=False, seed=0)
    hidden = next(i for i, record in enumerate(records) if not record.visible.all())
    assert (shuffled[hidden][2] != ordered[hidden][2]).any()
    assert sorted(part.tobytes() for part in shuffled[hidden][1]) == sorted(
        part.tobytes() for part in ordered[hidden][1])


def test_collate(records):
    dataset = examples(records, settings(), train=False, seed=0)
    batch = [dataset[i] for i in range(3)]
    img, crops, visible, label = collate(batch, chainer.get_device('@numpy'))
    assert img.shape == (3, 3, 32, 32) and visible.shape == (3, 15)
    assert len(crops) == visible.sum()
    start = visible[0].sum()
    assert (crops[start:start + visible[1].sum()] == batch[1][1]).all()
    assert label.tolist() == [record.label for record in records[:3]]


def test_epoch_order_visits_every_image_once_per_epoch_in_ever_new_orders():
    order = EpochOrder(10, seed=0)
    first = order(numpy.arange(10), 0)
    second = order(first, 10)
    assert sorted(first) == list(range(10, 20))
    assert sorted(second) == list(range(20, 30))
    assert (first - 10 != second - 20).any()
    assert (EpochOrder(10, seed=0)(numpy.arange(10), 0) == first).all()
    assert (EpochOrder(10, seed=1)(numpy.arange(10), 0) != first).any()


def test_iterator_with_epoch_order_goes_on_where_it_was(records):
    dataset = examples(records, settings(), train=True, seed=0)

    def iterator():
        return chainer.iterators.SerialIterator(
            dataset, 5, order_sampler=EpochOrder(len(dataset), 0))
    whole, resumed = iterator(), iterator()
    batches = [whole.next() for _ in range(8)]
    saved = chainer.serializers.DictionarySerializer()
    stopped = iterator()
    for _ in range(4):
        stopped.next()
    stopped.serialize(saved)
    resumed.serialize(chainer.serializers.NpzDeserializer(saved.target))
    for batch in batches[4:]:
        assert all(equal(one, other) for one, other in zip(batch, resumed.next()))
    assert resumed.epoch == whole.epoch == 3


def test_more_and_more_parts_are_hidden(records):
    before = numpy.array([record.visible for record in records])
    for hide in (.25, .5, .75, 1.):
        dataset = examples(records, settings(), train=False, seed=0, hide=hide)
        visible = numpy.array([dataset[i][2] for i in range(len(records))])
        assert (visible <= before).all() and (visible == before).mean() < 1
        assert [len(dataset[i][1]) for i in range(len(records))] == visible.sum(axis=1).tolist()
        before = visible
    assert not before.any()


def test_about_so_many_parts_are_hidden_as_asked_for(records):
    n_visible = sum(record.visible.sum() for record in records)
    dataset = examples(100 * list(records), settings(), train=False, seed=0, hide=.3)
    share = sum(dataset._visible(i).sum() for i in range(len(dataset))) / (100 * n_visible)
    assert abs(share - .7) < 4 * numpy.sqrt(.3 * .7 / (100 * n_visible))


def test_hiding_parts_changes_nothing_else(records):
    one, other = (examples(records, settings(order='shuffled'), train=False, seed=0, hide=hide)
                  for hide in (0., .5))
    for i in range(len(records)):
        img, crops, visible, label = one[i]
        img_2, crops_2, visible_2, label_2 = other[i]
        numpy.testing.assert_array_equal(img, img_2)
        numpy.testing.assert_array_equal(crops[visible_2[visible]], crops_2)
        assert label == label_2
