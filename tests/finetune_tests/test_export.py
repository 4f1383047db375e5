"""Models as ONNX graphs, run by onnxruntime beside Chainer."""
import json
from pathlib import Path
import re
import subprocess
import sys

import chainer
import numpy
from numpy.testing import assert_allclose
from packaging.version import Version
import pytest

from conftest import fails, run
import fve_layer
from finetune.config import catalogue
from finetune.config.config import Config
from finetune.data.dataset import PartDataset
from finetune.errors import InputError
from finetune.export import classifier, cnn
from finetune.export.graph import Graph
from finetune.models.efficientnet_lite import EfficientNetLite0, EfficientNetLite2
from finetune.models.inception_v3 import InceptionV3, OriginalInceptionV3
from finetune.models.part_classifier import PartClassifier
from finetune.models.steps import UnitLength
from finetune.runs.folder import RunFolder
from finetune.runs.opening import open_run

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

PROJECT = Path(__file__).resolve().parents[2]
N_CLASSES, N_PARTS = 4, 3


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def session_of(graph):
    model = graph.model('test', '', {})
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(),
                                        providers=['CPUExecutionProvider'])


def randomize(model, random):
    """Random batch statistics, mixture and scale, as after training."""
    for link in model.links():
        if isinstance(link, chainer.links.BatchNormalization):
            link.avg_mean[...] = random.normal(scale=.1, size=link.avg_mean.shape)
            link.avg_var[...] = random.uniform(.5, 2, link.avg_var.shape)
        if isinstance(link, fve_layer.GMMLayer):
            link.mean[...] = random.normal(size=link.mean.shape)
            link.var[...] = random.uniform(.5, 2, link.var.shape)
            link.weight[...] = random.dirichlet(numpy.ones(len(link.weight)))
        elif isinstance(link, fve_layer.GradientFVELayer):
            for param in link.params():
                param.array[...] = random.normal(size=param.shape)
    if hasattr(model, 'scaling'):
        model.scaling.scale = numpy.asarray(.3, 'f')
        model.scaling.n_seen = model.scaling.n_batches


# Settings of the model, what happens to missing parts, and the number of parts.
MODELS = {
    **{f'fve, {k} components, {normalization}': ({
        'encoding': 'fve', 'n_components': k, 'normalization': normalization}, 'mask', N_PARTS)
       for k in (1, 5, 50) for normalization in ('sqrt', 'mean')},
    'zero': ({'encoding': 'fve', 'n_components': 2}, 'zero', N_PARTS),
    'centre': ({'encoding': 'fve', 'n_components': 2}, 'centre', N_PARTS),
    'not filtered': ({'encoding': 'fve', 'norm_filter': False, 'n_components': 2}, 'mask', N_PARTS),
    'l2, mean part alone': ({'encoding': 'fve', 'l2_normalize': True, 'only_mean': True,
                             'n_components': 2}, 'mask', N_PARTS),
    'power, components': ({'encoding': 'fve', 'power_normalize': True, 'n_components': 3,
                           'component_normalize': True}, 'mask', N_PARTS),
    'all normalisations, mean part alone': ({
        'encoding': 'fve', 'only_mean': True, 'power_normalize': True, 'component_normalize': True,
        'l2_normalize': True, 'n_components': 3}, 'zero', N_PARTS),
    'compressed, refined': ({'encoding': 'fve', 'comp_size': 16, 'post_fve_size': 8,
                             'n_components': 2}, 'zero', N_PARTS),
    'auxiliary head': ({'encoding': 'fve', 'aux_lambda': .5}, 'mask', N_PARTS),
    'gradient_fve': ({'encoding': 'gradient_fve', 'n_components': 3}, 'mask', N_PARTS),
    'gap': ({'encoding': 'gap'}, 'zero', N_PARTS),
    'compressed gap': ({'encoding': 'gap', 'comp_size': 16}, 'zero', N_PARTS),
    'no parts': ({'encoding': 'gap'}, 'zero', 0),
    'whole image': ({'encoding': 'fve', 'n_components': 3}, 'zero', 0),
}


