"""Iterators that load the examples of a data set in the main thread or in threads beside it."""
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import chainer
from chainer.iterators import _statemachine


def iterate(dataset: chainer.dataset.DatasetMixin, batch_size: int, n_threads: int,
            order_sampler: Callable | None = None, share: tuple[int, int] = (0, 1)
            ) -> chainer.dataset.Iterator:
    """Returns a Chainer iterator, whose batches do not depend on the number of threads.

    Args:
        dataset (chainer.dataset.DatasetMixin): Data set to load.
        batch_size (int): Images per batch.
        n_threads (int): Number of threads that load the next batch while the current one is used;
            0: the calling thread loads images when they are needed.
        order_sampler (callable or None): Order of the images in each epoch; ``None``: one pass in
            the data set's order.
        share (tuple of int): Rank and number of ranks; each rank loads its share of every batch.

    Returns:
        chainer.dataset.Iterator: Use it in a ``with`` statement, or finalize it.

    """
    options = {'repeat': order_sampler is not None, 'order_sampler': order_sampler,
               'shuffle': False if order_sampler is None else None}
    if n_threads == 0:
        return _Iterator(share, dataset, batch_size, **options)
    return _ThreadedIterator(n_threads, share, dataset, batch_size, **options)


class _Iterator(chainer.iterators.SerialIterator):

    """Chainer's ``SerialIterator``, but it loads only this rank's share of every batch."""

    def __init__(self, share, *arguments, **options):
        self._share = share
        super().__init__(*arguments, **options)

    def __next__(self):
        self._previous_epoch_detail = self.epoch_detail
        self._state, indices = self._following()
        if indices is None:
            raise StopIteration
        return [self._load(index) for index in indices]

    next = __next__

    def _load(self, index):
        return self.dataset[index]

    def _following(self):
        """Returns the next state and this rank's indices; ``None`` at the end."""
        state, indices = _statemachine.iterator_statemachine(
            self._state, self.batch_size, self.repeat, self.order_sampler, len(self.dataset))
        if indices is not None:
            rank, n_ranks = self._share
            start, end = (i * len(indices) // n_ranks for i in (rank, rank + 1))
            indices = indices[start:end]
        return state, indices


class _ThreadedIterator(_Iterator):

    """Lets threads load the next batch; Pillow and NumPy release the interpreter's lock."""

    def __init__(self, n_threads, *arguments, **options):
        self._executor = ThreadPoolExecutor(n_threads)
        self._requested = {}        # futures by index
        super().__init__(*arguments, **options)

    def __next__(self):
        self._request()
        batch = super().__next__()
        self._request()
        return batch

    next = __next__

    def _load(self, index):
        return self._requested.pop(index).result()

    def _request(self):
        """Submits the examples of the next batch that are not loaded yet."""
        _, indices = self._following()
        indices = [] if indices is None else indices
        for index in self._requested.keys() - set(indices):     # the iterator was reset
            self._requested.pop(index).cancel()
        for index in indices:
            if index not in self._requested:
                self._requested[index] = self._executor.submit(super()._load, index)

    def finalize(self):
        """Ends each thread after the example that it loads."""
        self._executor.shutdown(cancel_futures=True)
