"""Classifiers of the authors' code: their scores by NumPy, and through the command line."""
from pathlib import Path

import chainer
from chainer.serializers import DictionarySerializer
import numpy
import pytest
from scipy.special import expit, log_softmax, softmax
import yaml

from finetune import cli
from finetune.config.catalogue import Architecture, ARCHITECTURES
from finetune.config.settings import Model
from finetune.data.dataset import collate
from finetune.data.minibirds import drawing
from finetune.errors import InputError
from finetune.models.inception_v3 import BATCH_NORM, ConvBN
from finetune.models.part_classifier import PartClassifier
from finetune.runs.folder import RunFolder
from finetune.runs.opening import open_run
from finetune.runs.predictions import iterate_test_images
from finetune.weights import original_classifier, pretrained

FILTERS = yaml.safe_load((Path(__file__).parent / 'inception_v3_filters.yml').read_text())
N, P, CLASSES, C = 2, 4, 2, 2048


@pytest.fixture(scope='module')
def cnn():
    """Random arrays of InceptionV3 by the names and in the shapes of the authors' code."""
    random, arrays = numpy.random.RandomState(0), {}
    for block, convolutions in FILTERS.items():
        for convolution, shape in convolutions.items():
            deviation = (2 / numpy.prod(shape[1:])) ** .5
            size, name = shape[0], f'{block}/{convolution}/'
            arrays[f'{name}conv/W'] = deviation * random.standard_normal(shape).astype('f')
            arrays[f'{name}bn/beta'] = random.uniform(-.1, .1, size).astype('f')
            arrays[f'{name}bn/avg_mean'] = random.uniform(-.1, .1, size).astype('f')
            arrays[f'{name}bn/avg_var'] = random.uniform(.5, 1.5, size).astype('f')
            arrays[f'{name}bn/N'] = numpy.array(7)
    return arrays


def linear(random, out_size, in_size, name):
    return {f'{name}/W': random.randn(out_size, in_size).astype('f') / in_size ** .5,
            f'{name}/b': random.randn(out_size).astype('f')}


def heads(random, encoding_size, n_outputs, c):
    return {**linear(random, n_outputs, c, 'model/fc'),
            **linear(random, n_outputs, encoding_size, 'separate_model/fc')}


def mixture(random, kind, d, k):
    """Arrays of the layer: rows are dimensions, columns components."""
    arrays = {'mu': random.uniform(0, 1, (d, k)).astype('f'), 'eps': numpy.array(.01)}
    if kind == 'em':
        weight = random.uniform(.2, 1, k)
        arrays.update(sig=random.uniform(.5, 2, (d, k)).astype('f'), t=numpy.array(8),
                      w=(weight / weight.sum()).astype('f'), alpha=numpy.array(.99))
    else:
        arrays.update(_sig=random.uniform(-1, 1, (d, k)).astype('f'),
                      _w=random.uniform(-1, 2, k).astype('f'))
    return {f'fve_layer/{name}': array for name, array in arrays.items()}


def small_arrays(kind='em', k=3, comp=8, post=5, only_mean=False, n_outputs=CLASSES, c=C):
    """What a classifier holds besides its CNNs; ``comp`` and ``post`` 0: no such layer."""
    random = numpy.random.RandomState(0)
    if kind == 'no':
        return {**heads(random, P * c, n_outputs, c), 'mask_features': numpy.array(True)}
    d = comp or c
    size = (1 if only_mean else 2) * k * d
    arrays = {**heads(random, post or size, n_outputs, c), **mixture(random, kind, d, k),
              **linear(random, n_outputs, P * c, 'aux_clf'), 'aux_lambda': numpy.array(.25),
              'mask_features': numpy.array(True), 'pred_comb': numpy.array('no')}
    if comp:
        arrays.update(linear(random, comp, c, 'pre_fve'))
        arrays['pre_fve/W'] = arrays['pre_fve/W'][..., None, None]
    return {**arrays, **(linear(random, post, size, 'post_fve/0') if post else {})}


def whole(cnn, small):
    return {**{f'{side}/{name}': array for side in ('model', 'separate_model')
               for name, array in cnn.items()}, **small}


def apply(arrays, name, x):
    return x @ arrays[f'{name}/W'].reshape(-1, x.shape[-1]).T + arrays[f'{name}/b']


