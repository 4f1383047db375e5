import chainer
import chainer.functions as F
import numpy
import pytest
from scipy.special import log_softmax

from fve_layer import fisher_vector
from finetune.config.catalogue import ARCHITECTURES
from finetune.config.settings import Model
from finetune.config.streams import STREAMS
from finetune.models.encodings import local_features
from finetune.models.loss import smoothed_cross_entropy, stream_loss
from finetune.models.part_classifier import PartClassifier
from finetune.runs.scalars import MIXTURE

N, P, CLASSES = 4, 3, 5


def classifier(encoding, missing='zero', n_parts=P, **settings):
    numpy.random.seed(0)
    model = Model(architecture='small_cnn', encoding=encoding, n_components=2, **settings)
    return PartClassifier(model, CLASSES, n_parts, missing, seed=0)


def batch(n_parts=P, n=N):
    random = numpy.random.RandomState(0)
    img = random.uniform(-1, 1, (n, 3, 64, 64)).astype('f')
    parts = random.uniform(-1, 1, (n * n_parts, 3, 32, 32)).astype('f')
    visible = numpy.ones((n, n_parts), dtype=bool)
    return img, parts, visible, random.randint(CLASSES, size=n).astype('i')


def encode(model, parts, visible):
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return model.encode(model.part_conv_maps(parts, visible), visible).array


@pytest.mark.parametrize('encoding, size', [('gap', P), ('fve', 2 * 2), ('gradient_fve', 2 * 2)])
def test_encoding_has_its_size_and_gradients_reach_both_cnns(encoding, size):
    model = classifier(encoding)
    img, parts, visible, label = batch()
    assert encode(model, parts, visible).shape == (N, size * ARCHITECTURES['small_cnn'].n_features)
    model.cleargrads()
    model(img, parts, visible, label).backward()
    for name, param in model.namedparams():
        assert param.grad is not None and numpy.abs(param.grad).max() > 0, name


def test_without_parts_there_is_no_part_stream():
    model = classifier('gap', n_parts=0)
    img, parts, visible, label = batch(n_parts=0)
    scores = model.scores(img, parts, visible)
    assert list(scores) == ['both'] and scores['both'].shape == (N, CLASSES)
    assert not hasattr(model, 'part_cnn')


@pytest.mark.parametrize('encoding', ['fve', 'gradient_fve'])
def test_without_parts_the_conv_map_of_the_image_is_encoded(encoding):
    model = classifier(encoding, n_parts=0, scaling=False)
    img, parts, visible, label = batch(n_parts=0)
    model.cleargrads()
    model(img, parts, visible, label).backward()
    for name, param in model.namedparams():
        assert param.grad is not None and numpy.abs(param.grad).max() > 0, name
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        scores = model.scores(img, parts, visible)
        x = model.global_cnn(img).array.astype('d')
        x = numpy.moveaxis(x.reshape(N, x.shape[1], -1), 1, 2)
        norms = numpy.linalg.norm(x, axis=2)
        counts = norms > norms.mean(axis=1, keepdims=True)
        mixture = [array.astype('d') for array in model.encoder.mixture]
        expected = model.part_head(fisher_vector(x, *mixture, counts).array.astype('f')).array
    assert list(scores) == ['both']
    numpy.testing.assert_allclose(scores['both'].array, expected, rtol=1e-3, atol=1e-4)


def test_loss_against_scipy():
    random = numpy.random.RandomState(0)
    g, p = random.randn(2, N, CLASSES)
    scores = {'both': g + p, 'global': g, 'parts': p}
    label = random.randint(CLASSES, size=N)

    def cross_entropy(logits, smoothing):
        target = numpy.full((N, CLASSES), smoothing / CLASSES)
        target[numpy.arange(N), label] += 1 - smoothing
        return -(target * log_softmax(logits, axis=1)).sum(axis=1).mean()

    for smoothing in (0, .1):
        variables = {stream: chainer.Variable(score) for stream, score in scores.items()}
        loss = stream_loss(variables, label.astype('i'), smoothing)
        expected = (.5 * cross_entropy(g + p, smoothing) + .25 * cross_entropy(g, smoothing)
                    + .25 * cross_entropy(p, smoothing))
        numpy.testing.assert_allclose(loss.array, expected, rtol=1e-12)
        alone = stream_loss({'both': variables['global']}, label.astype('i'), smoothing)
        numpy.testing.assert_allclose(alone.array, cross_entropy(g, smoothing), rtol=1e-12)


def test_loss_with_an_auxiliary_head_against_scipy():
    random = numpy.random.RandomState(0)
    g, p, a = random.randn(3, N, CLASSES)
    label = random.randint(CLASSES, size=N)
    scores = {'both': g + p, 'global': g, 'parts': p, 'aux': a}
    ce = {stream: -log_softmax(score, axis=1)[numpy.arange(N), label].mean()
          for stream, score in scores.items()}
    expected = (.5 * ce['both'] + .25 * ce['global'] + .25 * (.7 * ce['parts'] + .3 * ce['aux']))
    variables = {stream: chainer.Variable(score) for stream, score in scores.items()}
    loss = stream_loss(variables, label.astype('i'), aux_lambda=.3)
    numpy.testing.assert_allclose(loss.array, expected, rtol=1e-12)


