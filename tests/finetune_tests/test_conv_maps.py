"""Kept ConvMaps of frozen CNNs, and mirror images in tests, against the CNN on single crops."""
from dataclasses import replace
import csv
import os
from pathlib import Path
import shutil
import signal
import warnings

import chainer
import numpy
from PIL import Image
import pytest

from conftest import fails, load, run
from finetune.compute import numpy_convolution
from finetune.config.config import read_config
from finetune.data.dataset import collate, PartDataset
from finetune.data.views import Key, training_views
from finetune.errors import InputError
from finetune.models.part_classifier import build_classifier
from finetune.runs.predictions import iterate_test_images, predict
from finetune.training import conv_maps, inputs
from finetune.training.conv_maps import Store
from finetune.training.inputs import inputs_of
from finetune.weights.pretrained import load_classifier

CPU = chainer.get_device('@numpy')
FROZEN = {'cnn_lr_factor': 0, 'views': 2}
OUT = Path('results/config/seed0')
KEYS = [Key(f'{i}', 'whole', 'plain') for i in range(3)]
MAPS = numpy.random.RandomState(0).normal(size=(3, 2, 4, 4)).astype(numpy.float16)


@pytest.fixture
def small_shards(monkeypatch):
    """Two inputs of 32 pixels per batch, two batches per file."""
    monkeypatch.setattr(inputs, 'BATCH_PIXELS', 2 * 32 ** 2)
    monkeypatch.setattr(inputs, 'SHARD_BYTES', 4 * 96 * 4 * 4 * 2)


def prepared(config, with_training=True, seed=0):
    """Model, data set and inputs of a config."""
    numpy.random.seed(seed)
    data_set = load(config.data)
    model = build_classifier(config, data_set)
    of_run = inputs_of(config, data_set)
    of_run.prepare(model, with_training)
    return model, data_set, of_run


def no_maps(model, cnn, batch):
    """What counts inputs without computing."""
    return numpy.zeros((len(batch), 1, 2, 2), numpy.float16)


def stores():
    return sorted(path for path in Path('results/features').iterdir())


def kept(view=None):
    """Keys of all kept ConvMaps."""
    keys = []
    for path in Path('results/features').glob('*/*.csv'):
        keys += [Key(*row[:-1]) for row in [*csv.reader(path.open())][1:]]
    return [key for key in keys if view in (None, key.view)]


def naive_maps(cnn, crops, flip=False):
    """ConvMaps of single crops (3, h, w), or of their mirror images, rounded to float16."""
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return [cnn(numpy.ascontiguousarray(crop[None, :, :, ::-1] if flip else crop[None]))
                .array[0].astype(numpy.float16) for crop in crops]


@pytest.mark.parametrize('data', [
    {'n_parts': 6}, {'missing': 'centre', 'n_parts': 4}, {'parts': 'GRID', 'grid': [2, 1]},
    {'order': 'shuffled', 'n_parts': 6}])
def test_conv_maps_are_those_of_single_crops(data, write_config, small_shards):
    config = read_config(write_config(data=data, training=FROZEN))
    model, data_set, of_run = prepared(config)
    for records, train in ((data_set.test, False), (data_set.train, True)):
        arguments = records, data_set.parts, config.data
        stored = of_run(*arguments, train=train, seed=0)
        plain = PartDataset(*arguments, train=False, seed=0)
        plain.cropped_parts, plain._part_order = stored.cropped_parts, stored._part_order
        views = set()
        for epoch in (1, 2) if train else (0,):
            for i in range(len(records)):
                index = epoch * len(records) + i
                img, parts, visible, label = stored[index]
                view = of_run.training_views.index(
                    stored._training_view(records[i].image_id, epoch)) if train else 0
                views.add((i, view))
                image, crops, *expected = plain._example(epoch, i)
                assert (visible == expected[0]).all() and label == expected[1]
                assert (img == naive_maps(model.global_cnn, [image], flip=view == 1)).all()
                assert len(parts) == len(crops)
                for one, other in zip(parts, naive_maps(model.part_cnn, crops, flip=view == 1)):
                    assert one.dtype == numpy.float16 and (one == other).all()
        assert len(views) == (2 if train else 1) * len(records)     # each view once
    n_visible = [data_set.test.visible.sum(), data_set.train.visible.sum()]
    if 'missing' in data:
        n_visible = [data_set.test.visible.size, data_set.train.visible.size]
    assert len(kept()) == len(data_set.test) + n_visible[0] + 2 * (
        len(data_set.train) + n_visible[1])


