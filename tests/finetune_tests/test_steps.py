"""Normalisations between the encoding and the class layer against naive ones, in float64."""
import itertools
import math

import chainer
from chainer import gradient_check
import numpy
from numpy.testing import assert_allclose
import pytest

from finetune.config.settings import Model
from finetune.models.part_classifier import PartClassifier

N, K, D = 4, 3, 5
NORMALIZATIONS = 'power_normalize', 'component_normalize', 'l2_normalize'
COMBINATIONS = [names for n in range(4) for names in itertools.combinations(NORMALIZATIONS, n)]


def make(*names):
    """The steps of a classifier whose settings with these names are on."""
    settings = Model(architecture='small_cnn', n_components=K, comp_size=D, scaling=False,
                     **dict.fromkeys(names, True))
    return [*PartClassifier(settings, 2, 1).steps.values()]


def apply(steps, fv):
    for step in steps:
        fv = step(fv, None)
    return fv


def fisher_vectors():
    """Vectors (N, 2KD) of order one; the last three have zeros, an empty component, and nothing."""
    fv = numpy.random.RandomState(0).normal(size=(N, 2, K, D))
    fv[1, :, :, ::2] = 0
    fv[2, :, 1] = 0
    fv[3] = 0
    return fv.reshape(N, -1)


def naive(fv, names):
    """One vector (2, K, D) after the normalisations with these names, value by value."""
    fv = fv[:1] if 'only_mean' in names else fv
    values = {place: fv[place] for place in numpy.ndindex(fv.shape)}
    if 'power_normalize' in names:
        values = {place: value / math.sqrt(abs(value) + .01) for place, value in values.items()}
    groups = {'component_normalize': lambda place: place[:2], 'l2_normalize': lambda place: ()}
    for name, group in groups.items():
        if name in names:
            squares = {}
            for place, value in values.items():
                squares[group(place)] = squares.get(group(place), 0) + value ** 2
            values = {place: value / (math.sqrt(squares[group(place)]) + 1e-5)
                      for place, value in values.items()}
    return [*values.values()]


@pytest.mark.parametrize('part', [(), ('only_mean',)])
@pytest.mark.parametrize('names', COMBINATIONS, ids=' '.join)
def test_normalisations_and_their_order(names, part):
    fv = fisher_vectors()
    expected = [naive(one.reshape(2, K, D), (*names, *part)) for one in fv]
    assert_allclose(apply(make(*names, *part), chainer.Variable(fv)).array, expected, rtol=1e-12)


@pytest.mark.parametrize('part', [(), ('only_mean',)])
@pytest.mark.parametrize('names', COMBINATIONS[1:], ids=' '.join)
def test_gradients(names, part):
    """Also at zeros: alone, in a component without features, and in a vector of zeros."""
    steps = make(*names, *part)
    # Near zeros, a difference that is small beside the epsilons, of two normalisations at the end.
    for fv, difference in zip(fisher_vectors(), (1e-6, 1e-6, 1e-10, 1e-15)):
        x = chainer.Variable(fv[None])
        y = apply(steps, x)
        y.grad = gy = numpy.random.RandomState(1).normal(size=y.shape)
        y.backward()
        expected, = gradient_check.numerical_grad(
            lambda x=x: (apply(steps, x).array,), (x.array,), (gy,), eps=difference)
        assert_allclose(x.grad, expected, rtol=1e-3, atol=1e-5)


def test_gradient_of_the_root_is_bounded():
    x = chainer.Variable(numpy.array([[0, 1e-30, -1e-8, 1e-2, -1]], 'f'))
    y = apply(make('power_normalize'), x)
    assert_allclose(y.array, [[0, 1e-29, -1e-7, 1e-2 / .02 ** .5, -1 / 1.01 ** .5]], rtol=1e-5)
    y.grad = numpy.ones_like(y.array)
    y.backward()
    assert x.grad[0, 0] == pytest.approx(10) and (0 < x.grad).all() and (x.grad <= 10.001).all()
