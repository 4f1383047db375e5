"""One mixture of several ranks, which are threads here with a communicator of their own.

The programs under real MPI are in tests/finetune_tests/test_ranks.py.
"""
import copy
import threading

import chainer
from chainer.testing import attr
import numpy
import pytest

from fve_layer import FVELayer, GMMLayer, GradientFVELayer, multi_node

D = 6


class Ranks:

    """What ChainerMN's communicators have, for threads."""

    def __init__(self, size):
        self.size, self.local = size, threading.local()
        self.barrier = threading.Barrier(size, timeout=20)
        self.given = [None] * size
        self.n_elements = []

    @property
    def rank(self):
        return self.local.rank

    def _exchange(self, value):
        self.barrier.wait()
        self.given[self.rank] = value
        self.barrier.wait()
        return list(self.given)

    def allreduce(self, x):
        if self.rank == 0:
            self.n_elements.append(x.size)
        return sum(self._exchange(x.copy()))

    def gather_obj(self, value):
        values = self._exchange(value)
        return values if self.rank == 0 else None

    def bcast_obj(self, value):
        assert value is None or self.rank == 0      # as ChainerMN has it
        return self._exchange(value)[0]

    def run(self, function):
        """Results of function(rank) of all ranks."""
        results = [None] * self.size

        def work(rank):
            self.local.rank = rank
            try:
                results[rank] = function(rank)
            except BaseException:
                self.barrier.abort()
                raise

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


def batches(n, seed=0):
    """Batches of 12 images, most with their own share of clusters, and masks."""
    random = numpy.random.RandomState(seed)
    for _ in range(n):
        yield (random.randn(12, 20, D) + 3 * random.randint(0, 4, (12, 20, 1)),
               random.rand(12, 20) > random.rand(12, 1))


def state(layer):
    return [*map(chainer.as_array, layer.mixture), getattr(layer, 'log_likelihood', None)]


@pytest.mark.parametrize('size', [1, 2, 3, 4])
@pytest.mark.parametrize('kind, options', [
    (FVELayer, {}), (FVELayer, {'norm_filter': True}), (GMMLayer, {'ema_decay': .5}),
    (FVELayer, {'init': 'random'}), (GradientFVELayer, {})])
@pytest.mark.parametrize('k', [1, 5])
def test_ranks_have_the_mixture_of_one_with_all_images(size, kind, options, k):
    with chainer.using_config('dtype', numpy.float64):
        alone = kind(D, k, seed=3, **options)
        expected = [(alone(*batch).array, *state(alone)) for batch in batches(4)]
    ranks = Ranks(size)

    def work(rank):
        with chainer.using_config('dtype', numpy.float64):
            layer = kind(D, k, seed=3 if rank == 0 else 7, comm=ranks, **options)
            n = 12 // size
            share = slice(rank * n, (rank + 1) * n)
            return [(layer(x[share], mask[share]).array, *state(layer))
                    for x, mask in batches(4)]

    results = ranks.run(work)
    for i, (y, *mixture) in enumerate(expected):
        numpy.testing.assert_allclose(
            numpy.concatenate([result[i][0] for result in results]), y, rtol=1e-9, atol=1e-9)
        for result in results:
            for got, value, first in zip(result[i][1:], mixture, results[0][i][1:]):
                if value is not None:
                    numpy.testing.assert_allclose(got, value, rtol=1e-10)
                    numpy.testing.assert_array_equal(got, first)


def test_one_all_reduce_of_so_many_numbers():
    ranks = Ranks(2)
    ranks.run(lambda rank: [FVELayer(D, 5, seed=0, comm=ranks)(x) for x, _ in batches(1)])
    assert ranks.n_elements == [5 * (2 * D + 1) + 1]


