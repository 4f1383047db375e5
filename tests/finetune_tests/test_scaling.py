"""Fisher vectors are brought to the size of average-pooled features."""
import chainer
import chainer.functions as F
import numpy
import pytest

from finetune.config.catalogue import ENCODINGS
from finetune.config.settings import Model
from finetune.models.part_classifier import PartClassifier
from finetune.models.scaling import Scaling

N, P, CLASSES = 6, 8, 50


def scores_at_the_start(encoding, size=32, **settings):
    """Scores (N, CLASSES) of the part stream for the first training batch."""
    numpy.random.seed(0)
    random = numpy.random.RandomState(0)
    model = PartClassifier(Model(architecture='small_cnn', encoding=encoding, **settings),
                           CLASSES, P, 'mask', seed=0)
    img = numpy.zeros((N, 3, 16, 16), 'f')
    parts = random.uniform(-1, 1, (N, P, 3, 1, 1)) + random.uniform(-1, 1, (N, P, 3, size, size))
    visible = random.rand(N, P) < .8
    scores = model.scores(img, parts[visible].astype('f'), visible)
    return model, scores['parts'].array


@pytest.mark.parametrize('settings', [
    {}, {'n_components': 5}, {'n_components': 20}, {'normalization': 'mean'}, {'var_floor': 1e-2},
    {'var_floor': 1}, {'var_floor': 100}, {'size': 64}, {'norm_filter': False},
    {'power_normalize': True}, {'component_normalize': True}, {'l2_normalize': True},
    {'only_mean': True}, {'comp_size': 8}, {'post_fve_size': 64}])
@pytest.mark.parametrize('encoding', ['fve', 'gradient_fve'])
def test_scores_start_as_those_of_gap(encoding, settings):
    size = settings.pop('size', 32)
    _, gap = scores_at_the_start('gap', size)
    model, fve = scores_at_the_start(encoding, size, **settings)
    ratio = fve.std() / gap.std()
    assert .5 < ratio < 2, ratio
    assert model.scaling.scale.shape == () and model.scaling.scale.dtype == numpy.float32


def test_encoding_without_steps_is_not_scaled(monkeypatch):
    assert [*scores_at_the_start('fve')[0].steps] == ['scaling']
    monkeypatch.setitem(ENCODINGS, 'fve', ENCODINGS['fve']._replace(has_steps=False))
    assert scores_at_the_start('fve')[0].steps == {}


def maps(features):
    """ConvMaps of one pixel."""
    return chainer.Variable(features[:, :, None, None])


def test_scale_is_the_ratio_of_sizes_in_the_first_training_batch_and_stays():
    random = numpy.random.RandomState(0)
    first, second = random.randn(2, 4, 10).astype('f')
    reference = random.randn(7, 3).astype('f')
    scaling = Scaling()
    with chainer.using_config('train', False):
        numpy.testing.assert_array_equal(
            scaling(chainer.Variable(first), maps(reference)).array, first)
    expected = (reference.astype('d') ** 2).mean() ** .5 / (first.astype('d') ** 2).mean() ** .5
    x = chainer.Variable(first)
    y = scaling(x, maps(reference))
    numpy.testing.assert_allclose(y.array, expected * first, rtol=1e-5)
    y.grad = second
    y.backward()
    numpy.testing.assert_allclose(x.grad, expected * second, rtol=1e-5)
    numpy.testing.assert_allclose(scaling(chainer.Variable(second), maps(first)).array,
                                  expected * second, rtol=1e-5)


@pytest.mark.parametrize('settings', [
    {'n_components': 5}, {'n_components': 20}, {'n_components': 5, 'only_mean': True},
    {'n_components': 5, 'comp_size': 8}])
def test_norm_is_that_of_rectified_standard_normal_features(settings):
    model, _ = scores_at_the_start('fve', scaled_to='norm', **settings)
    n_dims = settings.get('comp_size', 96)
    random = numpy.random.RandomState(0)
    rectified = numpy.maximum(0, random.randn(100000)).mean()
    assert model.scaling.norm == pytest.approx(rectified * n_dims ** .5, rel=.02)
    fv, reference = random.randn(4, 30).astype('f'), random.randn(7, 3).astype('f')
    for factor in 1, 10:
        scaling = Scaling(norm=5.)
        y = scaling(chainer.Variable(factor * fv), maps(factor * reference)).array
        assert (y ** 2).sum(axis=1).mean() ** .5 == pytest.approx(5, rel=1e-5)
        numpy.testing.assert_allclose(y / y[0, 0], fv / fv[0, 0], rtol=1e-4)


