"""ResNet50 and VGG16: equal to Chainer's own, with its preparation of images."""
import chainer
import chainer.links as L
from chainer.links.model.vision import resnet, vgg
import numpy
from numpy.testing import assert_allclose
import pytest

from conftest import run
from finetune import files
from finetune.config.catalogue import ARCHITECTURES
from finetune.models.chainer_cnns import as_caffe, RESNET_MEAN, ResNet50, VGG16, VGG_MEAN
from finetune.weights import pretrained

CNNS = {'resnet50': (ResNet50, L.ResNet50Layers, resnet.prepare, 'res5'),
        'vgg16': (VGG16, L.VGG16Layers, vgg.prepare, 'pool5')}


@pytest.mark.parametrize('module, mean', [(resnet, RESNET_MEAN), (vgg, VGG_MEAN)])
def test_images_are_prepared_as_chainers(module, mean):
    image = numpy.random.RandomState(0).randint(0, 256, (40, 40, 3)).astype(numpy.uint8)
    expected = module.prepare(image, size=None)
    result = as_caffe(image.transpose(2, 0, 1)[None].astype('f') / 127.5 - 1, mean)
    assert_allclose(result.array[0], expected, atol=1e-3)


@pytest.mark.parametrize('name', CNNS)
def test_conv_maps_are_chainers_with_its_weights(name, tmp_path, monkeypatch):
    kind, original, prepare, layer = CNNS[name]
    for module in (resnet, vgg):        # layers of classes that are small
        monkeypatch.setattr(module, 'Linear', lambda *arguments, **options: L.Linear(1, 1))
    theirs = original(pretrained_model=None)
    chainer.serializers.save_npz(tmp_path / 'theirs.npz', theirs)
    ours = kind()
    pretrained.load_cnn(ours, tmp_path / 'theirs.npz')
    image = numpy.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(numpy.uint8)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        expected = theirs(prepare(image, size=None)[None], layers=[layer])[layer].array
        result = ours(image.transpose(2, 0, 1)[None].astype('f') / 127.5 - 1).array
    assert result.shape == (1, ARCHITECTURES[name].n_features, 2, 2)
    assert_allclose(result, expected, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize('name', CNNS)
def test_training_reaches_every_array(name):
    cnn = CNNS[name][0]()
    x = numpy.random.RandomState(0).uniform(-1, 1, (2, 3, 64, 64)).astype('f')
    cnn.cleargrads()
    y = cnn(x)
    y.grad = numpy.ones_like(y.array)
    y.backward()
    assert all(param.grad is not None and numpy.isfinite(param.grad).all()
               for param in cnn.params())


@pytest.mark.parametrize('name', CNNS)
def test_smallest_input(name):
    size = ARCHITECTURES[name].smallest_input
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        assert CNNS[name][0]()(numpy.zeros((1, 3, size, size), 'f')).shape[2:] == (1, 1)


def test_run_with_resnet50_is_exported(write_config, capsys):
    """Through the command line; it is evaluated untrained."""
    pytest.importorskip('onnxruntime')
    config = write_config(model={'architecture': 'resnet50'},
                          training={'epochs': 0})
    assert run('train', config) == 0
    keys = files.read_arrays('results/config/seed0/model.npz').keys()
    assert 'part_cnn/res2/a/conv1/W' in keys and not any('fc6' in key for key in keys)
    assert run('export', 'results/config/seed0', 'model.onnx') == 0
    assert 'equal to Chainer' in capsys.readouterr().out
