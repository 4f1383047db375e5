"""Iterators over a data set that load examples in this process or in worker processes."""
import multiprocessing
import warnings

import chainer

from finetune.errors import InputError

TIMEOUT_SECONDS = 300   # for a batch


class _ErrorsAsExamples(chainer.dataset.DatasetMixin):

    """A data set that returns its errors as examples.

    Chainer's ``MultiprocessIterator`` waits forever for a worker that raised an error. Here
    :func:`finetune.data.dataset.collate` raises it instead.
    """

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def get_example(self, i):
        try:
            return self.dataset[i]
        except Exception as error:
            return error


class _ParallelIterator(chainer.iterators.MultiprocessIterator):

    """Chainer's iterator, which waits forever for a worker that was killed, with a time limit."""

    def __next__(self):
        with warnings.catch_warnings():
            warnings.simplefilter('error', self.TimeoutWarning)
            try:
                return super().__next__()
            except self.TimeoutWarning:
                self._prefetch_loop._pool.terminate()   # finalize waits for lost tasks otherwise
                raise InputError(
                    f'the worker processes have sent no images for {self.dataset_timeout} s; '
                    'perhaps they ran out of memory: try a smaller training.workers, or 0.')

    next = __next__


def iterate(dataset, batch_size, n_workers, order_sampler=None):
    """One of Chainer's iterators; its batches do not depend on the number of workers.

    Args:
        dataset (finetune.data.dataset.PartDataset): What to load.
        batch_size (int): Images per batch.
        n_workers (int): Number of worker processes that load the next batch during computation;
            0: this process loads images when they are needed.
        order_sampler (callable or None): Order of the images in each epoch; ``None``: one pass in
            the data set's order.

    Returns:
        chainer.dataset.Iterator: To be used in a ``with`` statement or finalized.

    """
    options = {'repeat': order_sampler is not None, 'order_sampler': order_sampler,
               'shuffle': False if order_sampler is None else None}
    if n_workers == 0:
        return chainer.iterators.SerialIterator(dataset, batch_size, **options)
    # Workers forked from a process that has threads or uses a GPU may hang. Importing finetune
    # first makes Chainer importable.
    multiprocessing.set_start_method('forkserver', force=True)
    multiprocessing.set_forkserver_preload(['finetune.data.dataset'])
    return _ParallelIterator(
        _ErrorsAsExamples(dataset), batch_size, n_processes=n_workers,
        shared_mem=dataset.largest_example, dataset_timeout=TIMEOUT_SECONDS, **options)