def test_batch_of_zeros_does_not_set_the_scale():
    scaling, zeros = Scaling(), numpy.zeros((2, 3), 'f')
    numpy.testing.assert_array_equal(
        scaling(chainer.Variable(zeros), maps(zeros + 1)).array, zeros)
    assert scaling.n_seen == 0
    assert (scaling(chainer.Variable(zeros + 2), maps(zeros + 1)).array == 1).all()
    assert scaling.n_seen == 1


def test_scale_of_several_batches_is_their_geometric_mean():
    random = numpy.random.RandomState(0)
    batches = numpy.array([1, 300, 20, 7], 'f')[:, None, None] * random.randn(4, 6, 10).astype('f')
    reference = random.randn(7, 3).astype('f')
    scaling, size = Scaling(3), (reference.astype('d') ** 2).mean() ** .5
    ratios = size / (batches.astype('d') ** 2).mean(axis=(1, 2)) ** .5
    for i, scale in enumerate([*ratios[:3], numpy.prod(ratios[:3]) ** (1 / 3)]):
        y = scaling(chainer.Variable(batches[i]), maps(reference))
        numpy.testing.assert_allclose(y.array, scale * batches[i], rtol=1e-5)
        with chainer.using_config('train', False):
            y = scaling(chainer.Variable(batches[0]), maps(reference))
        mean = numpy.prod(ratios[:min(i + 1, 3)]) ** (1 / min(i + 1, 3))
        numpy.testing.assert_allclose(y.array, mean * batches[0], rtol=1e-5)


@pytest.mark.parametrize('n_batches', [1, 3])
def test_training_that_goes_on_gives_the_same_scale(n_batches, tmp_path):
    batches = numpy.random.RandomState(0).randn(5, 6, 10).astype('f') * numpy.arange(
        1, 6, dtype='f')[:, None, None]
    one, other = Scaling(n_batches), Scaling(n_batches)
    for i, x in enumerate(batches):
        one(chainer.Variable(x), maps(x[:, :3]))
        other(chainer.Variable(x), maps(x[:, :3]))
        chainer.serializers.save_npz(tmp_path / 'scaling.npz', other)
        other = Scaling(n_batches)
        chainer.serializers.load_npz(tmp_path / 'scaling.npz', other)
        assert (other.scale, other.n_seen) == (one.scale, min(i + 1, n_batches))


def test_float16_neither_overflows_nor_changes_type():
    scaling = Scaling()
    x = numpy.full((2, 3), 6e4, numpy.float16)
    y = scaling(chainer.Variable(x), maps(numpy.ones((1, 3), numpy.float16)))
    assert y.dtype == numpy.float16
    numpy.testing.assert_allclose(y.array, 1, rtol=1e-2)


def test_scale_is_saved_and_not_determined_again(tmp_path):
    scaling, loaded = Scaling(), Scaling()
    x = numpy.random.RandomState(0).randn(3, 4).astype('f')
    y = scaling(chainer.Variable(x), maps(5 * x))
    chainer.serializers.save_npz(tmp_path / 'scaling.npz', scaling)
    chainer.serializers.load_npz(tmp_path / 'scaling.npz', loaded)
    numpy.testing.assert_array_equal(loaded(chainer.Variable(x), maps(x)).array, y.array)


@pytest.mark.parametrize('n_batches', [1, 2, 3])
def test_forgotten_results_change_nothing(n_batches):
    """With fewer, as many and more batches than those that determine the scale."""
    random = numpy.random.RandomState(0)
    batches = random.randn(4, 4, 10).astype('f')
    kept, forgotten = Scaling(n_batches), Scaling(n_batches)
    for i, batch in enumerate(batches):
        reference = maps((i + 1) * random.randn(7, 3).astype('f'))
        gradients = []
        for scaling, call in (kept, lambda step, x: step(x)), (forgotten, F.forget):
            x = chainer.Variable(batch)
            F.sum(call(lambda fv: scaling(fv, reference), x)).backward()
            gradients.append(x.grad.tobytes())
        assert gradients[0] == gradients[1]
        assert (kept.scale, kept.n_seen) == (forgotten.scale, forgotten.n_seen)
