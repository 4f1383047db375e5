"""Splits that the program makes."""
from collections.abc import Sequence
from dataclasses import replace
import hashlib

import numpy

from finetune.data.records import DataSet, Records
from finetune.errors import InputError

N_FOLDS = 5     # validation splits, each of about a fifth of the training images


def in_test(image_ids: Sequence[str], labels: Sequence, contents: Sequence[str], share: float,
            key: str, start: float = 0.) -> numpy.ndarray:
    """Chooses test images by a keyed hash of each image's id.

    Adding, removing or renaming other images does not move an image, so that the shares of the
    classes vary like those of independent draws. There are exceptions. Images with equal contents
    are on one side, that of the shortest id, which a copy rarely has. A class without training
    images gets the image with the largest hash. If there is no test image at all, the smallest hash
    of the classes with several images makes one.

    Args:
        image_ids (sequence of str): N ids.
        labels (sequence): N classes.
        contents (sequence of str): N identities of contents; empty: unknown.
        share (float): Probability that an image is a test image.
        key (str): Key of the hash; another key gives an independent split.
        start (float): Smallest hash, in [0, 1), that makes a test image; the hashes are cyclic.

    Returns:
        numpy.ndarray: (N,) bool.

    """
    decides = {}        # index of the image that decides, by contents
    for i in sorted(range(len(image_ids)), key=lambda i: (len(image_ids[i]), image_ids[i])):
        decides.setdefault(contents[i] or i, i)
    hashes = numpy.array([(_hash(image_ids[decides[same or i]], key) - start) % 1
                          for i, same in enumerate(contents)])
    chosen = hashes < share
    of_class = {}
    for i, label in enumerate(labels):
        of_class.setdefault(label, []).append(i)
    for members in of_class.values():
        if chosen[members].all():
            chosen[hashes == hashes[members].max()] = False
    if not chosen.any():
        several = [i for members in of_class.values() if len(set(hashes[members])) > 1
                   for i in members]
        if several:
            chosen[hashes == hashes[several].min()] = True
    return chosen


def _hash(text, key):
    """Maps a text to a number in [0, 1)."""
    digest = hashlib.blake2b(text.encode(), key=key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'big') / 2 ** 64


def hold_out(data_set: DataSet, is_held_out: numpy.ndarray) -> DataSet:
    """Replaces the test images by some of the training images."""
    if not is_held_out.any():
        raise InputError(f'data.split validation: of {len(data_set.train)} training images none is '
                         'held out; use a larger data set.')
    return replace(data_set, train=data_set.train[~is_held_out], test=data_set.train[is_held_out])


def every_nth(records: Records, fold: int, n_folds: int = N_FOLDS) -> numpy.ndarray:
    """Chooses every fifth image of a class, or every n-th of n folds: a mask (N,)."""
    return (_numbers_in_class(records) + 1 + fold) % n_folds == 0


def first_of_classes(data_set: DataSet, n: int) -> DataSet:
    """Keeps the first n training images of each class; 0: all."""
    if n == 0:
        return data_set
    return replace(data_set, train=data_set.train[_numbers_in_class(data_set.train) < n])


def _numbers_in_class(records):
    """Numbers the images of each class from 0."""
    by_class = numpy.argsort(records.labels, kind='stable')
    counts = numpy.bincount(records.labels)
    numbers = numpy.empty(len(records), int)
    numbers[by_class] = numpy.arange(len(records)) - numpy.repeat(
        numpy.cumsum(counts) - counts, counts)
    return numbers
