"""Splits that the program makes."""
from collections.abc import Sequence
from dataclasses import replace
import hashlib

import numpy

from finetune.data.records import DataSet, Records
from finetune.errors import InputError

N_FOLDS = 5     # validation splits, each of about a fifth of the training images


def in_test(image_ids: Sequence[str], labels: Sequence, contents: Sequence[str],
            groups: Sequence[str], share: float, key: str, start: float = 0.) -> numpy.ndarray:
    """Chooses test images by a keyed hash of each image's id.

    Adding, removing or renaming other images does not move an image, so that the shares of the
    classes vary like those of independent draws. There are exceptions. Images with equal contents
    are on one side, that of the shortest id, which a copy rarely has. So are those of a group, by
    the hash of its name. A class without training images gets the image, or group, with the largest
    hash. If there is no test image at all, the smallest hash makes one that leaves training images
    of its class.

    Args:
        image_ids (sequence of str): N ids.
        labels (sequence): N classes.
        contents (sequence of str): N identities of contents; empty: unknown.
        groups (sequence of str): N names of groups; empty: none.
        share (float): Probability that an image is a test image.
        key (str): Key of the hash; another key gives an independent split.
        start (float): Smallest hash, in [0, 1), that makes a test image; the hashes are cyclic.

    Returns:
        numpy.ndarray: (N,) bool.

    """
    texts = [group or image_id for group, image_id in zip(groups, image_ids)]
    together = _together(contents, groups)
    decides = {}        # index of the image that decides, by set
    for i in sorted(range(len(texts)), key=lambda i: (not groups[i], len(texts[i]), texts[i])):
        decides.setdefault(together[i], i)
    hashes = numpy.array([(_hash(texts[decides[name]], key) - start) % 1 for name in together])
    chosen = hashes < share
    of_class = {}
    for i, label in enumerate(labels):
        of_class.setdefault(label, []).append(i)
    for members in of_class.values():
        if chosen[members].all():
            chosen[hashes == hashes[members].max()] = False
    if not chosen.any():
        whole = [hashes[members[0]] for members in of_class.values()
                 if len(set(hashes[members])) == 1]
        others = hashes[~numpy.isin(hashes, whole)]
        if others.size:
            chosen[hashes == others.min()] = True
    return chosen


def _together(contents, groups):
    """Names the sets of images that are on one side: of equal contents, or of a group.

    A copy in another group joins both groups.
    """
    if not any(groups):
        return [same or i for i, same in enumerate(contents)]
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    n, number_of = len(contents), {}
    links = [(i, number_of.setdefault((kind, name), n + len(number_of)))
             for kind, names in enumerate((contents, groups))
             for i, name in enumerate(names) if name]
    size = n + len(number_of)
    graph = coo_array((numpy.ones(len(links)), tuple(zip(*links))), shape=(size, size))
    return connected_components(graph, directed=False)[1][:n].tolist()


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
