"""What a kind of parts is: which parts an image has, and where their boxes are."""
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
    """The parts of an experiment, of the kind that ``data.parts`` names.

    Returns:
        Parts: Made once per run; the data set, training, prediction and pictures use the same.

    """
    return resolve_name(PARTS[config.data.parts].parts)(config)


def load(config: Config, provisional: bool = False) -> DataSet:
    """Reads the data set of an experiment with its parts.

    Args:
        config (finetune.config.settings.Config): Settings of the experiment.
        provisional (bool): Whether parts that this program has still to find get the whole image
            as their box. That is enough for counts and shapes; without, it is an error.

    Returns:
        finetune.data.records.DataSet: Its ``parts`` say where the boxes are.

    """
    parts, data_set = parts_of(config), readers.load(config)
    return parts.provisional(data_set) if provisional else parts.add_to(data_set)


class Parts:

    """A kind of parts, in the images of one experiment.

    A subclass has two methods, :meth:`locate` and :meth:`boxes`, and a row of
    :data:`finetune.config.catalogue.PARTS`.

    Args:
        config (finetune.config.settings.Config): Settings of the experiment.

    """

    def __init__(self, config: Config):
        self.config = config

    @property
    def to_be_found(self) -> bool:
        """Whether this program has still to find them (:class:`finetune.parts.found.Found`)."""
        return False

    def add_to(self, data_set: DataSet) -> DataSet:
        """The data set with these parts, or with the first ``data.n_parts`` of them."""
        data_set = self.locate(data_set)
        n = self.config.data.n_parts
        if n > 0:
            data_set = data_set.with_parts(data_set.part_names[:n], lambda records: (
                records.locations[:, :n], records.visible[:, :n]))
        return replace(data_set, parts=self)

    def provisional(self, data_set: DataSet) -> DataSet:
        """The data set with these parts, or while they are to be found, with any boxes."""
        return self.add_to(data_set)

    def locate(self, data_set: DataSet) -> DataSet:
        """The data set with all parts of this kind.

        Args:
            data_set (finetune.data.records.DataSet): With the parts of its annotation files.

        Returns:
            finetune.data.records.DataSet: See its ``with_parts``.

        """
        raise NotImplementedError

    def boxes(self, locations: numpy.ndarray, visible: numpy.ndarray, size: tuple[int, int]
              ) -> numpy.ndarray:
        """Boxes of the parts of an image.

        Args:
            locations (numpy.ndarray): Where the parts are, (P, 2) or (P, 4), as in a
                :class:`~finetune.data.records.Record`.
            visible (numpy.ndarray): (P,) bool; the box of a hidden part is at the image's centre.
            size (tuple of int): Height and width of the image in pixels.

        Returns:
            numpy.ndarray: (P, 4) int32, (y_min, x_min, y_max, x_max) in pixels.

        """
        raise NotImplementedError

    def in_pictures(self, part_names: list[str], detector_folder: Path,
                    device: chainer.backend.Device) -> Any:
        """These parts in pictures that nobody has annotated.

        Args:
            part_names (list of str): Names of the parts of the trained model.
            detector_folder (pathlib.Path): Where a run keeps the detector of its parts, if any.
            device (chainer.backend.Device): Where a detector computes.

        Returns:
            finetune.parts.pictures.PictureParts or None: ``None``: somebody has to annotate them.

        """
        return None

    def n_published(self, counts: Counts) -> int | None:
        """Number of parts of the complete data set; ``None``: there is nothing to compare with."""
        return None

    def check(self, data_set: DataSet) -> None:
        """Raises an error if the parts do not belong to the images; most kinds always do."""

    def load_detector(self, device: chainer.backend.Device) -> Any:
        """The :class:`~finetune.parts.cs_parts.detector.Detector` that found the parts, if any."""
        return None

    def keep_detector(self, folder: Path) -> None:
        """Copies the detector that found the parts into a folder; most kinds have none."""

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
