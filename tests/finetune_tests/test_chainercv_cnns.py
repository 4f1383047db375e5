"""CNNs of ChainerCV: equal to the package's own, with its preparation of images."""
from pathlib import Path
from pkgutil import resolve_name
import sys
import tracemalloc

import chainer
from chainer.serializers import DictionarySerializer, NpzDeserializer
import numpy
from numpy.testing import assert_allclose
import pytest

from conftest import fails, run
from finetune import files
from finetune.compute import onednn
from finetune.config.catalogue import ARCHITECTURES
from finetune.weights import pretrained

links = pytest.importorskip('chainercv.links')
FeaturePredictor = links.FeaturePredictor
CNNS = {
    'resnet50': (links.ResNet50, {}), 'resnet101': (links.ResNet101, {}),
    'resnet152': (links.ResNet152, {}), 'resnet50_he': (links.ResNet50, {'arch': 'he'}),
    'resnet101_he': (links.ResNet101, {'arch': 'he'}),
    'resnet152_he': (links.ResNet152, {'arch': 'he'}), 'se_resnet50': (links.SEResNet50, {}),
    'se_resnet101': (links.SEResNet101, {}), 'se_resnet152': (links.SEResNet152, {}),
    'se_resnext50': (links.SEResNeXt50, {}), 'se_resnext101': (links.SEResNeXt101, {}),
    'vgg16': (links.VGG16, {})}
KINDS = 'resnet50', 'resnet50_he', 'resnet50_torch', 'se_resnet50', 'se_resnext50', 'vgg16'
# One of each way to compute; the others take as long and are alike.
SOME = [pytest.param(name, marks=() if name in ('resnet50', 'se_resnext50', 'vgg16')
                     else pytest.mark.slow) for name in KINDS]
SIZE = 70, 97       # of images
DRAWN = {'dataset': 'minibirds', 'drawing': {'n_species': 3, 'n_train': 4, 'n_test': 2, 'size': 48}}


def build(name, **options):
    return resolve_name(ARCHITECTURES[name].cnn)(**options)


def theirs_of(name):
    """ChainerCV's network with random arrays, running statistics and biases too."""
    kind, options = CNNS[name]
    network = kind(n_class=3, initialW=chainer.initializers.HeNormal(), **options)
    if name == 'vgg16':
        network.pick = 'pool5'
        network.remove_unused()     # its class layers are large
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        network(numpy.zeros((1, 3, 32, 32), 'f'))
    random = numpy.random.RandomState(0)
    for link in network.links():
        if isinstance(link, chainer.links.BatchNormalization):
            for array, low, high in ((link.gamma.array, .3, .6), (link.beta.array, -.2, .2),
                                     (link.avg_mean, -.2, .2), (link.avg_var, .5, 2)):
                array[...] = random.uniform(low, high, array.shape)
        elif getattr(link, 'b', None) is not None:
            link.b.array[...] = random.uniform(-.2, .2, link.b.shape)
    network.pick = 'pool5' if name == 'vgg16' else 'res5'
    return network


def images():
    return numpy.random.RandomState(0).randint(0, 256, (2, 3, *SIZE)).astype('f')


def arrays_of(link):
    state = DictionarySerializer()
    state.save(link)
    return state.target


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow if '1' in name[-3:] and name != 'vgg16' else ())
    for name in CNNS])
def test_conv_maps_are_those_of_chainercv(name):
    theirs, ours = theirs_of(name), build(name)
    predictor = FeaturePredictor(theirs, SIZE)
    prepared = numpy.concatenate([predictor._prepare(image) for image in images()])
    arrays = arrays_of(theirs)
    expected_keys = {key for key in arrays if not key.startswith('fc')}
    assert arrays_of(ours).keys() == expected_keys
    NpzDeserializer(arrays).load(ours)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        expected = theirs(prepared).array
    assert expected.shape[:2] == (2, ARCHITECTURES[name].n_features)
    for use_onednn in {False, onednn.library() is not None}:
        for backprop in False, True:        # oneDNN computes them differently
            with chainer.using_config('train', False), chainer.using_config(
                    'use_onednn', use_onednn), chainer.using_config('enable_backprop', backprop):
                result = ours(images() / 127.5 - 1).array
            assert_allclose(result, expected, atol=1e-5 * abs(expected).max(), rtol=0)


