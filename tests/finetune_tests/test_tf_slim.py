"""TF-Slim's InceptionV3: the same activations, released weights and checkpoints by its names."""
import sys

import chainer
from chainer import serializers
import numpy
import pytest

from finetune import cli
from finetune.compute.recompute import run_steps
from finetune.config.settings import Model
from finetune.errors import InputError
from finetune.models.inception_v3 import InceptionV3
from finetune.models.part_classifier import PartClassifier
from finetune.weights import pretrained, tf_slim

from conftest import fails
import tf_slim_reference as reference


def shapes():
    """Shapes of TF-Slim's variables, from those of our InceptionV3."""
    serializer = serializers.DictionarySerializer()
    serializer.save(InceptionV3())
    shapes = {theirs: serializer.target[ours].shape for ours, theirs in tf_slim.variables().items()}
    return {name: tuple(shape[i] for i in (2, 3, 1, 0)) if len(shape) == 4 else shape
            for name, shape in shapes.items()}


@pytest.fixture(scope='module')
def released():
    """Arrays as in the released .npz files: without the scope, class layers besides."""
    arrays = {name: reference.variable(tf_slim.SCOPE + name, shape)
              for name, shape in shapes().items()}
    arrays['Logits/Conv2d_1c_1x1/weights'] = numpy.zeros((1, 1, 2048, 3), 'f')
    arrays['AuxLogits/Conv2d_1b_1x1/weights'] = numpy.zeros((1, 1, 768, 128), 'f')
    arrays['global_step'] = numpy.array(5)
    return arrays


def assert_equals_tf_slim(link):
    """The activations are TF-Slim's, within 1e-4 of the largest."""
    with numpy.load(reference.FIXTURE) as expected, chainer.using_config('train', False), (
            chainer.no_backprop_mode()):
        x = run_steps(link.head.steps, reference.image(), recompute=False)
        for i in range(11):
            x = link[f'mixed{i:02d}'](x)
            for name, ours in reference.LAYERS.items():
                if ours == f'mixed{i:02d}':
                    assert_close(reference.sample(x.array), expected[name])
        pooled = x.array.mean(axis=(2, 3), keepdims=True)
        assert_close(reference.sample(pooled), expected['pooled'])


def assert_close(actual, expected):
    assert actual.shape == expected.shape and expected.std() > .01
    assert abs(actual - expected).max() < 1e-4 * abs(expected).max()


def test_same_activations_as_tf_slim(released, tmp_path):
    numpy.savez(tmp_path / 'model.inat.ckpt.npz', **released)
    model = PartClassifier(Model(encoding='gap'), n_classes=4, n_parts=2)
    pretrained.load_backbones(model, tmp_path / 'model.inat.ckpt.npz')
    assert_equals_tf_slim(model.part_cnn)
    for (name, one), (_, other) in zip(sorted(model.global_cnn.namedparams()),
                                       sorted(model.part_cnn.namedparams())):
        assert (one.array == other.array).all(), name


def test_epsilon_and_padding_make_a_difference(released, monkeypatch):
    """The activations would tell the authors' epsilon of 2e-5 from TF-Slim's."""
    link = InceptionV3()
    arrays, _ = tf_slim.convert(released, 'x')
    serializers.NpzDeserializer(arrays).load(link)
    for _, one in link.namedlinks():
        if isinstance(one, chainer.links.BatchNormalization):
            one.eps = 2e-5
    with pytest.raises(AssertionError):
        assert_equals_tf_slim(link)


def test_averages_are_preferred(released):
    name = 'Mixed_7b/Branch_1/Conv2d_0b_3x1/weights'
    arrays = {tf_slim.SCOPE + key: array for key, array in released.items()}
    arrays[tf_slim.SCOPE + name + tf_slim.AVERAGE] = released[name] + 1
    key = 'mixed09/conv3x3_3/conv/W'
    averaged, rest = tf_slim.convert(arrays, 'x')
    of_last_step = {name: arrays[name] for name in arrays if tf_slim.AVERAGE not in name}
    raw, other_rest = tf_slim.convert(of_last_step, 'x')
    expected = released[name].transpose(3, 2, 0, 1)
    assert (averaged[key] == expected + 1).all() and (raw[key] == expected).all()
    assert set(rest) - set(other_rest) == {tf_slim.SCOPE + name}
    assert averaged[key].flags.c_contiguous and len(averaged) == 470


