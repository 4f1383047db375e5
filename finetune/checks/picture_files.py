"""Checks the user's own pictures: unreadable ones, copies, classes with a single picture."""
import collections
import hashlib

import numpy

from finetune.data import pictures
from finetune.errors import InputError
from finetune.progress import progress_bar


def check(data_set):
    """Yields findings, level and text, about the pictures of a data set."""
    unreadable, copies = [], collections.defaultdict(list)
    records = data_set.train + data_set.test
    splits = ['training'] * len(data_set.train) + ['test'] * len(data_set.test)
    for split, record in progress_bar(zip(splits, records), len(records), 'Reading all pictures'):
        try:
            pictures.read_image(record.path, upright=True)
        except InputError:
            unreadable.append(record)
        else:
            digest = hashlib.sha256(record.path.read_bytes()).digest()
            copies[digest].append((split, record))
    if unreadable:
        yield 'error', (f'{len(unreadable)} pictures cannot be read, the first is '
                        f'{unreadable[0].path}; repair or remove them')
    yield from _copies([group for group in copies.values() if len(group) > 1])
    single = [data_set.class_names[label]
              for label in numpy.flatnonzero(numpy.bincount(records.labels) == 1)]
    if single:
        yield 'warning', (f'{len(single)} classes have a single picture, the first is {single[0]}; '
                          'it is used for training, and the class is not tested')


def _copies(groups):
    for are_in, words in ((True, 'in both training and test images, so accuracies are too high'),
                          (False, 'duplicates')):
        found = [group for group in groups if (len({split for split, _ in group}) > 1) == are_in]
        if found:
            yield 'warning', (f'{len(found)} pictures are {words}, the first is '
                              f'{found[0][0][1].path}, the same as {found[0][-1][1].path}')