def test_images_without_visible_parts(write_config):
    """ConvMaps of crops that are not there have the size of those of crops, not of images."""
    config = read_config(write_config(data={'n_parts': 2, 'part_input_size': 48}, training=FROZEN))
    _, data_set, of_run = prepared(config)
    i = int(data_set.test.visible.any(axis=1).argmax())
    shown, hidden = (of_run(data_set.test, data_set.parts, config.data, train=False, seed=0,
                            hide=hide)[i] for hide in (0., 1.))
    assert len(shown[1]) > 0 and hidden[1].shape == (0, *shown[1].shape[1:])
    assert shown[1].shape[1:] != shown[0].shape
    collate([shown, hidden])


def test_order_of_views_depends_on_image_and_seed_only(write_config):
    config = read_config(write_config(training={**FROZEN, 'views': 3}))
    of_run = inputs_of(config, data_set := load(config.data))
    arguments = data_set.parts, config.data
    def views(records, seed):
        dataset = of_run(records, *arguments, train=True, seed=seed)
        return {record.image_id: [dataset._training_view(record.image_id, epoch)
                                  for epoch in range(1, 13)] for record in records}
    whole, some, other = (views(data_set.train, 0), views(data_set.train[3:], 0),
                          views(data_set.train, 1))
    assert some.items() <= whole.items() and other != whole
    assert len({tuple(order) for order in whole.values()}) > 1
    for order in whole.values():
        assert all(len(set(order[i:i + 3])) == 3 for i in range(0, 12, 3))


def test_random_views_have_a_name_of_all_that_determines_them(write_config):
    data = read_config(write_config()).data
    assert training_views(data, 2, 5) == training_views(data, 3, 5)[:2] == ['plain', 'mirrored']
    assert training_views(replace(data, flip=False), 2, 5) == [
        'plain', 'random 1: seed 5, flip False, colour_jitter 0.3']
    others = [(data, 6), (replace(data, colour_jitter=.2), 5), (replace(data, flip=False), 5)]
    names = {training_views(one, 3, seed)[2] for one, seed in [(data, 5), *others]}
    assert len(names) == 4


def test_random_views_differ_between_views_and_crops_but_not_between_data_sets(write_config):
    config = read_config(write_config(training={**FROZEN, 'views': 4}))
    _, data_set, of_run = prepared(config)
    maps = [of_run.conv_map(data_set.train[0].image_id, 'whole', view)
            for view in of_run.training_views]
    assert all((one != other).any() for i, one in enumerate(maps) for other in maps[:i])
    n = len(kept())
    config.data.split, config.data.fold = 'validation', 2
    _, held_out, of_fold = prepared(config)
    assert len(kept()) == n
    shutil.rmtree('results/features')
    _, held_out, of_fold = prepared(config)
    for image_id in held_out.train.image_ids:
        for view in of_run.training_views:
            assert (of_fold.conv_map(image_id, 'whole', view)
                    == of_run.conv_map(image_id, 'whole', view)).all()