def test_auxiliary_head_is_linear_on_pooled_conv_maps_and_does_not_predict():
    model = classifier('fve', aux_lambda=.5)
    img, parts, visible, label = batch()
    with chainer.no_backprop_mode():
        conv_map = model.part_conv_maps(parts, visible).array
    scores = model.scores(img, parts, visible)
    pooled = conv_map.mean(axis=(2, 3)).reshape(N, -1)
    expected = pooled @ model.aux_head.W.array.T + model.aux_head.b.array
    numpy.testing.assert_allclose(scores['aux'].array, expected, rtol=1e-3, atol=1e-4)
    numpy.testing.assert_array_equal(
        scores['both'].array, scores['global'].array + scores['parts'].array)
    with chainer.using_config('train', False):
        assert set(model.scores(img, parts, visible)) == {'both', 'global', 'parts'}
    model.cleargrads()
    model(img, parts, visible, label).backward()
    assert numpy.abs(model.aux_head.W.grad).max() > 0


@pytest.mark.parametrize('encoding', ['fve', 'gradient_fve'])
def test_layers_before_and_after_the_encoding(encoding):
    model = classifier(encoding, comp_size=8, post_fve_size=20, norm_filter=False, missing='mask')
    _, parts, visible, _ = batch()
    parts, visible = hide(parts, visible, HIDDEN)
    encode_in_training(model, parts, visible)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        conv_map = model.part_conv_maps(parts, visible)
        x, mask = model.encoder_input(conv_map, visible)
        fv = model.encoder(x, mask).array
        encoding = model.encode(conv_map, visible).array
    weight, bias = model.compression.W.array[:, :, 0, 0], model.compression.b.array
    bias[...] = 0
    local = conv_map.array.transpose(0, 2, 3, 1).reshape(N, -1, conv_map.shape[1])
    numpy.testing.assert_allclose(x.array, local @ weight.T, rtol=1e-3, atol=1e-4)
    assert fv.shape == (N, 2 * 2 * 8) and encoding.shape == (N, 20)
    expected = float(model.scaling.scale) * fv @ model.post_fve.W.array.T
    numpy.testing.assert_allclose(encoding, numpy.maximum(expected, 0), rtol=1e-3, atol=1e-4)


def test_sizes_of_the_layers_that_follow_others():
    model = classifier('fve', comp_size=-1, post_fve_size=-1, only_mean=True)
    c = ARCHITECTURES['small_cnn'].n_features
    assert model.compression.W.shape == (c, c, 1, 1)
    assert model.post_fve.W.shape == (2 * c, 2 * c) and model.part_head.W.shape == (CLASSES, 2 * c)
    _, parts, visible, _ = batch()
    assert encode(model, parts, visible).shape == (N, 2 * c)


def test_compressed_features_of_hidden_parts_are_zeros():
    model = classifier('fve', comp_size=8)
    _, parts, visible, _ = batch()
    parts, visible = hide(parts, visible, HIDDEN)
    model.compression.b.array[...] = 1
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        x, _ = model.encoder_input(model.part_conv_maps(parts, visible), visible)
    per_part = x.array.reshape(N * P, -1)
    assert not per_part[~visible.ravel()].any() and per_part[visible.ravel()].any(axis=1).all()


