"""Iterators over a data set that load examples in this process or in worker processes."""
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

TIMEOUT_SECONDS = 300   # for an example


def iterate(dataset: PartDataset, batch_size: int, n_workers: int,
            order_sampler: Callable | None = None, share: tuple[int, int] = (0, 1)
            ) -> chainer.dataset.Iterator:
    """One of Chainer's iterators; its batches do not depend on the number of workers.

    Args:
        dataset (finetune.data.dataset.PartDataset): What to load.
        batch_size (int): Images per batch.
        n_workers (int): Number of worker processes that load the next batch during computation;
            0: this process loads images when they are needed.
        order_sampler (callable or None): Order of the images in each epoch; ``None``: one pass in
            the data set's order.
        share (tuple of int): Rank and number of ranks: batches are cut into as many pieces, of
            which this rank loads its own.

    Returns:
        chainer.dataset.Iterator: To be used in a ``with`` statement or finalized.

    """
    options = {'repeat': order_sampler is not None, 'order_sampler': order_sampler,
               'shuffle': False if order_sampler is None else None}
    if n_workers == 0:
        return _Iterator(share, dataset, batch_size, **options)
    return _ParallelIterator(share, _InWorkers(dataset, batch_size, n_workers), batch_size,
                             **options)


class _Iterator(chainer.iterators.SerialIterator):

    """Chainer's iterator, which loads this rank's share of every batch."""

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
        """The state after the next batch, and the indices of this rank's share; ``None``: the end.
        """
        state, indices = _statemachine.iterator_statemachine(
            self._state, self.batch_size, self.repeat, self.order_sampler, len(self.dataset))
        if indices is not None:
            rank, n_ranks = self._share
            start, end = (i * len(indices) // n_ranks for i in (rank, rank + 1))
            indices = indices[start:end]
        return state, indices


class _ParallelIterator(_Iterator):

    """The iterator, which asks for the next batch while this one is used.

    In place of Chainer's ``MultiprocessIterator``, which waits for ever for a worker that died.
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

    """A data set whose examples are made by worker processes and come through shared memory.

    Args:
        dataset (finetune.data.dataset.PartDataset): The data set.
        n_ahead (int): Number of examples that are requested at a time.
        n_workers (int): Number of processes.

    """

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
        """Has examples made that will be asked for next."""
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
            raise InputError('a worker process that loads images died; perhaps it ran out of '
                             'memory: try a smaller training.workers, or 0.')
        except TimeoutError:
            self._kill()
            raise InputError(f'the worker processes have sent no image for {TIMEOUT_SECONDS} s; '
                             'perhaps the disk is very slow: try again, or training.workers 0.')
        self._release(future)
        return example

    def close(self):
        """Ends the processes."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        self._executor, self._requested = None, {}

    def _submit(self, index):
        if self._executor is None:
            self._executor = _start(self._n_workers, self._dataset, self._memory)
        slot = self._slots.get()
        try:
            future = self._executor.submit(_fetch_run, (slot, index))
        except BrokenProcessPool as error:      # get_example tells
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
    """Begins a worker process."""
    _fetch_setup(*arguments)        # ignores Ctrl-C, too, which ends this process's parent
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)    # no traceback if the parent was killed
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