def test_runs_share_what_they_can(write_config, monkeypatch):
    monkeypatch.setattr(inputs, '_conv_maps', no_maps)
    config = read_config(write_config(training=FROZEN))
    prepared(config)
    n = len(kept())
    same = [('data.n_parts', 3), ('model.n_components', 5), ('training.learning_rate', .1),
            ('data.order', 'shuffled'), ('data.test_share', .1)]
    for name, value in same:
        section, key = name.split('.')
        before = getattr(getattr(config, section), key)
        setattr(getattr(config, section), key, value)
        prepared(config)
        assert len(stores()) == 2
        setattr(getattr(config, section), key, before)
    n_now = len(kept())         # fewer parts of an image are other parts
    assert n_now >= n
    config.data.train_per_class = 2
    prepared(config)
    assert len(kept()) == n_now
    for name, value, n_folders in (('part_ratio', .4, 3), ('part_input_size', 48, 4),
                                   ('input_size', 48, 5), ('interpolation', 'bicubic', 7)):
        setattr(config.data, name, value)
        prepared(config)
        assert len(stores()) == n_folders, name
    prepared(config, seed=1)    # other weights
    assert len(stores()) == 9


def test_test_images_need_no_views_of_training(write_config):
    config = read_config(write_config(data={'parts': 'GLOBAL'}, training=FROZEN))
    prepared(config, with_training=False)
    assert len(kept()) == len(kept('plain')) == 6
    config.data.test_flip = True
    prepared(config, with_training=False)
    assert len(kept('plain')) == len(kept('mirrored')) == 6


def test_changed_image_alone_is_computed_again(write_config, small_shards):
    config = read_config(write_config(data={'parts': 'GLOBAL'}, training=FROZEN))
    _, data_set, of_run = prepared(config)
    record, before = data_set.train[3], len(kept())
    old = of_run.conv_map(record.image_id, 'whole', 'plain')
    Image.fromarray(255 - numpy.asarray(Image.open(record.path))).save(record.path)
    model, data_set, of_run = prepared(config)
    assert len(kept()) == before + 2
    crop = PartDataset(data_set.train, data_set.parts, config.data, False, 0)[3][0]
    new = of_run.conv_map(record.image_id, 'whole', 'plain')
    assert (new == naive_maps(model.global_cnn, [crop])[0]).all() and (new != old).any()


def test_image_that_changes_meanwhile_is_not_kept(write_config, monkeypatch):
    config = read_config(write_config(data={'parts': 'GLOBAL'}, training=FROZEN))
    path = load(config.data).train.paths[0]

    def changing(model, cnn, batch):
        Image.new('RGB', (48, 48)).save(path)
        return no_maps(model, cnn, batch)
    monkeypatch.setattr(inputs, '_conv_maps', changing)
    with pytest.raises(InputError, match='images have changed while their ConvMaps were'):
        prepared(config)
    assert not kept()


def test_store_returns_what_was_added(tmp_path):
    store, origin = Store(tmp_path, {'a': 1}), {'a': 1}
    with store.opened():
        store.add(KEYS[:2], MAPS[:2])
        store.add(KEYS[2:], MAPS[2:])
    again = Store(tmp_path, origin)
    with again.opened():
        assert KEYS[0] in again and Key('9', 'whole', 'plain') not in again
    for one in (store, again):
        assert all((one[key] == conv_map).all() for key, conv_map in zip(KEYS, MAPS))
    assert Store(tmp_path, {'a': 2}).folder != store.folder


def test_conv_maps_without_their_list_are_written_again(tmp_path):
    store = Store(tmp_path, {})
    with store.opened():
        store.add(KEYS[:2], MAPS[:2])
        store.add(KEYS[2:], MAPS[2:])
    (store.folder / '00001.csv').unlink()       # as after a kill between both files
    again = Store(tmp_path, {})
    with again.opened():
        assert KEYS[2] not in again
        again.add(KEYS[2:], MAPS[:1])
    assert (again[KEYS[2]] == MAPS[0]).all()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize('damage', [
    lambda folder: truncate(folder / '00000.npy'),
    lambda folder: (folder / '00000.npy').write_bytes(b''),
    lambda folder: (folder / '00000.npy').unlink(),
    lambda folder: numpy.save(folder / '00000.npy', MAPS[:2]),
    lambda folder: numpy.save(folder / '00000.npy', MAPS.astype(float)),
    lambda folder: numpy.save(folder / '00000.npy', numpy.array([{}] * 3), allow_pickle=True),
    lambda folder: numpy.save(folder / '00000.npy', MAPS[:, 0]),
    lambda folder: flip_a_bit(folder / '00000.npy'),
    lambda folder: (folder / '00000.csv').write_text('contents,place,view,crc32\n1,whole\n'),
    lambda folder: truncate(folder / '00000.csv')])