def make(name, seed=0):
    values, missing, n_parts = MODELS[name]
    config = Config()
    config.data.input_size, config.data.part_input_size = 40, 24
    config.model.architecture = 'small_cnn'
    for key, value in values.items():
        setattr(config.model, key, value)
    model = PartClassifier(config.model, N_CLASSES, n_parts, missing)
    randomize(model, numpy.random.RandomState(seed))
    return model, config


# onnxruntime 1.23, the newest one for Python 3.10, crashes in the convolution of no image.
ACCEPTS_ZERO_IMAGES = Version(onnxruntime.__version__) >= Version('1.32')


@pytest.mark.parametrize('name', MODELS)
def test_scores_are_chainers(name):
    """For any number of images, also zero, and of parts where they have no places of their own."""
    model, config = make(name)
    session = session_of(classifier.classifier_graph(model, config))
    random = numpy.random.RandomState(1)
    for n in (0, 1, 4) if ACCEPTS_ZERO_IMAGES else (1, 4):
        img = random.uniform(-1, 1, (n, 3, 40, 40)).astype('f')
        inputs, arguments = {'images': img}, (numpy.zeros((0, 3, 24, 24), 'f'),
                                              numpy.zeros((n, 0), bool))
        for p in ((1, 3, 6) if model.encoding.has_mixture and model.n_parts else (model.n_parts,)):
            if model.n_parts:
                parts = random.uniform(-1, 1, (n, p, 3, 24, 24)).astype('f')
                visible = random.uniform(size=(n, p)) < .6
                visible[:1] = False
                inputs = {'images': img, 'parts': parts, 'visible': visible}
                arguments = parts[visible], visible
            result, = session.run(None, inputs)
            if n == 0:
                assert result.shape == (0, N_CLASSES)
                continue
            with chainer.using_config('train', False), chainer.no_backprop_mode():
                expected = model.scores(img, *arguments)['both'].array
            assert_allclose(result, expected, atol=1e-5 * abs(expected).max(), rtol=1e-5)


@pytest.mark.parametrize('kind', [fve_layer.FVELayer, fve_layer.GradientFVELayer])
@pytest.mark.parametrize('k, normalization, norm_filter', [
    (1, 'sqrt', True), (5, 'mean', True), (50, 'sqrt', True), (5, 'sqrt', False)])
def test_layer_alone(k, normalization, norm_filter, kind):
    layer = kind(6, k, norm_filter=norm_filter, normalization=normalization)
    random = numpy.random.RandomState(k)
    randomize(layer, random)
    session = session_of(classifier.layer_graph(layer))
    for n, t in ((3, 40), (1, 1), (2, 7)):
        x = random.normal(size=(n, t, 6)).astype('f')
        visible = random.uniform(size=(n, t)) < .7
        visible[-1] = t == 1
        x[~visible] = numpy.nan
        result, = session.run(None, {'features': x, 'visible': visible})
        with chainer.using_config('train', False):
            expected = layer(x, visible).array
        assert_allclose(result, expected, atol=1e-5 * max(abs(expected).max(), 1), rtol=1e-5)


def test_equal_norms_all_count():
    layer = fve_layer.FVELayer(2, 1, norm_filter=True)
    x = numpy.float32([[[1, 0], [0, 1], [-1, 0], [0, 0]]])
    visible = numpy.array([[True, True, True, False]])
    result, = session_of(classifier.layer_graph(layer)).run(
        None, {'features': x, 'visible': visible})
    with chainer.using_config('train', False):
        assert_allclose(result, layer(x, visible).array, atol=1e-6)


