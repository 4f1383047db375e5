"""The settings that configs recommend for several components."""
from pathlib import Path

import chainer
import numpy
import pytest

from finetune.config.config import read_config
from finetune.models.part_classifier import PartClassifier

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((PROJECT / 'configs').glob('*/gt2_recommended_k*.yml'))
N, P, CLASSES, SIZE = 4, 3, 5, 4


def settings(path):
    model = read_config(path).model
    return {name: getattr(model, name) for name in (
        'norm_filter', 'resp_gradient', 'var_floor', 'relative_var_floor', 'power_normalize',
        'component_normalize', 'l2_normalize', 'scaling', 'scaled_to', 'only_mean', 'comp_size')}


def test_all_are_the_same_but_for_the_number_of_components():
    assert len({tuple(settings(path).items()) for path in CONFIGS}) == 1
    for path in CONFIGS:
        assert read_config(path).model.n_components == int(path.stem.rpartition('k')[2])


def trained(path, factor):
    """Scores of the part stream and gradients of ConvMaps in three steps, and test scores."""
    config, random = read_config(path), numpy.random.RandomState(0)
    numpy.random.seed(0)
    config.model.architecture = 'small_cnn'
    model = PartClassifier(config.model, CLASSES, P, 'mask', seed=0, frozen=True)
    model.given_conv_maps = True
    optimizer = chainer.optimizers.Adam(1e-2).setup(model.part_head)
    results = []
    for _ in range(3):
        maps = factor * random.rand(N * P, 96, SIZE, SIZE).astype('f') ** 3
        conv_map, visible = chainer.Variable(maps), numpy.arange(N * P).reshape(N, P) % 5 > 0
        scores = model.part_head(model.encode(conv_map, visible))
        model.part_head.cleargrads()
        chainer.functions.softmax_cross_entropy(scores, numpy.arange(N)).backward()
        optimizer.update()
        results += [scores.array, factor * conv_map.grad]
    with chainer.using_config('train', False):
        return [*results, model.part_head(model.encode(conv_map, visible)).array]


# A power of two only changes exponents. Another factor changes the rounding, which components of
# a few features amplify.
FACTORS = (8, 1e-5), (1 / 8, 1e-5), (10, 5e-3), (.1, 5e-3)


@pytest.mark.parametrize('path, factor, rounding', [
    pytest.param(path, *factor, id=f'{path.stem}-{factor[0]}')
    for path in CONFIGS if path.parent.name == 'minibirds'
    for factor in FACTORS[:2 if path.stem.endswith('k50') else 4]])
def test_results_do_not_depend_on_the_scale_of_conv_maps(path, factor, rounding):
    for scaled, expected in zip(trained(path, factor), trained(path, 1)):
        numpy.testing.assert_allclose(scaled, expected, rtol=0,
                                      atol=rounding * abs(expected).max())


def test_paper_settings_do_depend_on_it():
    path = PROJECT / 'configs/minibirds/gt2_fve_k5.yml'
    scaled, expected = trained(path, 10)[0], trained(path, 1)[0]
    assert abs(scaled - expected).max() > .1 * abs(expected).max()