def test_damaged_store(damage, tmp_path):
    store = Store(tmp_path, {})
    with store.opened():
        store.add([*KEYS], MAPS)
    damage(store.folder)
    with pytest.raises(InputError) as raised, Store(tmp_path, {}).opened():
        pass
    message = str(raised.value)
    assert message.startswith(f'{store.folder}/00000.npy: is not a complete file of ConvMaps (')
    assert message.endswith(f'; remove the folder {store.folder} to compute them again.')


def test_no_room_for_conv_maps(write_config, capsys, monkeypatch):
    config = write_config(training=FROZEN)
    free = shutil.disk_usage('.')._replace(free=1000)
    monkeypatch.setattr(conv_maps.shutil, 'disk_usage', lambda path: free)
    error = fails(capsys, 'train', config)
    assert 'ConvMaps need 0.1 MB, but only 0.0 MB are free; make room, ' in error


def test_conv_maps_beyond_float16(tmp_path):
    store = Store(tmp_path, {})
    with store.opened(), pytest.raises(InputError, match='not finite in float16; set training.vi'):
        store.add(KEYS, numpy.full_like(MAPS, numpy.inf))
    assert not [*store.folder.glob('0*')]


@pytest.mark.parametrize('sections', [
    {}, {'data': {'parts': 'GLOBAL'}, 'model': {'encoding': 'gap'}},
    {'data': {'missing': 'zero'}, 'model': {'encoding': 'gap'}}])
def test_test_flip_averages_scores_of_image_and_mirror_image(sections, write_config):
    """Of images and of kept ConvMaps; batches hold any number of images."""
    config = read_config(write_config(**{**sections, 'training': FROZEN}))
    config.data.test_flip, config.training.batch_size = True, 7      # 3 images per batch
    model, data_set, of_run = prepared(config, with_training=False)
    plain = PartDataset(data_set.test, data_set.parts, config.data, train=False, seed=0)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        expected = []
        for example in plain:
            img, parts, visible, _ = collate([example])
            expected.append(sum(
                model.scores(numpy.ascontiguousarray(a), numpy.ascontiguousarray(b), visible)
                ['both'].array[0] for a, b in ((img, parts), (img[..., ::-1], parts[..., ::-1]))))
    expected = numpy.array(expected) / 2
    label = data_set.test.labels
    loss = numpy.mean([numpy.log(numpy.exp(row).sum()) - row[i]
                       for row, i in zip(expected, label)])
    for options in ({}, {'make': of_run}):
        model.given_conv_maps = bool(options)
        with iterate_test_images(config, data_set, **options) as iterator:
            found = predict(model, iterator, CPU, n_views=2)
        assert found.label.tolist() == label.tolist()
        assert found.n_visible.tolist() == [visible.sum() for _, _, visible, _ in plain]
        assert found.classes['both'].tolist() == expected.argmax(axis=1).tolist()
        assert found.loss == pytest.approx(loss, rel=1e-3 if options else 1e-5)


def outcome(folder=OUT):
    return [(folder / name).read_bytes() for name in ('model.npz', 'predictions.csv')]


