"""The doctor through the command line: what it finds, and whether training can start."""
from hashlib import sha256
import importlib.metadata
from pathlib import Path

from PIL import Image
import pytest

from finetune import cli
from finetune.config.catalogue import Counts, DATA_SETS
from finetune.data import annotation_files

import layouts

# How the fixture's birds were drawn.
DRAWN = {'dataset': 'minibirds',
         'drawing': {'n_species': 3, 'n_train': 4, 'n_test': 2, 'size': 48}}


def doctor(capsys, *arguments):
    capsys.readouterr()
    code = cli.main(['doctor', *arguments])
    return code, capsys.readouterr().out


def test_environment_alone(capsys, monkeypatch):
    needed = ['chainer==7.8.1', 'numpy', 'pyyaml; extra == "finetune"', 'none; extra == "docs"']
    monkeypatch.setattr('importlib.metadata.requires', {'fisher-vector-layer': needed}.get)
    code, printed = doctor(capsys)
    assert code == 0
    packages = [line.split()[1] for line in printed.splitlines()[1:4]]
    assert packages == ['chainer', 'numpy', 'pyyaml'] and ' none ' not in printed
    assert 'chainer 7.8.1' in printed and printed.endswith('Training can start.\n')
    needed.append('no-such-package; extra == "finetune"')
    code, printed = doctor(capsys)
    assert code == 2
    assert 'error    no-such-package is missing; pip install no-such-package\n' in printed


def test_project_that_is_not_installed(capsys, monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr('importlib.metadata.requires', requires)
    code, printed = doctor(capsys)
    assert code == 0
    assert 'warning  fisher-vector-layer is not installed' in printed


def test_options_without_a_config(capsys):
    capsys.readouterr()
    assert cli.main(['doctor', '--gpu', '0']) == 2
    assert 'give a config, too' in capsys.readouterr().err


def test_sound_data_set(write_config, capsys):
    code, printed = doctor(capsys, write_config(data=DRAWN))
    assert code == 0
    for finding in ('all settings are known', '3 classes, 12 training and 6 test images',
                    'all 18 images exist', 'one image of each of 3 classes decoded',
                    'model.pretrained is empty'):
        assert finding in printed


def test_number_of_images_that_is_not_the_published_one(write_config, capsys):
    code, printed = doctor(capsys, write_config())
    assert code == 2
    assert 'error' in printed and 'instead of 200, 5994 and 5794; get' in printed


@pytest.mark.parametrize('dataset, code, finding', [
    ('cub200', 2, '3 classes, 12 training and 6 test images instead of 200, 5994 and 5794; get'),
    ('nabirds', 2, '3 classes, 12 training and 6 test images instead of 555, 23929 and 24633; '),
    ('birdsnap', 0, '3 classes, 10 training and 6 test images, '
                    'of 500, 47386 and 2443; many of its links are dead'),
])
def test_counts_of_the_real_data_sets(dataset, code, finding, drawn_birds, tmp_path, write_config,
                                      capsys, monkeypatch):
    data_set = annotation_files.read_cub(drawn_birds)
    options = {'missing': (1, 2)} if dataset == 'birdsnap' else {}
    layouts.WRITERS[dataset](data_set, drawn_birds, tmp_path / 'small', **options)
    config = write_config(data={'dataset': dataset, 'root': 'small'})
    assert_finding(doctor(capsys, config), code, finding)
    row, n_parts = DATA_SETS[dataset], DATA_SETS[dataset].counts.n_parts
    monkeypatch.setitem(DATA_SETS, dataset, row._replace(counts=Counts(3, 12, 6, n_parts)))
    result = doctor(capsys, config)
    assert_finding(result, 0, 'small: 3 classes')
    monkeypatch.setitem(DATA_SETS, dataset, row._replace(counts=Counts(3, 12, 6, 2)))
    assert_finding(doctor(capsys, config), 2, 'parts instead of 2; get the complete annotations')


@pytest.mark.parametrize('box, code, finding', [
    ((10, 10, 200, 200), 0, '1 parts, 100 % of them visible'),
    ((10, 10, 440, 200), 0,
     '1 image has visible parts that extend beyond the image, the first is image u0'),
    ((10, 10, 5, 5), 0, '1 parts, 100 % of them visible'),      # a pixel, not none
    ((0, 0, 10 ** 6, 10 ** 6), 2,
     '1 image has parts whose crops are far larger than the image, the first is image u0'),
    ((900, 10, 50, 50), 2, '1 image has parts whose crops are empty or entirely outside'),
])
def test_boxes(box, code, finding, drawn_birds, tmp_path, write_config, capsys):
    data_set = annotation_files.read_cub(drawn_birds)
    boxes = {record.image_id: [(10, 10, 200, 200)] for record in data_set.train + data_set.test}
    boxes['1'] = [box]
    layouts.write_authors(data_set, tmp_path / 'cs', boxes)
    # of Birdsnap the number of images does not matter
    config = write_config(data={'root': 'cs', 'parts': 'CS_PARTS', 'dataset': 'birdsnap'})
    assert_finding(doctor(capsys, config), code, finding)


def test_rotations_in_exif_data(write_config, birds, capsys):
    """Image 1, cut to 40 x 48 pixels; its back is at x = 45, outside only if the image is turned.
    """
    path = first_image(birds)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).crop((0, 0, 48, 40)).save(path, exif=exif)
    lines = (birds / 'parts/part_locs.txt').read_text().splitlines()
    lines[:15] = [f'1 {part} 45 3 1' for part in range(1, 16)]
    (birds / 'parts/part_locs.txt').write_text('\n'.join(lines))
    result = doctor(capsys, write_config(data=DRAWN))
    assert_finding(result, 0, '1 image has an EXIF rotation, which is ignored')
    assert 'reach outside' not in result[1]


