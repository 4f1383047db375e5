"""The base class of kinds of parts."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import chainer
import numpy

from finetune.config.catalogue import Counts, PARTS
from finetune.config.settings import Config
from finetune.data import readers
from finetune.data.annotation_files import LOCATIONS
from finetune.data.layout import find_layout
from finetune.data.records import DataSet
from finetune.errors import InputError

COORDINATES = {2: 'points', 4: 'boxes'}


def parts_of(config: Config) -> Parts:
    """Creates the kind of parts that ``data.parts`` names."""
    return resolve_name(PARTS[config.data.parts].parts)(config)


def load(config: Config, provisional: bool = False) -> DataSet:
    """Reads the data set of an experiment with its parts.

    If ``provisional``, parts that have not been found yet get the whole image as their box, which
    is enough for counts and shapes; otherwise they are an error.
    """
    parts, data_set = parts_of(config), readers.load(config)
    return parts.provisional(data_set) if provisional else parts.add_to(data_set)


class Parts:

    """A kind of parts, in the images of one experiment.

    A subclass implements :meth:`locate` and :meth:`boxes`, and has a row in
    :data:`finetune.config.catalogue.PARTS`.

    Args:
        config (finetune.config.settings.Config): Settings of the experiment.

    """

    def __init__(self, config: Config):
        self.config = config

    @property
    def to_be_found(self) -> bool:
        """Whether the program has yet to find these parts (:class:`finetune.parts.found.Found`)."""
        return False

    def add_to(self, data_set: DataSet) -> DataSet:
        """Returns the data set with these parts, or with the first ``data.n_parts`` of them."""
        data_set = self.locate(data_set)
        n = self.config.data.n_parts
        if n > 0:
            data_set = data_set.with_parts(data_set.part_names[:n], lambda records: (
                records.locations[:, :n], records.visible[:, :n]))
        return replace(data_set, parts=self)

    def provisional(self, data_set: DataSet) -> DataSet:
        """The data set with these parts.

        Parts that have yet to be found get the whole image as their box.
        """
        return self.add_to(data_set)

    def locate(self, data_set: DataSet) -> DataSet:
        """Converts the annotated parts of a data set into all parts of this kind."""
        raise NotImplementedError

    def boxes(self, locations: numpy.ndarray, visible: numpy.ndarray, size: tuple[int, int]
              ) -> numpy.ndarray:
        """Computes the boxes of the parts of an image.

        Args:
            locations (numpy.ndarray): (P, 2) or (P, 4), as in a
                :class:`~finetune.data.records.Record`.
            visible (numpy.ndarray): (P,) bool; the box of a hidden part is at the image's centre.
            size (tuple of int): Height and width of the image in pixels.

        Returns:
            numpy.ndarray: (P, 4) int32, (y_min, x_min, y_max, x_max) in pixels.

        """
        raise NotImplementedError

    def in_pictures(self, part_names: list[str], detector_folder: Path,
                    device: chainer.backend.Device) -> Any:
        """Provides the parts of pictures without annotations.

        Args:
            part_names (list of str): Part names of the trained model.
            detector_folder (pathlib.Path): Folder of the run's detector, which need not exist.
            device (chainer.backend.Device): Device of the detector.

        Returns:
            finetune.parts.pictures.PictureParts or None: ``None``: the parts of such pictures
            cannot be determined.

        """
        return None

    def n_published(self, counts: Counts) -> int | None:
        """Number of parts in the published data set; ``None``: not comparable."""
        return None

    def load_detector(self, device: chainer.backend.Device) -> Any:
        """Loads the detector that found the parts; ``None``: there is none."""
        return None

    def keep_detector(self, folder: Path) -> None:
        """Copies the detector that found the parts, if any, into a folder."""

    def _require(self, data_set, n_coordinates, to_do):
        """Raises an error unless the annotation files have locations of the right kind."""
        settings = self.config.data
        path = find_layout(self.config).parts / LOCATIONS
        if not data_set.part_names:
            without = next(name for name, kind in PARTS.items() if not kind.has_crops)
            raise InputError(f'{path}: there is no such file; {to_do}, or data.parts to {without}.')
        found = data_set.train.locations.shape[2]
        if found != n_coordinates:
            raise InputError(f'{path}: has {COORDINATES[found]}, but data.parts {settings.parts} '
                             f'needs {COORDINATES[n_coordinates]}; {to_do}.')
