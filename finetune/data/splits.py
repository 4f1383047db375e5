"""Splits that the program makes."""
from collections.abc import Sequence
from dataclasses import replace
import hashlib

import numpy

from finetune.data.records import DataSet, Records
from finetune.errors import InputError

N_FOLDS = 5     # validation splits, each of about a fifth of the training images


def in_test(image_ids: Sequence[str], labels: Sequence, contents: Sequence[str],
            groups: Sequence[str], share: float, key: str) -> numpy.ndarray:
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

    Returns:
        numpy.ndarray: (N,) bool.

    """
    texts = [group or image_id for group, image_id in zip(groups, image_ids)]
    together = _together(contents, groups)
    decides = {}        # index of the image that decides, by set
    for i in sorted(range(len(texts)), key=lambda i: (not groups[i], len(texts[i]), texts[i])):
        decides.setdefault(together[i], i)
    hashes = numpy.array([_hash(texts[decides[name]], key) for name in together])
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


def balanced_folds(image_ids: Sequence[str], labels: numpy.ndarray, contents: Sequence[str],
                   groups: Sequence[str], n_folds: int, key: str) -> numpy.ndarray:
    """Divides images into folds of equal size, each with as many images of every class.

    Images with equal contents, and those of a group, are in one fold. Large sets of such images
    come first, then a keyed hash of the ids decides the order. Each set goes to the fold that has
    the fewest images of its classes, and of these to the smallest. scikit-learn's
    ``StratifiedGroupKFold`` refuses data sets whose classes all have fewer images than folds.

    Args:
        image_ids (sequence of str): N ids.
        labels (numpy.ndarray): (N,), int: classes.
        contents (sequence of str): N identities of contents; empty: unknown.
        groups (sequence of str): N names of groups; empty: none.
        n_folds (int): Number of folds.
        key (str): Key of the hash.

    Returns:
        numpy.ndarray: (N,), int: numbers of the folds. If all images of a class would be in the
        same fold, those of one set are in none, -1, so that the class has training images.

    """
    together, sets = _together(contents, groups), {}
    for i, name in enumerate(together):
        sets.setdefault(name, []).append(i)
    hashes = [_hash(group or image_id, key) for group, image_id in zip(groups, image_ids)]
    n_of_class = numpy.zeros((labels.max(initial=-1) + 1, n_folds), int)
    folds = numpy.empty(len(labels), int)
    for members in sorted(sets.values(), key=lambda one: (-len(one), min(hashes[i] for i in one))):
        of_set = labels[members]
        fold = numpy.lexsort((n_of_class.sum(axis=0), n_of_class[of_set].sum(axis=0)))[0]
        numpy.add.at(n_of_class, (of_set, fold), 1)
        folds[members] = fold
    for label in numpy.unique(labels):
        of_class = numpy.flatnonzero(labels == label)
        if len(numpy.unique(folds[of_class])) == 1:
            folds[sets[together[of_class[-1]]]] = -1
    return folds


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


def every_nth(records: Records, n_folds: int) -> numpy.ndarray:
    """Divides images into folds, (N,), each of which has every n-th image of a class."""
    return -(_numbers_in_class(records) + 1) % n_folds


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