def first_image(birds):
    return sorted((birds / 'images').rglob('*.png'))[0]


def move_a_part(birds, x):
    path = birds / 'parts' / 'part_locs.txt'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([f'1 1 {x} 3.0 1', *lines[1:]]))


@pytest.mark.parametrize('damage, code, finding', [
    (lambda birds: first_image(birds).unlink(), 2, '1 image is missing, the first is '),
    (lambda birds: first_image(birds).write_text('no'), 2,
     'is not a picture of a known format'),
    (lambda birds: (birds / 'images.txt').unlink(), 2, 'images.txt'),
    (lambda birds: sorted((birds / 'images').rglob('*.png'))[1].write_text('no'), 2,
     'is not a picture of a known format'),
    (lambda birds: move_a_part(birds, 50), 0,
     '1 image has visible parts that extend beyond the image'),
    (lambda birds: move_a_part(birds, 900), 2,
     '1 image has parts whose crops are empty or entirely outside, the first is image 1'),
])
def test_broken_data_set(damage, code, finding, write_config, birds, capsys):
    damage(birds)
    assert_finding(doctor(capsys, write_config(data=DRAWN)), code, finding)


def assert_finding(result, code, finding):
    assert result[0] == code
    assert finding in result[1]
    verdict = 'can start' if code == 0 else 'cannot start'
    assert verdict in result[1].splitlines()[-1]


@pytest.mark.parametrize('model, finding', [
    ({'pretrained': 'none.npz'}, 'none.npz: there is no such weights file'),
    ({'pretrained': 'models/inception_v3_iNat_299.ckpt'},
     'or get it from https://github.com/richardaecn/'),
    ({'pretrained': 'none.yml'}, 'none.yml: there is no such config'),
    ({'encodin': 'fve'}, 'did you mean model.encoding?'),
])
def test_broken_config(model, finding, write_config, capsys):
    config = write_config(data=DRAWN, model=model)
    assert_finding(doctor(capsys, config), 2, finding)


def test_missing_data_and_missing_weights_are_told_at_once(write_config, capsys):
    config = write_config(data={'root': 'none'}, model={'pretrained': 'none.npz'})
    code, printed = doctor(capsys, config)
    assert code == 2
    assert 'error    none: there is no such folder' in printed
    assert 'error    none.npz: there is no such weights file' in printed


def test_weights_that_fit(write_config, capsys):
    config = write_config(data=DRAWN, training={'epochs': 1})
    assert cli.main(['train', config]) == 0
    config = write_config('next.yml', data=DRAWN,
                          model={'pretrained': 'results/config/seed0/model.npz'})
    checksum = sha256(Path('results/config/seed0/model.npz').read_bytes()).hexdigest()
    assert_finding(doctor(capsys, config), 0, f'weights fit small_cnn, SHA-256 {checksum}')


def test_gpu_that_is_not_there(write_config, capsys):
    config = write_config(data=DRAWN)
    assert_finding(doctor(capsys, config, '--gpu', '60'), 2, 'training.gpu is 60')
