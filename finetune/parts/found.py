"""Parts that a CNN of whole images finds (CS-Parts)."""
from pathlib import Path
import shutil
from typing import Any

import chainer
import numpy

from finetune.data.annotation_files import LOCATIONS, N_BOX_COLUMNS, read_parts
from finetune.data.layout import find_layout
from finetune.data.lines import n_columns
from finetune.data.records import DataSet
from finetune.files import atomic
from finetune.parts.boxes import Boxes
from finetune.parts.cs_parts import detector, search
from finetune.parts.pictures import detected, PictureParts
from finetune.parts.whole import WholeImage


class Found(Boxes):

    """Boxes from files, which this program writes if ``detector.cnn`` names a CNN."""

    @property
    def folder(self) -> Path:
        """Folder of the boxes, in the data set's folder."""
        return find_layout(self.config).beside(self.config.data.boxes)

    @property
    def to_be_found(self) -> bool:
        """Whether a CNN that finds them is named, and there are no boxes yet."""
        paths = (path / LOCATIONS for path in (self.folder, find_layout(self.config).main))
        return bool(self.config.detector.cnn) and not any(
            path.exists() and n_columns(path) == N_BOX_COLUMNS for path in paths)

    def find(self, data_set: DataSet, source: Any, device: chainer.backend.Device) -> None:
        """Writes the boxes of all images (:func:`finetune.parts.cs_parts.search.find_parts`)."""
        images = WholeImage(self.config).add_to(data_set)
        search.find_parts(self.config, images, self.folder, source, device,
                          lambda: self.to_be_found)

    def locate(self, data_set: DataSet) -> DataSet:
        if data_set.train.locations.shape[2] != 4 and (self.folder / LOCATIONS).exists():
            search.check_origin(self.folder, self.config, data_set)
            data_set = read_parts(data_set, self.folder)    # found after the data set was read
        return super().locate(data_set)

    def provisional(self, data_set: DataSet) -> DataSet:
        if not self.to_be_found:
            return self.add_to(data_set)
        n_parts, size = self.config.detector.n_parts, self.config.detector.input_size
        whole = numpy.tile(numpy.array([0, 0, size, size], numpy.float32), (n_parts, 1))
        names, visible = search.part_names(n_parts), numpy.ones(n_parts, bool)
        return self.add_to(data_set.with_parts(names, lambda records: (whole, visible)))

    @property
    def _detector(self):
        return self.folder / search.DETECTOR

    def load_detector(self, device: chainer.backend.Device) -> detector.Detector | None:
        return detector.load(self._detector, device) if self._detector.is_dir() else None

    def keep_detector(self, folder: Path) -> None:
        source = self._detector
        if source.is_dir():
            folder.mkdir(exist_ok=True)
            for path in source.iterdir():
                with atomic(folder / path.name) as unfinished:
                    shutil.copyfile(path, unfinished)

    def in_pictures(self, part_names: list[str], detector_folder: Path,
                    device: chainer.backend.Device) -> PictureParts | None:
        if not detector_folder.is_dir():
            return None
        return detected(detector_folder, self.config, part_names, device)