def original_encoding(arrays, x):
    """What the authors' layer makes of the features (T, D) of an image, in float64."""
    mean = arrays['fve_layer/mu'].T.astype('d')
    if 'fve_layer/sig' in arrays:
        var, weight = arrays['fve_layer/sig'].T.astype('d'), arrays['fve_layer/w'].astype('d')
    else:
        var = arrays['fve_layer/eps'] + numpy.exp(arrays['fve_layer/_sig'].T.astype('d'))
        weight = expit(arrays['fve_layer/_w'].astype('d'))
        weight /= weight.sum()
    if arrays['mask_features']:
        norm = numpy.linalg.norm(x, axis=1)
        x = x[norm >= norm.mean()]
    u = (x[:, None] - mean) / var ** .5                                     # (T, K, D)
    q = softmax(numpy.log(weight) - .5 * (u ** 2 + numpy.log(var)).sum(axis=2), axis=1)
    q[q < 1e-6] = 0
    scale = 1 / (len(x) * weight[:, None] ** .5)
    mean_part = scale * numpy.einsum('tk,tkd->kd', q, u)
    sigma_part = scale / 2 ** .5 * numpy.einsum('tk,tkd->kd', q, u ** 2 - 1)
    return numpy.concatenate((mean_part.ravel(), sigma_part.ravel()))


def original_scores(arrays, global_map, part_map, only_mean=False):
    """Scores of both streams (N, n) from ConvMaps (N, C, h, w) and (N P, C, h', w')."""
    g = apply(arrays, 'model/fc', global_map.astype('d').mean(axis=(2, 3)))
    part_map = part_map.astype('d').reshape(len(g), -1, *part_map.shape[1:])    # (N, P, C, h, w)
    if 'fve_layer/mu' not in arrays:
        pooled = part_map.mean(axis=(3, 4)).reshape(len(g), -1)
        return g, apply(arrays, 'separate_model/fc', pooled)
    x = part_map.transpose(0, 1, 3, 4, 2).reshape(len(g), -1, part_map.shape[2])
    if 'pre_fve/W' in arrays:
        x = apply(arrays, 'pre_fve', x)
    encoding = numpy.stack([original_encoding(arrays, features) for features in x])
    if only_mean:
        encoding = encoding[:, :encoding.shape[1] // 2]
    if 'post_fve/0/W' in arrays:
        encoding = numpy.maximum(apply(arrays, 'post_fve/0', encoding), 0)
    return g, apply(arrays, 'separate_model/fc', encoding)


def settings_for(small, **more):
    """Settings that the file asks for, without an auxiliary head unless more says so."""
    found = original_classifier.settings_of(small, 'clf.npz')
    return Model(**{**found, 'aux_lambda': 0., **more})


CASES = {
    'em': {'kind': 'em'}, 'em, one component, nothing before and behind':
    {'kind': 'em', 'k': 1, 'comp': 0, 'post': 0}, 'means only': {'only_mean': True, 'post': 0},
    'grad': {'kind': 'grad'}, 'no': {'kind': 'no'}}


@pytest.fixture(scope='module')
def conv_maps(cnn):
    """The arrays' own ConvMaps of images and crops, which do not depend on what is behind."""
    arrays = small_arrays('no')
    model = PartClassifier(settings_for(arrays), CLASSES, P, 'centre')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, 'read_weights', lambda path: whole(cnn, arrays))
        pretrained.load_classifier(model, 'clf.npz')
    random = numpy.random.RandomState(0)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return [model[name](random.uniform(-1, 1, (n, 3, size, size)).astype('f')).array
                for name, n, size in (('global_cnn', N, 75), ('part_cnn', N * P, 107))]


class GivenMap(chainer.Chain):
    """A CNN whose ConvMap is its input."""

    def forward(self, x):
        return x


@pytest.mark.parametrize('case', CASES)
def test_scores_are_those_of_the_authors_formulas(case, conv_maps, monkeypatch):
    options = CASES[case]
    small = small_arrays(**options)
    monkeypatch.setattr('finetune.models.inception_v3.OriginalInceptionV3', GivenMap)
    monkeypatch.setattr(pretrained, 'read_weights', lambda path: small)
    monkeypatch.setattr(original_classifier, 'is_original', lambda arrays: True)
    model = PartClassifier(settings_for(small), CLASSES, P, 'centre')
    pretrained.load_classifier(model, 'clf.npz')
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        scores = model.scores(*conv_maps, numpy.ones((N, P), bool))
    expected = original_scores(small, *conv_maps, options.get('only_mean', False))
    for stream, score in zip(('global', 'parts'), expected):
        assert numpy.ptp(score) > .1
        numpy.testing.assert_allclose(scores[stream].array, score, rtol=2e-4, atol=2e-4)
    # Log-probabilities are scores up to a number for each image: the same class wins.
    both = log_softmax(sum(log_softmax(score, axis=1) for score in expected), axis=1)
    numpy.testing.assert_allclose(log_softmax(scores['both'].array, axis=1), both,
                                  rtol=1e-3, atol=1e-3)