def test_components_far_apart_are_in_float64():
    layer = fve_layer.FVELayer(3, 2)
    layer.mean[...] = [[1000, 0, 0], [1000.5, 0, -1000]]
    layer.var[...] = 1e-3
    x = (layer.mean[None] + numpy.random.RandomState(0).normal(
        size=(1, 2, 3)).astype('f') * .03).astype('f')
    visible = numpy.ones((1, 2), bool)
    graph = classifier.layer_graph(layer)
    assert any(constant.data_type == onnx.TensorProto.DOUBLE for constant in graph.constants)
    result, = session_of(graph).run(None, {'features': x, 'visible': visible})
    with chainer.using_config('train', False):
        expected = layer(x, visible).array
    assert_allclose(result, expected, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize('architecture', [InceptionV3, OriginalInceptionV3])
def test_inception_v3(architecture):
    model = architecture()
    random = numpy.random.RandomState(0)
    randomize(model, random)
    graph = Graph()
    images = graph.input('images', ['N', 3, 75, 75])
    graph.output('conv_maps', cnn.add_cnn(graph, model, images, (3, 75, 75)), ['N', 2048, 1, 1])
    x = random.uniform(-1, 1, (2, 3, 75, 75)).astype('f')
    result, = session_of(graph).run(None, {'images': x})
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        expected = model(x).array
    assert expected.max() > 0
    assert_allclose(result, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize('size', [(96, 96), (75, 96)])
@pytest.mark.parametrize('architecture', [EfficientNetLite0, EfficientNetLite2])
def test_efficientnet_lite(architecture, size):
    """Padding depends on the size; ReLU6 cuts at both ends."""
    model, random = architecture(), numpy.random.RandomState(0)
    for link in model.links():
        if isinstance(link, chainer.links.BatchNormalization):
            link.decay = 0      # statistics are those of the next batch
            link.beta.array[...] = random.uniform(1, 4, link.beta.shape)
    x = random.uniform(-1, 1, (8, 3, *size)).astype('f')
    model(x)
    graph = Graph()
    images = graph.input('images', ['N', 3, *size])
    conv_maps = cnn.add_cnn(graph, model, images, (3, *size))
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        expected = model(x).array
    graph.output('conv_maps', conv_maps, ['N', *expected.shape[1:]])
    result, = session_of(graph).run(None, {'images': x})
    assert expected.max() == 6 and expected.min() == 0
    assert_allclose(result, expected, atol=1e-5 * expected.max())


def test_classifier_on_efficientnet_lite_is_small_and_fused(tmp_path):
    """A runtime is left with convolutions and additions of branches."""
    config = Config()
    config.model.architecture, config.model.encoding = 'efficientnet_lite0', 'fve'
    config.model.n_components = 1
    config.data.input_size = config.data.part_input_size = 64
    model = PartClassifier(config.model, 200, 0)
    randomize(model, numpy.random.RandomState(0))
    graph = classifier.classifier_graph(model, config).model('test', '', {})
    assert len(graph.SerializeToString()) < 25e6
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / 'optimized.onnx')
    onnxruntime.InferenceSession(graph.SerializeToString(), options,
                                 providers=['CPUExecutionProvider'])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    n_convolutions = sum(isinstance(link, chainer.links.Convolution2D)
                         for link in model.global_cnn.links())
    assert kinds.count('Conv') + kinds.count('FusedConv') == n_convolutions
    assert 'Clip' not in kinds


class Squashing(chainer.Chain):
    """A CNN with a function that is not known."""

    def forward(self, x):
        return chainer.functions.tanh(x)


def test_function_that_is_not_known():
    with pytest.raises(InputError, match='Squashing: Tanh cannot be exported; .* --layer'):
        cnn.add_cnn(Graph(), Squashing(), 'images', (3, 8, 8))


def test_step_that_does_not_say_how(monkeypatch):
    monkeypatch.delattr(UnitLength, 'add_to')
    with pytest.raises(InputError, match='UnitLength cannot be exported; give it a method add_to'):
        classifier.classifier_graph(*make('l2, mean part alone'))


def test_exported_run_predicts_what_its_evaluation_does(copy_of, finished_run, capsys):
    folder = copy_of(finished_run)
    assert run('export', folder, 'model.onnx') == 0
    printed = capsys.readouterr().out
    assert 'equal to Chainer to' in printed
    assert 'model.onnx: takes the crops of parts and does not find them' in printed
    assert 'The graph does not find parts' in onnx.load('model.onnx').doc_string
    _, config, data_set, _ = open_run(RunFolder(folder))
    session = onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])
    metadata = session.get_modelmeta().custom_metadata_map
    classes = json.loads(metadata['classes'])
    assert classes == data_set.class_names and json.loads(metadata['parts']) == data_set.part_names
    assert 'encoding: fve' in metadata['settings']
    dataset = PartDataset(data_set.test, data_set.parts, config.data, train=False, seed=0)
    predicted = []
    for img, parts, visible, _ in (dataset[i] for i in range(len(dataset))):
        crops = numpy.zeros((1, len(visible), *parts.shape[1:]), 'f')
        crops[0, visible] = parts
        scores, = session.run(None, {'images': img[None], 'parts': crops, 'visible': visible[None]})
        predicted.append(classes[scores.argmax()])
    assert predicted == list(RunFolder(folder).read_predictions()['both'])


