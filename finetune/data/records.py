"""The images of a data set: a record for each, of which there may be millions."""
import collections.abc
from dataclasses import dataclass
import os
from pathlib import Path
from typing import NamedTuple, Union

import numpy

from finetune.errors import InputError


class Record(NamedTuple):
    """One image of a data set.

    .. csv-table::
        :header: name, shape, dtype, format

        ``image_id``, , str, "as in the annotation files"
        ``path``, , pathlib.Path, "the image"
        ``label``, scalar, int, "0 ... n_classes - 1"
        ``locations``, "(P, 2) or (P, 4)", float32, "part points (y, x) or boxes (y_min, x_min,
        y_max, x_max), pixels; arbitrary for hidden parts"
        ``visible``, "(P,)", bool, "whether the part is visible"

    """

    image_id: str
    path: Path
    label: int
    locations: numpy.ndarray
    visible: numpy.ndarray


class Records(collections.abc.Sequence):

    """Images as arrays: a :class:`Record` is made when it is asked for.

    ``records[i]`` is a record; with a slice, numbers or a mask it is some of the images.

    Args:
        image_ids (sequence of str): N of them.
        paths (sequence of str or pathlib.Path): Paths of the images, relative to the folder.
        labels (array-like of int): (N,)
        locations (array-like): (N, P, 2) or (N, P, 4); see :class:`Record`.
        visible (array-like of bool): (N, P)
        folder (pathlib.Path): The folder of the images.

    """

    def __init__(self, image_ids, paths, labels, locations, visible, folder=Path()):
        self.folder = folder
        self._columns = (_bytes(image_ids), _bytes(paths), numpy.asarray(labels, numpy.int32),
                         numpy.asarray(locations, numpy.float32), numpy.asarray(visible, bool))

    @classmethod
    def of(cls, records):
        """The same as a sequence of :class:`Record`."""
        return cls(*(zip(*records) if records else 5 * [()]))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        columns = [column[index] for column in self._columns]
        if numpy.ndim(columns[0]):
            return self._like(columns)
        image_id, path, label, locations, visible = columns
        return Record(os.fsdecode(image_id), self.folder / os.fsdecode(path), int(label),
                      locations, visible)

    def __add__(self, other):
        """Images of the same folder, one after the other."""
        return self._like(map(numpy.concatenate, zip(self._columns, other._columns)))

    def _like(self, columns):
        records = Records.__new__(Records)
        records.folder, records._columns = self.folder, tuple(columns)
        return records

    @property
    def image_ids(self):
        """A list of str."""
        return list(map(os.fsdecode, self._columns[0]))

    @property
    def labels(self):
        """(N,) int32."""
        return self._columns[2]

    @property
    def locations(self):
        """(N, P, 2) or (N, P, 4), float32."""
        return self._columns[3]

    @property
    def visible(self):
        """(N, P) bool."""
        return self._columns[4]

    def with_parts(self, locations, visible):
        """The same images with other parts: those of each, or (P, 2 or 4) and (P,) of all."""
        n = len(self),
        return self._like([
            *self._columns[:3],
            numpy.broadcast_to(numpy.float32(locations), n + numpy.shape(locations)[-2:]),
            numpy.broadcast_to(visible, n + numpy.shape(visible)[-1:])])


def _bytes(texts):
    """Texts in an array: names of files need not be UTF-8."""
    return numpy.array([os.fsencode(text) for text in texts], bytes)


@dataclass
class DataSet:
    """A data set: the names of its classes and parts and its two splits, in the files' order."""

    class_names: list[str]
    part_names: list[str]
    train: Union[Records, tuple] = ()
    test: Union[Records, tuple] = ()
    n_missing: int = 0      # listed images that do not exist, left out
    n_ignored: int = 0      # lines of part_locs.txt for images that are not listed


def split_records(records, in_train, class_names, part_names, path):
    """Training and test images, neither of which may be empty.

    Args:
        records (Records or list of Record): All images.
        in_train (sequence of bool): Which of them are for training.
        class_names, part_names (iterable of str): Names.
        path (pathlib.Path): File of the split, for messages.

    """
    records = records if isinstance(records, Records) else Records.of(records)
    in_train = numpy.array(in_train, bool)
    for mask, what in ((in_train, 'training'), (~in_train, 'test')):
        if not mask.any():
            raise InputError(f'{path}: there is no {what} image; get the complete file.')
    return DataSet(list(class_names), list(part_names), records[in_train], records[~in_train])
