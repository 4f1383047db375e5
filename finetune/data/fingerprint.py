"""What a run was trained and tested on, and what of it has changed since."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
import csv
import hashlib
from pathlib import Path
from typing import NamedTuple
import zlib

from finetune.data.contents import identify
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.files import atomic, read_csv, write_csv
from finetune.names import composed

MAX_NAMED = 3       # classes in a message


class Image(NamedTuple):
    """An image of a data set."""

    path: str           # relative to the folder of the images
    split: str          # train or test
    label: int
    class_name: str
    contents: str       # identity of the file's contents (:mod:`finetune.data.contents`)
    parts: str          # CRC-32 of the locations and the visibility of its parts


# Columns that may differ between the same paths, and how a message says so.
CHANGES = {'contents': 'have other contents', 'split': 'moved between training and test images',
           'label': 'have another class', 'parts': 'have other parts'}


class Fingerprint(list[Image]):

    """The images of a data set in their order."""

    @classmethod
    def of(cls, data_set: DataSet) -> Fingerprint:
        """The fingerprint of a data set; it reads a part of every image's file.

        Parts that the data set does not have yet are left empty.
        """
        images = cls()
        for split in 'train', 'test':
            records = getattr(data_set, split)
            names = [data_set.class_names[label] for label in records.labels]
            parts = ([''] * len(records) if data_set.parts is None else
                     [_crc(*part) for part in zip(records.locations, records.visible)])
            images += map(Image, map(composed, records.names), [split] * len(records),
                          records.labels.tolist(), map(composed, names),
                          identify(records.paths), parts)
        return images

    @classmethod
    def read(cls, path: Path) -> Fingerprint:
        """Reads a file that :meth:`write` wrote."""
        try:
            header, *rows = read_csv(path)
            if tuple(header) != Image._fields or {len(row) for row in rows} != {len(header)}:
                raise ValueError('lines are missing')
            return cls(Image(path, split, int(label), *rest) for path, split, label, *rest in rows)
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f'{path}: is not a complete list of images ({error}); copy the folder '
                             'again.')

    def write(self, path: Path) -> None:
        """Writes a CSV file with the columns of :class:`Image` atomically."""
        with atomic(path) as unfinished:
            write_csv(unfinished, [Image._fields, *self])

    def digest(self, *columns: str) -> str:
        """Hash, twelve hexadecimal digits, of columns of all images in their order."""
        rows = '\n'.join('\t'.join(str(getattr(image, column)) for column in columns)
                         for image in self)
        return hashlib.sha256(rows.encode('utf-8', 'surrogateescape')).hexdigest()[:12]

    @property
    def digests(self) -> dict[str, str]:
        """Hashes of the training images, the test images, and the parts of all."""
        sides = {split: Fingerprint(image for image in self if image.split == split)
                 for split in ('train', 'test')}
        return {**{split: images.digest('path', 'label', 'class_name', 'contents')
                   for split, images in sides.items()}, 'parts': self.digest('parts')}

    @property
    def class_names(self) -> list[str]:
        """Names of the classes with images, in the order of their labels."""
        return [name for _, name in sorted({(image.label, image.class_name) for image in self})]

    def changes(self, now: Fingerprint) -> str:
        """Says what has changed since this fingerprint was taken; empty: nothing.

        Parts are compared if both have them.
        """
        text = changes_of_classes(self.class_names, now.class_names)
        return text or self._changes_of_images(now)

    def _changes_of_images(self, now):
        before, after = _by_path(self), _by_path(now)
        phrases = [_count(after.keys() - before.keys(), 'are new'),
                   _count(before.keys() - after.keys(), 'are gone')]
        both = [(key, image, after[key]) for key, image in before.items() if key in after]
        unreadable = {key for key, then, image in both if then.contents and not image.contents}
        phrases.append(_count(unreadable, 'cannot be read'))
        for column, words in CHANGES.items():
            values = [(key, getattr(then, column), getattr(image, column))
                      for key, then, image in both if column != 'contents' or key not in unreadable]
            are_known = all(any(column) for column in zip(*(row[1:] for row in values)))
            if column != 'parts' or are_known:
                phrases.append(_count({key for key, *pair in values if pair[0] != pair[1]}, words))
        text = ', '.join(filter(None, phrases))
        if not text and [image.path for image in self] != [image.path for image in now]:
            return 'the images are in another order'
        return text

    def n_trained_on(self, now: Fingerprint) -> int:
        """Number of test images of ``now`` that are training images of this by their contents."""
        trained = {image.contents for image in self if image.split == 'train'} - {''}
        return sum(image.split == 'test' and image.contents in trained for image in now)


def _by_path(images):
    """Images by path; a path that is listed several times has a number, too."""
    seen, by_path = Counter(), {}
    for image in images:
        by_path[image.path, seen[image.path]] = image
        seen[image.path] += 1
    return by_path


def changes_of_classes(before: list[str], after: list[str]) -> str:
    """Says which classes have changed; empty: none."""
    before, after = (list(map(composed, names)) for names in (before, after))
    phrases = [f'{_named(one, other)} {what}' for one, other, what in (
        (before, after, 'gone'), (after, before, 'new')) if set(one) - set(other)]
    if not phrases and before != after:
        return 'the classes are in another order'
    return ' and '.join(phrases)


def _named(names, others):
    """Names the classes that others do not have, with a verb."""
    found = [name for name in names if name not in set(others)]
    listed = ', '.join(found[:MAX_NAMED]) + (', ...' if len(found) > MAX_NAMED else '')
    return f'class {listed} is' if len(found) == 1 else f'{len(found)} classes ({listed}) are'


def _count(keys: Iterable[tuple[str, int]], words: str) -> str:
    """Says how many images something holds for, and which is the first."""
    paths = [path for path, _ in sorted(keys)]
    if len(paths) > 1:
        return f'{len(paths)} images (such as {paths[0]}) {words}'
    for plural, singular in (('are ', 'is '), ('have ', 'has ')):
        words = words.replace(plural, singular)
    return f'1 image ({paths[0]}) {words}' if paths else ''


def _crc(*arrays):
    return f'{zlib.crc32(b"".join(array.tobytes() for array in arrays)):08x}'
