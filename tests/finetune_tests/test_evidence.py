"""Evidence: shares of local features that add up to the score of a class."""
import dataclasses

import numpy
from numpy.testing import assert_allclose
import pytest

import chainer
from finetune.config.settings import Model
from finetune.data.dataset import collate
from finetune.models.part_classifier import PartClassifier
from finetune.prediction import evidence
from fve_layer import masking

N_CLASSES, N_PARTS = 4, 3


def make(encoding='fve', n_parts=N_PARTS, **settings):
    """A classifier that has seen a few batches, and an example with a hidden part."""
    numpy.random.seed(0)
    model = PartClassifier(
        dataclasses.replace(Model(), architecture='small_cnn', encoding=encoding, **settings),
        N_CLASSES, n_parts, missing='zero' if encoding == 'gap' else 'mask')
    for _ in range(3):
        model(*collate([example(n_parts, numpy.ones(n_parts, bool)) for _ in range(4)]))
    visible = numpy.arange(n_parts) != 1
    return model, example(n_parts, visible)


def example(n_parts, visible):
    images = numpy.random.uniform(-1, 1, (1 + n_parts, 3, 32, 32)).astype('float32')
    return images[0], images[1:][visible], visible, numpy.int32(1)


def scores(model, an_example):
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return {stream: score.array[0] for stream, score in
                model.scores(*collate([an_example])[:3]).items()}


@pytest.mark.parametrize('encoding,settings', [
    ('gap', {}), ('fve', {'n_components': 1}), ('fve', {'n_components': 3}),
    ('fve', {'n_components': 3, 'normalization': 'mean', 'norm_filter': False}),
    ('fve', {'n_components': 2, 'only_mean': True, 'comp_size': 8}),
    ('gradient_fve', {'n_components': 3}), ('fve', {'n_components': 2, 'scaling': False})])
@pytest.mark.parametrize('label', [0, 3])
def test_shares_add_up_to_the_score(encoding, settings, label):
    model, an_example = make(encoding, **settings)
    shares = evidence.explain(model, an_example, label)
    expected = scores(model, an_example)
    assert_allclose(shares.image.sum() + model.global_head.b.array[label],
                    expected['global'][label], rtol=1e-3, atol=1e-4)
    assert_allclose(shares.parts.sum() + model.part_head.b.array[label],
                    expected['parts'][label], rtol=1e-3, atol=1e-4)
    assert not shares.parts[1].any() and shares.parts[0].any()      # the second part is hidden
    assert shares.parts.shape[-1] == settings.get('n_components', 1)


@pytest.mark.parametrize('scaling', [True, False])
def test_shares_through_a_signed_root(scaling):
    """Each entry x of the Fisher vector has the share (x / 2 + epsilon) / (x + epsilon)."""
    model, an_example = make(n_components=2, power_normalize=True, scaling=scaling)
    shares = evidence.explain(model, an_example, 3).parts
    _, parts, visible, _ = collate([an_example])
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        conv_map = model.part_conv_maps(parts, visible)
        x = model.encoder(*model.encoder_input(conv_map, visible)).array[0].astype(float)
    score = model.part_head.W.array[3] * x / numpy.sqrt(abs(x) + .01) * (
        float(model.scaling.scale) if scaling else 1)
    assert_allclose(score.sum() + model.part_head.b.array[3],
                    scores(model, an_example)['parts'][3], rtol=1e-3, atol=1e-4)
    assert_allclose(shares.sum(), (score * (abs(x) / 2 + .01) / (abs(x) + .01)).sum(),
                    rtol=2e-3, atol=1e-3)
    assert_allclose(shares.sum(), score.sum() / 2, atol=.05 * abs(score).sum())


OF_COMPONENTS, OF_ALL = (0, 1, 2), None


@pytest.mark.parametrize('names, axis, tolerance', [
    (['component_normalize'], OF_COMPONENTS, 1e-4),
    (['component_normalize', 'only_mean'], OF_COMPONENTS, 1e-4),
    (['component_normalize', 'l2_normalize'], OF_COMPONENTS, 1e-4),
    (['component_normalize', 'power_normalize'], OF_COMPONENTS, .01),
    (['l2_normalize'], OF_ALL, 1e-4), (['l2_normalize', 'power_normalize'], OF_ALL, .01)])
def test_shares_of_unit_lengths_add_up_to_zero(names, axis, tolerance):
    """Those of each component, or of all, as a length has no effect; after a root nearly so."""
    model, an_example = make(n_components=2, **dict.fromkeys(names, True))
    shares = evidence.explain(model, an_example, 3).parts
    assert abs(shares.sum(axis=axis)).max() < tolerance * abs(shares).sum()


@pytest.mark.parametrize('encoding', ['fve', 'gap'])
def test_shares_of_a_whole_image(encoding):
    model, an_example = make(encoding, n_parts=0)
    shares = evidence.explain(model, an_example, 2)
    head = model.part_head if encoding == 'fve' else model.global_head
    assert shares.parts is None
    assert_allclose(shares.image.sum() + head.b.array[2], scores(model, an_example)['both'][2],
                    rtol=1e-3, atol=1e-4)


def test_global_stream_alone():
    model, an_example = make()
    shares = evidence.explain(model, an_example, 0, stream='global')
    assert shares.parts is None and shares.image.any()


@pytest.mark.parametrize('block', [1, 2 ** 22])
def test_shares_by_component_are_those_of_the_definition(block, monkeypatch):
    """Eqs. 13 and 14, one feature, component and dimension after the other, in float64."""
    monkeypatch.setattr(evidence, 'BLOCK', block)
    model, an_example = make(n_components=2)
    shares = evidence.explain(model, an_example, 1).parts
    _, parts, visible, _ = collate([an_example])
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        conv_map = model.part_conv_maps(parts, visible)
        x, mask = model.encoder_input(conv_map, visible)
    counts = masking.counting_features(x.array, mask, True)[0]
    mean, var, weight = (array.astype(float) for array in model.encoder.mixture)
    w = model.part_head.W.array[1].astype(float).reshape(2, *mean.shape) * float(
        model.scaling.scale)
    shares = shares.reshape(-1, 2)
    for n, feature in enumerate(x.array[0].astype(float)):
        density = [numpy.log(weight[k]) - .5 * sum(
            numpy.log(2 * numpy.pi * var[k, d]) + (feature[d] - mean[k, d]) ** 2 / var[k, d]
            for d in range(len(feature))) for k in range(2)]
        resp = numpy.exp(density - numpy.logaddexp(*density))
        for k in range(2):
            expected = 0.
            for d in range(len(feature)):
                z = (feature[d] - mean[k, d]) / var[k, d] ** .5
                expected += resp[k] * (w[0, k, d] * z + w[1, k, d] * (z * z - 1) / 2 ** .5)
            expected *= counts[n] / (counts.sum() * weight[k]) ** .5
            assert_allclose(shares[n, k], expected, rtol=2e-3, atol=2e-4)


def test_gradients_of_the_model_are_not_needed_afterwards():
    """Looking at evidence changes neither weights nor mixture."""
    model, an_example = make(n_components=2)
    before = {name: array.array.copy() for name, array in model.namedparams()}
    mean = model.encoder.mean.copy()
    first = evidence.explain(model, an_example, 1).parts
    assert_allclose(evidence.explain(model, an_example, 1).parts, first)
    assert all((array.array == before[name]).all() for name, array in model.namedparams())
    assert (model.encoder.mean == mean).all()
