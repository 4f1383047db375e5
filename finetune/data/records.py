"""The images of a data set: a record for each, of which there may be millions."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
import os
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy
from numpy.typing import ArrayLike

from finetune.errors import InputError
from finetune.names import encoded


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

    @property
    def title(self) -> str:
        """The id for tables and captions: of one's own pictures, the path as on disk."""
        name = Path(*Path(self.path).parts[-1 - self.image_id.count('/'):])
        return str(name) if encoded(name) == self.image_id else self.image_id


class Records(Sequence[Record]):

    """Images as arrays, which create a :class:`Record` on access.

    ``records[i]`` is a record; a slice, an array of indices or a mask selects images.

    Args:
        image_ids (sequence of str): N ids.
        paths (sequence of str or pathlib.Path): N paths relative to ``folder``.
        labels (array-like of int): (N,)
        locations (array-like): (N, P, 2) or (N, P, 4); see :class:`Record`.
        visible (array-like of bool): (N, P)
        folder (pathlib.Path): The folder of the images.
        groups (sequence of str or None): N groups, such as an individual, whose images a split
            keeps together; ``''``, or ``None`` for all: the image is in none.

    """

    def __init__(self, image_ids: Iterable[str], paths: Iterable[str | Path], labels: ArrayLike,
                 locations: ArrayLike, visible: ArrayLike, folder: Path = Path(),
                 groups: Sequence[str] | None = None):
        self.folder = folder
        labels = numpy.asarray(labels, numpy.int32)
        self._columns = (_bytes(image_ids), _bytes(paths), labels,
                         numpy.asarray(locations, numpy.float32), numpy.asarray(visible, bool),
                         _bytes(groups or [''] * len(labels)))

    @classmethod
    def of(cls, records: Sequence[Record], folder: Path = Path()) -> Records:
        """Converts a sequence of :class:`Record`, whose paths are relative to ``folder``."""
        columns = cls(*(zip(*records) if records else 5 * [()]))
        columns.folder = folder
        return columns

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice | numpy.ndarray) -> Records: ...

    def __getitem__(self, index):
        columns = [column[index] for column in self._columns]
        if numpy.ndim(columns[0]):
            return self._like(columns)
        image_id, path, label, locations, visible, _ = columns
        return Record(os.fsdecode(image_id), self.folder / os.fsdecode(path), int(label),
                      locations, visible)

    def __add__(self, other: Records) -> Records:
        """Concatenates images of the same folder."""
        return self._like(map(numpy.concatenate, zip(self._columns, other._columns)))

    def _like(self, columns):
        records = Records.__new__(Records)
        records.folder, records._columns = self.folder, tuple(columns)
        return records

    @property
    def image_ids(self) -> list[str]:
        """Ids as in the annotation files."""
        return list(map(os.fsdecode, self._columns[0]))

    @property
    def titles(self) -> list[str]:
        """See :attr:`Record.title`."""
        return [record.title for record in self]

    @property
    def names(self) -> list[str]:
        """Paths relative to the folder of the images."""
        return list(map(os.fsdecode, self._columns[1]))

    @property
    def paths(self) -> list[Path]:
        """Paths of the images."""
        return [self.folder / name for name in self.names]

    @property
    def labels(self) -> numpy.ndarray:
        """(N,) int32."""
        return self._columns[2]

    @property
    def locations(self) -> numpy.ndarray:
        """(N, P, 2) or (N, P, 4), float32."""
        return self._columns[3]

    @property
    def visible(self) -> numpy.ndarray:
        """(N, P) bool."""
        return self._columns[4]

    @property
    def groups(self) -> list[str]:
        """Groups whose images a split keeps together; ``''``: none."""
        return list(map(os.fsdecode, self._columns[5]))

    def with_parts(self, locations: ArrayLike, visible: ArrayLike) -> Records:
        """Replaces the parts; arrays (P, 2 or 4) and (P,) apply to every image."""
        n = len(self),
        return self._like([
            *self._columns[:3],
            numpy.broadcast_to(numpy.asarray(locations, numpy.float32),
                               n + numpy.shape(locations)[-2:]),
            numpy.broadcast_to(visible, n + numpy.shape(visible)[-1:]), self._columns[5]])


def _bytes(texts):
    return numpy.array([os.fsencode(text) for text in texts], bytes)    # paths may not be UTF-8


@dataclass
class DataSet:
    """Names of classes and parts, training and test images, in the order of the files."""

    class_names: list[str]
    part_names: list[str]
    train: Records = ()     # type: ignore[assignment]  # (): only names are known
    test: Records = ()      # type: ignore[assignment]
    # Numbers of files and lines that are left out, by reason.
    left_out: Counter[str] = field(default_factory=Counter)
    parts: Any = None       # :class:`finetune.parts.kind.Parts` of the locations

    def with_parts(self, part_names: Iterable[str],
                   locate: Callable[[Records], tuple[ArrayLike, ArrayLike]]) -> DataSet:
        """Replaces the parts.

        ``locate`` maps :class:`Records` to the arguments of their :meth:`Records.with_parts`.
        """
        train, test = (records.with_parts(*locate(records)) for records in (self.train, self.test))
        return replace(self, part_names=list(part_names), train=train, test=test)

    def without_parts(self) -> DataSet:
        """Removes the parts."""
        return self.with_parts([], lambda records: (numpy.zeros((0, 2)), numpy.zeros(0, bool)))


def split_records(records: Records | list[Record], in_train: Sequence[bool],
                  class_names: Iterable[str], part_names: Iterable[str], path: Path) -> DataSet:
    """Splits images into training and test images; neither may be empty.

    ``path`` is the file of the split, for messages.
    """
    records = records if isinstance(records, Records) else Records.of(records)
    in_train = numpy.array(in_train, bool)
    for mask, what in ((in_train, 'training'), (~in_train, 'test')):
        if not mask.any():
            raise InputError(f'{path}: has no {what} image; get the complete file.')
    return DataSet(list(class_names), list(part_names), records[in_train], records[~in_train])