def killed_run(config, suffix, n):
    """Trains in a process that is killed before it completes its n-th file with a suffix."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)      # of other threads in a fork
        pid = os.fork()
    if pid == 0:
        numpy_convolution._threads.cache_clear()        # threads of the parent
        replaced = os.replace

        def replace_or_die(*paths):
            nonlocal n
            n -= str(paths[1]).endswith(suffix)
            if n == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            replaced(*paths)
        os.replace = replace_or_die
        try:
            run('train', config)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_kills_change_no_byte(write_config, small_shards):
    config = write_config(data={'test_flip': True}, training={**FROZEN, 'workers': 1})
    assert run('train', config) == 0
    expected, keys = outcome(), kept()
    shutil.rmtree('results')
    for place in (('0.npy', 1), ('2.csv', 1), ('5.npy', 2), ('.png', 1), ('predictions.csv', 1)):
        killed_run(config, *place)
    assert run('train', config) == 0
    assert outcome() == expected and kept() == keys


def test_second_run_computes_nothing(write_config, monkeypatch, capsys):
    config = write_config(training=FROZEN)
    assert run('train', config, '--dry-run') == 0
    foretold = capsys.readouterr().out
    assert run('train', config) == 0
    told = capsys.readouterr().err
    size = sum(path.stat().st_size - 128 for path in Path('results').rglob('*.npy'))  # headers
    assert f'ConvMaps on disk     {len(kept())} in float16, {size / 1e6:.1f} MB\n' in foretold
    assert told.count('ConvMaps are computed once: 18 images, 2 views, in all ') == 2
    before = outcome()

    def never(*arguments):
        raise AssertionError
    with monkeypatch.context() as patch:
        patch.setattr(inputs, '_conv_maps', never)
        assert run('train', config, '--output', 'results/same') == 0
        assert outcome(Path('results/same')) == before
        assert run('train', config, '--set', 'model.n_components=3', '--output',
                   'results/other') == 0
        assert run('evaluate', OUT) == 0
    assert 'ConvMaps' not in capsys.readouterr().err
    shutil.rmtree('results/features')
    assert run('evaluate', OUT) == 0
    assert ': ConvMaps are computed once: 6 images, 1 view, in all ' in capsys.readouterr().err
    assert outcome() == before


def test_cnns_of_a_finished_run_predict_as_its_conv_maps(write_config, birds, capsys):
    config = write_config(training={**FROZEN, 'learning_rate': .01})
    assert run('train', config) == 0
    assert run('evaluate', OUT, '--set', f'data.root={birds}', '--output', 'cnns') == 0
    tables = [[*csv.DictReader(Path(folder, 'predictions.csv').open())] for folder in (OUT, 'cnns')]
    assert len(tables[0]) == 6
    assert [row['both'] for row in tables[0]] == [row['both'] for row in tables[1]]


@pytest.mark.parametrize('option, n_views', [('--flip', 2), ('--no-flip', 1)])
def test_option_of_evaluate_and_predict(option, n_views, finished_gap, copy_of, tmp_path, birds,
                                        monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder, sizes = copy_of(finished_gap), []
    before = outcome(folder)
    monkeypatch.setattr('finetune.experiments.experiment.predict', lambda *arguments: sizes.append(
        arguments[-1]) or predict(*arguments))
    assert run('evaluate', folder, '--set', f'data.root={birds}', option) == 0
    assert sizes == [n_views] and outcome(folder) == before
    from finetune import load as load_run
    config = read_config_of(folder)
    data_set = load(replace(config.data, root=str(birds)))
    model = build_classifier(config, data_set)
    load_classifier(model, folder / 'model.npz')
    picture = data_set.test.paths[0]
    scores = load_run(folder, part_file=parts_table(picture)).predict([picture]).scores
    flipped = load_run(folder, part_file=parts_table(picture), flip=n_views > 1).predict([picture])
    assert (flipped.scores == scores).all() == (n_views == 1)
    assert run('predict', folder, picture, option) == 0


def read_config_of(folder):
    from finetune.runs.folder import RunFolder
    return RunFolder(folder).read_config()


def parts_table(picture):
    Path('parts.csv').write_text(f'image,part,x,y\n{picture.absolute()},beak,20,10\n')
    return 'parts.csv'


def test_several_ranks(write_config, monkeypatch):
    from finetune.training import joint
    monkeypatch.setattr(joint.processes, 'size', lambda: 2)
    config = read_config(write_config(training=FROZEN))
    with pytest.raises(InputError, match='training.views is 2, which needs a single rank; leave'):
        joint.check_ranks(config, load(config.data))