def test_missing_variables_are_listed(released, tmp_path):
    arrays = dict(released)
    del arrays['Conv2d_2a_3x3/weights']
    arrays['Mixed_5c/Branch_1/renamed'] = arrays.pop('Mixed_5c/Branch_1/Conv_1_0c_5x5/weights')
    numpy.savez(tmp_path / 'broken.npz', **arrays)
    model = PartClassifier(Model(encoding='gap'), n_classes=4, n_parts=0)
    with pytest.raises(InputError) as error:
        pretrained.load_backbones(model, tmp_path / 'broken.npz')
    assert str(error.value).endswith(
        '(2 missing: Conv2d_2a_3x3/weights, Mixed_5c/Branch_1/Conv_1_0c_5x5/weights); use weights '
        'of that network.')


def test_other_shapes_are_listed(released, tmp_path):
    arrays = {**released, 'Conv2d_2a_3x3/weights': numpy.zeros((3, 3, 32, 8), 'f')}
    numpy.savez(tmp_path / 'broken.npz', **arrays)
    model = PartClassifier(Model(encoding='gap'), n_classes=4, n_parts=0)
    with pytest.raises(InputError, match=r'1 misshapen: head/conv2/conv/W \(8, 32, 3, 3\) for'):
        pretrained.load_backbones(model, tmp_path / 'broken.npz')


def test_convert_without_tensorflow(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    (tmp_path / 'model.ckpt.index').write_text('')
    error = fails(capsys, 'convert', tmp_path / 'model.ckpt', tmp_path / 'out.npz')
    assert 'model.ckpt: convert needs TensorFlow' in error


def test_convert_overwrites_nothing(tmp_path, capsys):
    (tmp_path / 'out.npz').write_text('mine')
    assert cli.main(['convert', 'model.ckpt', str(tmp_path / 'out.npz')]) == 2
    assert 'out.npz: exists already' in capsys.readouterr().err
    assert (tmp_path / 'out.npz').read_text() == 'mine'
    assert cli.main(['convert', 'model.ckpt', str(tmp_path / 'out.h5')]) == 2
    assert 'the output is an .npz file' in capsys.readouterr().err


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """V1 and V2 checkpoints of TF-Slim's network; raw variables are twice the averaged ones."""
    tf = pytest.importorskip('tensorflow').compat.v1
    pytest.importorskip('tf_slim')
    folder = tmp_path_factory.mktemp('checkpoints')
    _, _, variables = reference.build()
    average = tf.train.ExponentialMovingAverage(.5)
    tf.train.get_or_create_global_step()
    update = average.apply(variables)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        reference.start(session, [one for one in variables])
        session.run(update)
        for one in variables:
            values = reference.variable(one.op.name, one.shape.as_list())
            average.average(one).load(values, session)
            one.load(2 * values, session)
        for version, name in ((tf.train.SaverDef.V1, 'v1.ckpt'), (tf.train.SaverDef.V2, 'v2.ckpt')):
            tf.train.Saver(write_version=version).save(session, str(folder / name))
    return folder


@pytest.mark.parametrize('name', ['v1.ckpt', 'v2.ckpt', 'v2.ckpt.index'])
def test_convert(name, checkpoints, tmp_path, capsys):
    assert cli.main(['convert', str(checkpoints / name), str(tmp_path / 'new/out.npz')]) == 0
    printed = capsys.readouterr().out
    assert 'mapped   376 arrays to' in printed and '376 arrays averaged' in printed
    for group in ('of the class layer', 'that also exist averaged',
                  'counters and variables of the optimiser'):
        assert group in printed
    link = InceptionV3()
    serializers.load_npz(tmp_path / 'new/out.npz', link)
    assert_equals_tf_slim(link)


def test_convert_raw(checkpoints, tmp_path, capsys):
    assert cli.main(['convert', '--raw', str(checkpoints / 'v2.ckpt'),
                     str(tmp_path / 'out.npz')]) == 0
    assert 'raw as requested' in capsys.readouterr().out
    with numpy.load(tmp_path / 'out.npz') as arrays:
        name = 'InceptionV3/Conv2d_1a_3x3/weights'
        expected = 2 * reference.variable(name, (3, 3, 3, 32)).transpose(3, 2, 0, 1)
        assert (arrays['head/conv1/conv/W'] == expected).all()


def test_convert_what_is_no_checkpoint(tmp_path, capsys):
    pytest.importorskip('tensorflow')
    (tmp_path / 'broken.ckpt.index').write_bytes(bytes(range(256)) * 8)
    capsys.readouterr()
    assert cli.main(['convert', str(tmp_path / 'broken.ckpt'), str(tmp_path / 'out.npz')]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert 'broken.ckpt: is not a complete checkpoint of TensorFlow' in error
    assert not (tmp_path / 'out.npz').exists()