def test_ranks_without_features_and_with_infinite_ones():
    ranks = Ranks(3)

    def work(rank):
        layer = FVELayer(D, 2, seed=0, comm=ranks)
        x, mask = next(batches(1))
        layer(x, mask & (rank == 1))            # the others have none
        seeded = [a.copy() for a in layer.mixture]
        layer(x, mask & False)                  # nobody has any
        with numpy.errstate(invalid='ignore'):
            layer(numpy.where(rank == 2, numpy.inf, x), mask)
        with chainer.using_config('train', False):
            if rank == 0:
                layer(x, mask)                  # no other rank is asked
        return seeded, layer.mixture, int(layer.n_updates)

    alone = FVELayer(D, 2, seed=0)
    alone(*next(batches(1)))
    for seeded, mixture, n_updates in ranks.run(work):
        assert n_updates == 1
        for value, now, expected in zip(seeded, mixture, alone.mixture):
            numpy.testing.assert_array_equal(value, now)
            numpy.testing.assert_allclose(value, expected, rtol=1e-6)


def test_all_ranks_fail_where_one_has_features_that_are_not_finite():
    ranks = Ranks(3)

    def work(rank):
        x, mask = next(batches(1))
        with pytest.raises(ValueError, match='not finite: no mixture can be seeded'):
            FVELayer(D, 2, seed=0, comm=ranks)(numpy.where(rank == 1, numpy.nan, x), mask)
        return True

    assert ranks.run(work) == [True] * 3


def test_one_component_has_the_statistics_of_batch_normalisation():
    """ChainerMN's, over all ranks, with equally many features on each."""
    mnbn = pytest.importorskip('chainermn.functions.batch_normalization')
    x = next(batches(1))[0]
    ranks = Ranks(2)
    ranks._multi_node_mean = lambda _, a: a.__setitem__(..., ranks.allreduce(a) / 2)

    def work(rank):
        part = x[6 * rank:6 * rank + 6]
        layer = FVELayer(D, 1, seed=0, comm=ranks)
        layer(part)
        mean, var = mnbn._MpiImpl(ranks).get_mean_and_var(
            (0, 1), numpy.ones(D), part, numpy, numpy.float64)
        return layer.mean[0], layer.var[0], mean, var

    for mean, var, expected_mean, expected_var in ranks.run(work):
        numpy.testing.assert_allclose(mean, expected_mean, rtol=1e-6)
        numpy.testing.assert_allclose(var, expected_var, rtol=1e-6)


@pytest.mark.parametrize('kind', [FVELayer, GMMLayer, GradientFVELayer])
def test_ranks_continue_the_state_that_the_first_one_has_loaded(kind):
    x, _ = next(iter(batches(1)))
    ranks, loaded = Ranks(2), kind(D, 2, seed=0)
    loaded(x[::-1])

    def work(rank):
        layer = kind(D, 2, seed=rank, comm=ranks)
        if rank == 0:
            layer.copyparams(loaded, copy_persistent=True)
        layer(x)
        return state(layer)

    expected = kind(D, 2, seed=0)
    expected.copyparams(loaded, copy_persistent=True)
    expected(x)
    for result in ranks.run(work):
        for got, value in zip(result, state(expected)):
            if value is not None:
                numpy.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5)


def test_multi_node_gives_a_model_the_communicator():
    model = chainer.Sequential(FVELayer(D, 2), chainer.Sequential(GradientFVELayer(D, 1)),
                               chainer.links.Linear(3))
    comm = Ranks(2)
    assert multi_node(model, comm) is model
    assert model[0].comm is model[1][0].comm is comm and not hasattr(model[2], 'comm')
    assert model.copy().children().__next__().comm is comm
    assert copy.copy(model[0]).comm is comm
    multi_node(model, None)
    assert model[0].comm is None


@attr.gpu
def test_gpu_is_added_up_by_the_host_without_nccl():
    ranks = Ranks(1)
    ranks.local.rank = 0
    x, mask = map(chainer.backends.cuda.to_gpu, next(batches(1)))
    layers = [FVELayer(D, 3, seed=0, comm=comm) for comm in (ranks, None)]
    for layer in layers:
        layer.to_device('@cupy:0')
        for _ in range(2):
            layer(x, mask)
    for a, b in zip(*(layer.mixture for layer in layers)):
        chainer.testing.assert_allclose(a, b, rtol=1e-12)