def test_mean_part_of_the_fisher_vector_alone():
    _, parts, visible, _ = batch()
    vectors = [encode(classifier('fve', only_mean=only_mean), parts, visible)
               for only_mean in (False, True)]
    numpy.testing.assert_array_equal(vectors[1], vectors[0][:, :vectors[0].shape[1] // 2])


def test_scores_of_both_streams_are_their_sum():
    model = classifier('fve')
    with chainer.using_config('train', False):
        scores = model.scores(*batch()[:3])
    numpy.testing.assert_array_equal(
        scores['both'].array, scores['global'].array + scores['parts'].array)
    assert (scores['global'].array != scores['parts'].array).all()


def test_local_features_are_the_vectors_at_the_positions_of_the_conv_maps():
    conv_map = numpy.random.RandomState(0).randn(N * P, 6, 2, 4)
    visible = numpy.random.RandomState(1).rand(N, P) < .5
    x, mask = local_features(chainer.Variable(conv_map), visible, 'mask')
    assert x.shape == (N, P * 2 * 4, 6)
    for n, p, i, j in numpy.ndindex(N, P, 2, 4):
        t = (p * 2 + i) * 4 + j
        numpy.testing.assert_array_equal(x.array[n, t], conv_map[n * P + p, :, i, j])
        assert mask[n, t] == visible[n, p]


def hide(parts, visible, hidden):
    """Hides parts of a batch in which all are visible."""
    visible = visible & ~hidden
    return parts[visible.ravel()], visible


HIDDEN = numpy.array([[0, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]], dtype=bool)


def test_conv_maps_of_visible_parts_are_in_their_places_and_the_others_zeros():
    model = classifier('fve')
    _, parts, visible, _ = batch()
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        whole = model.part_conv_maps(parts, visible).array
        partly = model.part_conv_maps(*hide(parts, visible, HIDDEN)).array
        none = model.part_conv_maps(*hide(parts, visible, numpy.ones_like(HIDDEN))).array
    numpy.testing.assert_allclose(partly[~HIDDEN.ravel()], whole[~HIDDEN.ravel()], atol=1e-6)
    assert whole[HIDDEN.ravel()].any() and not partly[HIDDEN.ravel()].any()
    assert none.shape == whole.shape and not none.any()


@pytest.mark.parametrize('encoding', ['gap', 'fve', 'gradient_fve'])
def test_gradients_with_hidden_parts(encoding):
    model = classifier(encoding, missing='zero')
    img, parts, visible, label = batch()
    parts, visible = hide(parts, visible, HIDDEN)
    model.cleargrads()
    model(img, parts, visible, label).backward()
    assert numpy.abs(model.part_cnn.layers[0].conv.W.grad).max() > 0


@pytest.mark.parametrize('encoding', ['fve', 'gradient_fve'])
def test_only_masking_leaves_hidden_parts_out_of_the_mixture(encoding):
    """Zeros in place of hidden parts count, but for the third image, where nothing is visible."""
    _, parts, visible, _ = batch()
    parts, visible = hide(parts, visible, HIDDEN)
    n_parts = {'mask': [2, 3, 0, 2], 'zero': [3, 3, 0, 3]}
    encodings = {}
    for missing in n_parts:
        model = classifier(encoding, missing=missing, norm_filter=False)
        conv_map = model.part_conv_maps(parts, visible)
        _, mask = local_features(conv_map, visible, missing)
        h, w = conv_map.shape[2:]
        assert mask.sum(axis=1).tolist() == [n * h * w for n in n_parts[missing]]
        encodings[missing] = encode_in_training(model, parts, visible)
        assert not encodings[missing][2].any()
    assert (encodings['mask'][0] != encodings['zero'][0]).any()


@pytest.mark.parametrize('norm_filter', [False, True])
def test_images_without_a_visible_part_leave_the_mixture_as_it_is(norm_filter):
    _, parts, visible, _ = batch()
    without_third = hide(parts, visible, HIDDEN)[0], (visible & ~HIDDEN)[[0, 1, 3]]
    model, other = (classifier('fve', norm_filter=norm_filter) for _ in range(2))
    encode_in_training(model, *hide(parts, visible, HIDDEN))
    encode_in_training(other, *without_third)
    for name in ('mean', 'var', 'weight'):
        numpy.testing.assert_array_equal(getattr(model.encoder, name),
                                         getattr(other.encoder, name))


def encode_in_training(model, parts, visible):
    with chainer.using_config('train', True), chainer.no_backprop_mode():
        return model.encode(model.part_conv_maps(parts, visible), visible).array


def test_order_of_parts_matters_to_gap_but_not_to_fve():
    _, parts, visible, _ = batch()
    other_order = parts.reshape(N, P, 3, 32, 32)[:, ::-1].reshape(parts.shape)
    for encoding, changes in (('gap', True), ('fve', False)):
        model = classifier(encoding)
        encode_in_training(model, parts, visible)
        first = encode(model, parts, visible)
        second = encode(model, other_order, visible)
        assert (numpy.abs(first - second).max() > 1e-3 * numpy.abs(first).max()) == changes


def test_l2_normalised_encoding_has_unit_length():
    model = classifier('fve', l2_normalize=True)
    _, parts, visible, _ = batch()
    numpy.testing.assert_allclose(
        numpy.linalg.norm(encode(model, parts, visible), axis=1), 1, rtol=1e-4)


def test_reports_accuracies_and_the_mixture():
    model = classifier('fve')
    reporter = chainer.Reporter()
    reporter.add_observer('main', model)
    with reporter:
        loss = model(*batch())
    observation = reporter.observation
    assert observation['main/loss'].array == loss.array
    assert set(observation) == {'main/loss', *(f'main/accuracy/{stream}' for stream in STREAMS),
                                *MIXTURE}
    assert 0 <= float(observation['main/weight_entropy']) <= 1 + 1e-6


def test_smoothed_cross_entropy_without_smoothing_is_chainers():
    logits = chainer.Variable(numpy.random.RandomState(0).randn(N, CLASSES))
    label = numpy.arange(N, dtype='i')
    numpy.testing.assert_array_equal(
        smoothed_cross_entropy(logits, label).array,
        F.softmax_cross_entropy(logits, label).array)