def test_responsibilities_are_neither_all_zero_nor_one(conv_maps):
    """Otherwise the test above would not tell weights and variances apart."""
    small = small_arrays()
    x = conv_maps[1].transpose(0, 2, 3, 1).reshape(-1, C)
    x = apply(small, 'pre_fve', x)
    mean, var = small['fve_layer/mu'].T, small['fve_layer/sig'].T
    q = softmax(-.5 * ((x[:, None] - mean) ** 2 / var + numpy.log(var)).sum(axis=2), axis=1)
    assert ((q > .01) & (q < .99)).mean() > .1


def test_scaling_is_one_if_it_is_there():
    small = small_arrays()
    settings = settings_for(small, scaling=True)
    converted = original_classifier.convert(small, settings, CLASSES, 'clf.npz')
    assert converted['scaling/scale'] == 1
    assert converted['scaling/n_seen'] == settings.n_components     # it is no longer determined


def test_auxiliary_head_is_kept_if_it_is_trained():
    small = small_arrays()
    for aux_lambda in (0, .25):
        converted = original_classifier.convert(
            small, settings_for(small, aux_lambda=aux_lambda), CLASSES, 'clf.npz')
        assert ('aux_head/W' in converted) == (aux_lambda > 0)
    assert original_classifier.settings_of(small, 'clf.npz')['aux_lambda'] == .25


def test_weights_of_sigmoids_and_floors():
    small = small_arrays('grad')
    for var_floor in (.01, .001):
        converted = original_classifier.convert(
            small, settings_for(small, var_floor=var_floor), CLASSES, 'clf.npz')
        numpy.testing.assert_allclose(
            var_floor + numpy.exp(converted['encoder/raw_var']),
            .01 + numpy.exp(small['fve_layer/_sig'].T), rtol=1e-5)
        weight = expit(small['fve_layer/_w'])
        numpy.testing.assert_allclose(softmax(converted['encoder/raw_weight']),
                                      weight / weight.sum(), rtol=1e-5)


def test_output_more_than_classes_is_left_out(capsys):
    small = small_arrays(n_outputs=CLASSES + 1)
    settings = settings_for(small, aux_lambda=.25)
    converted = original_classifier.convert(small, settings, CLASSES, 'clf.npz')
    for here, there in (('global_head', 'model/fc'), ('part_head', 'separate_model/fc'),
                        ('aux_head', 'aux_clf')):
        for name in ('W', 'b'):
            numpy.testing.assert_array_equal(
                converted[f'{here}/{name}'], small[f'{there}/{name}'][:CLASSES])
    assert '(label_shift 1); the last is dropped' in capsys.readouterr().out
    assert original_classifier.convert(small, settings, CLASSES + 1, 'clf.npz')[
        'global_head/b'].shape == (CLASSES + 1,)


def test_head_of_another_network_is_none_here():
    small = small_arrays()
    for name in ('W', 'b'):
        small[f'model/fc6/{name}'] = small.pop(f'model/fc/{name}')
    converted = original_classifier.convert(small, settings_for(small), CLASSES, 'vgg.npz')
    assert not any(name.startswith('global_head/') for name in converted)


def changed(**changes):
    """The small arrays with others; ``None``: without."""
    arrays = small_arrays()
    for name, array in changes.items():
        arrays.pop(name, None)
        if array is not None:
            arrays[name] = array
    return arrays


@pytest.mark.parametrize('arrays, message', [
    (changed(**{'comb_clf/W': numpy.zeros(1)}), 'comb_clf'),
    ({name: array for name, array in changed().items() if not name.startswith('separate_')},
     'encodes the whole image'),
    (changed(**{'fve_layer/w': None, 'mask_features': None}),
     'is not a complete classifier .*2 missing: fve_layer/w, mask_features'),
    (changed(**{'fve_layer/sig': None}), 'missing: fve_layer/_sig, fve_layer/_w'),
])
def test_classifiers_that_there_are_not_here(arrays, message):
    with pytest.raises(InputError, match=message) as raised:
        original_classifier.settings_of(arrays, 'clf.npz')
    assert str(raised.value).startswith('clf.npz: ') and '\n' not in str(raised.value)


def test_settings_that_are_not_those_of_the_classifier_are_all_named():
    with pytest.raises(InputError) as raised:
        original_classifier.convert(small_arrays(), Model(), CLASSES, 'clf.npz')
    assert str(raised.value) == (
        "clf.npz: this classifier of the authors' code has other settings; add "
        '--set model.architecture=inception_v3_original --set model.n_components=3 '
        '--set model.normalization=mean --set model.comp_size=8 --set model.post_fve_size=5')
    convert = original_classifier.convert
    convert(small_arrays(), settings_for(small_arrays(), comp_size=-1), CLASSES, 'clf.npz')