@pytest.mark.parametrize('name', ['resnet50', 'resnet50_he', 'se_resnext50', 'vgg16'])
def test_gradients_and_batch_statistics_are_those_of_chainercv(name):
    """Gradients in test mode: those of so many batch normalisations amplify rounding."""
    theirs, ours = theirs_of(name), build(name)
    NpzDeserializer(arrays_of(theirs)).load(ours)
    for network, x in ((theirs, images() - theirs.mean), (ours, images() / 127.5 - 1)):
        network.cleargrads()
        with chainer.using_config('train', False):
            y = network(x)
        y.grad = numpy.random.RandomState(1).uniform(0, 1, y.shape).astype('f')
        y.backward()
        network(x)
    for key, expected in arrays_of(theirs).items():
        if 'avg_' in key:
            assert_allclose(arrays_of(ours)[key], expected, rtol=1e-3, atol=1e-3, err_msg=key)
    params = dict(ours.namedparams())
    for key, param in theirs.namedparams():
        if not key.startswith('/fc'):
            difference = numpy.linalg.norm(params[key].grad - param.grad)
            # Rounding moves a few values over the bend of a ReLU.
            assert 0 <= difference < 1e-2 * numpy.linalg.norm(param.grad), key


@pytest.mark.parametrize('dtype', 'fe')
@pytest.mark.parametrize('name', SOME)
def test_training_reaches_every_array(name, dtype):
    cnn = build(name)
    cnn.cleargrads()
    y = cnn((images()[..., :64, :64] / 127.5 - 1).astype(dtype))
    assert y.dtype == dtype
    y.grad = numpy.random.RandomState(1).uniform(-1, 1, y.shape).astype(dtype)
    y.backward()
    for key, param in cnn.namedparams():
        assert param.grad.dtype == numpy.float32 and numpy.isfinite(param.grad).all(), key
        assert param.grad.any(), key


@pytest.mark.parametrize('name', SOME[:-1])      # recomputing VGG16 saves nothing
def test_recomputation_gives_the_same_bits_with_less_memory(name):
    results, kept = [], []
    for recompute in False, True:
        numpy.random.seed(0)
        cnn = build(name, recompute=recompute)
        cnn.cleargrads()
        tracemalloc.start()
        y = cnn(images() / 127.5 - 1)
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        y.grad = numpy.random.RandomState(1).standard_normal(y.shape).astype('f')
        y.backward()
        results.append({'': y.array, **arrays_of(cnn),
                        **{f'gradient{key}': param.grad for key, param in cnn.namedparams()}})
    for key, array in results[0].items():
        assert numpy.array_equal(array, results[1][key]), key
    assert kept[1] < .5 * kept[0]


@pytest.mark.parametrize('name', SOME)
def test_smallest_input(name):
    size = ARCHITECTURES[name].smallest_input
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        assert build(name)(numpy.zeros((1, 3, size, size), 'f')).shape[2:] == (1, 1)


@pytest.mark.parametrize('name', SOME[:2] + SOME[3:4])
def test_file_of_chainercv_is_loaded_without_its_class_layer(name, tmp_path):
    theirs = theirs_of(name)
    path = tmp_path / f'{name}_imagenet.npz'
    chainer.serializers.save_npz(path, theirs)
    with numpy.load(path) as file:
        assert 'fc6/W' in file
    ours = build(name)
    pretrained.load_cnn(ours, path)
    arrays = arrays_of(theirs)
    assert all((array == arrays[key]).all() for key, array in arrays_of(ours).items())


@pytest.mark.parametrize('name', SOME[-2:])
def test_run_is_checked_trained_and_exported(name, write_config, capsys):
    """Through the command line; the exported classifier is compared with Chainer's scores."""
    pytest.importorskip('onnxruntime')
    chainer.serializers.save_npz('weights.npz', theirs_of(name.removesuffix('_torch')))
    config = write_config(data={**DRAWN, 'parts': 'GLOBAL'}, training={'epochs': 0}, model={
        'architecture': name, 'pretrained': 'weights.npz'})
    assert run('train', config, '--dry-run') == 0
    assert run('doctor', config) == 0
    assert f'weights fit {name}' in capsys.readouterr().out
    assert run('train', config) == 0
    keys = files.read_arrays('results/config/seed0/model.npz').keys()
    first = 'conv1_1/conv/W' if name == 'vgg16' else 'res2/a/conv1/conv/W'
    assert f'global_cnn/{first}' in keys and not any('/fc' in key for key in keys)
    assert run('export', 'results/config/seed0', 'model.onnx') == 0
    assert 'equal to Chainer' in capsys.readouterr().out


def test_network_is_made_in_float64():
    with chainer.using_config('dtype', numpy.float64):
        network = build('se_resnet50')
    x = numpy.zeros((1, 3, 32, 32))
    with chainer.using_config('train', False):
        assert network(x).dtype == numpy.float64


def test_without_chainercv_one_sentence_says_what_to_install(write_config, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'chainercv.links', None)
    monkeypatch.setitem(sys.modules, 'chainercv', None)
    config = write_config(data=DRAWN,
                          model={'architecture': 'se_resnext50'})
    assert 'need ChainerCV; ' in fails(capsys, 'train', config)
    assert run('doctor', config) == 2
    assert 'need ChainerCV; ' in capsys.readouterr().out
    assert not Path('results/config/seed0/model.npz').exists()
