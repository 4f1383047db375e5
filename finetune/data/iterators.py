"""Iterators that load the examples of a data set in this process or in worker processes."""
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
import multiprocessing
from multiprocessing import connection, sharedctypes
import os
import queue
import threading

import chainer
from chainer.iterators import _statemachine
from chainer.iterators.multiprocess_iterator import _fetch_run, _fetch_setup, _unpack

from finetune.data.dataset import PartDataset
from finetune.errors import InputError

TIMEOUT_SECONDS = 300   # per example


def iterate(dataset: PartDataset, batch_size: int, n_workers: int,
            order_sampler: Callable | None = None, share: tuple[int, int] = (0, 1)
            ) -> chainer.dataset.Iterator:
    """Returns a Chainer iterator, whose batches do not depend on the number of workers.

    Args:
        dataset (finetune.data.dataset.PartDataset): Data set to load.
        batch_size (int): Images per batch.
        n_workers (int): Number of worker processes, which prefetch the next batch; 0: this process
            loads images when they are needed.
        order_sampler (callable or None): Order of the images in each epoch; ``None``: one pass in
            the data set's order.
        share (tuple of int): Rank and number of ranks; each rank loads its share of every batch.

    Returns:
        chainer.dataset.Iterator: Use it in a ``with`` statement, or finalize it.

    """
    options = {'repeat': order_sampler is not None, 'order_sampler': order_sampler,
               'shuffle': False if order_sampler is None else None}
    if n_workers == 0:
        return _Iterator(share, dataset, batch_size, **options)
    return _ParallelIterator(share, _InWorkers(dataset, batch_size, n_workers), batch_size,
                             **options)


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
        return [self.dataset[index] for index in indices]

    next = __next__

    def _following(self):
        """Returns the next state and this rank's indices; ``None`` at the end."""
        state, indices = _statemachine.iterator_statemachine(
            self._state, self.batch_size, self.repeat, self.order_sampler, len(self.dataset))
        if indices is not None:
            rank, n_ranks = self._share
            start, end = (i * len(indices) // n_ranks for i in (rank, rank + 1))
            indices = indices[start:end]
        return state, indices


class _ParallelIterator(_Iterator):

    """Prefetches the next batch while the current one is used.

    It replaces Chainer's ``MultiprocessIterator``, which waits forever for a worker that died.
    """

    def __next__(self):
        self._request()
        batch = super().__next__()
        self._request()
        return batch

    next = __next__

    def _request(self):
        _, indices = self._following()
        self.dataset.request([] if indices is None else indices)

    def finalize(self):
        self.dataset.close()


class _InWorkers(chainer.dataset.DatasetMixin):

    """Data set whose examples worker processes load into shared memory, ``n_ahead`` at a time."""

    def __init__(self, dataset, n_ahead, n_workers):
        self._dataset, self._n_workers = dataset, n_workers
        self._executor = None
        self._requested = {}        # futures by index
        self._memory = sharedctypes.RawArray('b', n_ahead * dataset.largest_example)
        self._slots = queue.SimpleQueue()
        for slot in range(n_ahead):
            self._slots.put(slot)

    def __len__(self):
        return len(self._dataset)

    def request(self, indices):
        """Lets the workers load the examples that are read next."""
        for index in self._requested.keys() - set(indices):     # the iterator was reset
            self._requested.pop(index).add_done_callback(self._release)
        for index in indices:
            if index not in self._requested:
                self._requested[index] = self._submit(index)

    def get_example(self, i):
        future = self._requested.pop(i)
        try:
            example = _unpack(future.result(TIMEOUT_SECONDS), self._memory)
        except BrokenProcessPool:
            raise InputError('a worker process that loads images died, perhaps because memory ran '
                             'out; lower training.workers, or set it to 0.')
        except TimeoutError:
            self._kill()
            raise InputError(f'the worker processes loaded no image in {TIMEOUT_SECONDS} s; the '
                             'disk may be slow: try again, or set training.workers to 0.')
        self._release(future)
        return example

    def close(self):
        """Stops the worker processes."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        self._executor, self._requested = None, {}

    def _submit(self, index):
        if self._executor is None:
            self._executor = _start(self._n_workers, self._dataset, self._memory)
        slot = self._slots.get()
        try:
            future = self._executor.submit(_fetch_run, (slot, index))
        except BrokenProcessPool as error:      # get_example reports it
            future = Future()
            future.set_exception(error)
        future.slot = slot
        return future

    def _release(self, future):
        self._slots.put(future.slot)

    def _kill(self):
        for process in self._executor._processes.values():
            process.kill()


def _start(n_workers, dataset, memory):
    # Workers forked from a process that has threads or uses a GPU may hang. Importing finetune
    # first makes Chainer importable.
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['finetune.data.dataset'])
    return ProcessPoolExecutor(n_workers, context, _set_up,
                               (dataset, dataset.largest_example, memory))


def _set_up(*arguments):
    _fetch_setup(*arguments)        # also ignores Ctrl-C, which the parent process handles
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)    # no traceback if the parent was killed
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