class TinyCNN(chainer.Chain):
    """In place of InceptionV3, whose compressed snapshots take long."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1 = ConvBN(3, 16, 5, stride=4, **BATCH_NORM)

    def forward(self, x):
        return self.conv1(x)


@pytest.fixture
def in_birds(tmp_path, monkeypatch):
    """Two training and two test images, and a classifier of the authors' code for them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ARCHITECTURES, 'inception_v3_original',
                        Architecture(f'{__name__}:TinyCNN', 16, 16))
    drawing.prepare(tmp_path / 'birds', n_species=2, n_train=1, n_test=1, size=48)
    (tmp_path / 'birds.yml').write_text(yaml.safe_dump({
        'data': {'root': 'birds', 'parts': 'GT2', 'missing': 'mask', 'input_size': 75,
                 'part_input_size': 75},
        'training': {'update_size': 2, 'batch_size': 2, 'learning_rate': 1e-12,
                     'weight_decay': 0}}))
    tiny = DictionarySerializer()
    tiny.save(TinyCNN())
    arrays = whole(tiny.target, small_arrays(c=16))
    numpy.savez('clf_final.npz', **arrays)
    for name, value in {'LOAD': 'clf_final.npz', 'PRE_TRAINING': 'inat', 'LABEL_SHIFT': '0',
                        'MODEL_TYPE': 'cvmodelz.InceptionV3'}.items():
        monkeypatch.setenv(name, value)
    return arrays


def test_evaluated_and_gone_on_from_by_the_originals_variables(in_birds, monkeypatch, capsys):
    monkeypatch.setenv('EPOCHS', '0')
    assert cli.main(['train', 'birds.yml', '--output', 'loaded']) == 0
    printed = capsys.readouterr().out
    assert 'clf_final.npz: training continues from this' in printed and 'epoch ' not in printed
    folder = RunFolder('loaded')
    model, settings, data_set, device = open_run(folder)
    assert settings.model.architecture == 'inception_v3_original'
    assert settings.data.missing == 'centre' and settings.model.aux_lambda == .25
    with iterate_test_images(settings, data_set) as images:
        img, parts, visible, label = collate(next(images))
    assert visible.all()
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        maps = model.global_cnn(img).array, model.part_cnn(parts).array
    scores = sum(log_softmax(score, axis=1) for score in original_scores(in_birds, *maps))
    expected = [data_set.class_names[i] for i in scores.argmax(axis=1)]
    assert list(folder.read_predictions()['both']) == expected
    assert cli.main(['evaluate', 'loaded']) == 0
    assert list(folder.read_predictions()['both']) == expected

    monkeypatch.setenv('EPOCHS', '1')
    assert cli.main(['train', 'birds.yml', '--output', 'gone_on']) == 0
    assert 'epoch   1' in capsys.readouterr().out
    with numpy.load('gone_on/model.npz') as after:
        assert after['encoder/n_updates'] == 8      # t was 8, after 7 batches
        assert after['aux_head/W'].shape == (CLASSES, P * 16)
        for here, there in (('part_head/W', 'separate_model/fc/W'), ('post_fve/b', 'post_fve/0/b'),
                            ('global_cnn/conv1/conv/W', 'model/conv1/conv/W'),
                            ('part_cnn/conv1/conv/W', 'separate_model/conv1/conv/W')):
            numpy.testing.assert_allclose(after[here], in_birds[there], atol=1e-5)
        moved = numpy.abs(after['encoder/mean'] - in_birds['fve_layer/mu'].T)
        assert 0 < moved.max() < 1      # (1 - .99) / (1 - .99^8) of the way


def test_classifier_of_this_program_keeps_its_heads(finished_run, write_config, capsys):
    path = finished_run / 'model.npz'
    config_path = write_config(model={'checkpoint': str(path)}, training={'epochs': 0})
    assert cli.main(['train', config_path]) == 0
    folder = RunFolder('results/config/seed0')
    assert folder.model.read_bytes() == path.read_bytes()
    assert folder.read_evaluation() == RunFolder(finished_run).read_evaluation()
    cli.main(['doctor', config_path])
    assert f'{path}: is a classifier that fits these settings' in capsys.readouterr().out


def test_run_of_the_classifier_comes_first(write_config):
    first = write_config('first.yml', training={'epochs': 1})
    assert cli.main(['train', write_config(model={'checkpoint': first},
                                           training={'epochs': 0})]) == 0
    first, last = RunFolder('results/first/seed0'), RunFolder('results/config/seed0')
    assert first.model.read_bytes() == last.model.read_bytes()