def test_mirror_images_are_left_to_the_user(copy_of, finished_gap, capsys):
    folder = copy_of(finished_gap)
    settings = folder / 'config.yml'
    settings.write_text(settings.read_text().replace('test_flip: false', 'test_flip: true'))
    assert run('export', folder, 'model.onnx') == 0
    assert ('model.onnx: scores images alone; for data.test_flip, take the mean of the scores of '
            in capsys.readouterr().out)
    assert 'those mirrored horizontally' in onnx.load('model.onnx').doc_string


def test_example_of_the_documentation(copy_of, finished_run):
    """It needs neither Chainer nor this program."""
    run_folder = copy_of(finished_run)
    assert run('export', run_folder, 'model.onnx') == 0
    text = (PROJECT / 'docs/prediction.md').read_text(encoding='utf-8')
    code = re.search(r'```python\n(import json.*?)```', text, re.S)[1]
    numpy.save('images.npy', numpy.zeros((2, 3, 32, 32), 'f'))
    numpy.save('parts.npy', numpy.zeros((2, 5, 3, 32, 32), 'f'))
    blocked = 'import sys; sys.modules["chainer"] = sys.modules["finetune"] = None\n'
    done = subprocess.run([sys.executable, '-c', blocked + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_layer_of_a_run(copy_of, finished_run):
    assert run('export', copy_of(finished_run), 'layer.onnx', '--layer') == 0
    session = onnxruntime.InferenceSession('layer.onnx', providers=['CPUExecutionProvider'])
    assert [value.name for value in session.get_inputs()] == ['features', 'visible']
    n_features = catalogue.ARCHITECTURES['small_cnn'].n_features
    result, = session.run(None, {'features': numpy.ones((2, 9, n_features), 'f'),
                                 'visible': numpy.ones((2, 9), bool)})
    assert result.shape == (2, 2 * 2 * n_features)


def test_graph_that_differs_is_not_written(copy_of, finished_run, capsys, monkeypatch):
    monkeypatch.setattr(Graph, 'pooled', lambda graph, conv_map: graph.add(
        'ReduceMax', conv_map, axes=[2, 3], keepdims=0))
    error = fails(capsys, 'export', copy_of(finished_run), 'x.onnx')
    assert 'differs from Chainer by' in error and not Path('x.onnx').exists()


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_scores_that_are_not_finite_are_not_exported(copy_of, finished_run, capsys):
    folder = copy_of(finished_run)
    arrays = dict(numpy.load(folder / 'model.npz'))
    arrays['global_head/W'].fill(3e38)
    numpy.savez(folder / 'model.npz', **arrays)
    error = fails(capsys, 'export', folder, 'x.onnx')
    assert f'{folder}: its results for random inputs are not finite' in error
    assert not Path('x.onnx').exists()


def test_bad_input(copy_of, finished_gap, capsys, monkeypatch):
    folder = copy_of(finished_gap)
    assert 'a name ending in .zip or .onnx' in fails(capsys, 'export', folder, 'model.bin')
    Path('there.onnx').write_text('before')
    assert 'exists already' in fails(capsys, 'export', folder, 'there.onnx')
    assert Path('there.onnx').read_text() == 'before'
    assert 'has no Fisher vector layer' in fails(capsys, 'export', folder, 'x.onnx', '--layer')
    assert 'nothing: there is no such folder' in fails(capsys, 'export', 'nothing', 'x.onnx')
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert 'needs onnx; pip install onnx.' in fails(capsys, 'export', folder, 'x.onnx')
    assert not Path('x.onnx').exists()
