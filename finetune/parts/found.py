"""Parts that a CNN of whole images finds (CS-Parts)."""
from dataclasses import fields, replace
from pathlib import Path
import shutil
from typing import Any

import chainer
import numpy

from finetune.config.conditions import CLASS_FREE, DETECTED, SPLIT
from finetune.config.config import fingerprint, IMAGES, is_config
from finetune.data import readers
from finetune.data.annotation_files import LOCATIONS, N_BOX_COLUMNS, read_parts
from finetune.data.layout import find_layout, ORIGIN
from finetune.data.lines import n_columns
from finetune.data.records import DataSet
from finetune.files import atomic
from finetune.parts.boxes import Boxes
from finetune.parts.cs_parts import detector, origin, search
from finetune.parts.pictures import detected, PictureParts
from finetune.parts.whole import WholeImage


class Found(Boxes):

    """Boxes from files, which this program writes if ``detector.cnn`` names a CNN."""

    @property
    def folder(self) -> Path:
        """Folder of the boxes: in the data set's folder, but of your own pictures in the results.

        So are those of a fold, if they depend on what it holds out. There, the folder's name has
        a digest of everything that determines them, so that different detectors, and the folds,
        do not collide. Boxes of others that are in the data set's folder are used.
        """
        beside = find_layout(self.config).beside(self.config.data.boxes)
        are_apart = SPLIT.holds(self.config) or self._of_all_folds.data.split == 'validation'
        if not DETECTED.holds(self.config) or not are_apart or _are_given(beside):
            return beside
        return self.config.project.results / 'parts' / self.config.data.boxes / self._digest

    @property
    def _digest(self):
        config, project = self._of_all_folds, self.config.project
        root, base = project.path(config.data.root).resolve(), project.root.resolve()
        if root.is_relative_to(base):       # the same after the whole project has moved
            root = root.relative_to(base)
        names = [*IMAGES, 'data.box_frame_fit', 'data.interpolation',
                 *(f'detector.{field.name}' for field in fields(config.detector))]
        if not is_config(config.detector.cnn):
            names.append('model.architecture')
        return fingerprint(replace(config, data=replace(config.data, root=str(root))),
                           names=names)

    @property
    def _of_all_folds(self):
        """The settings with the data set whose boxes are used: the whole one for a validation
        split, if the boxes of its images do not depend on their labels."""
        config = self.config
        is_independent = config.detector.folds or config.detector.features in CLASS_FREE
        if (config.data.split != 'validation' or config.data.train_per_class
                or not DETECTED.holds(config) or is_config(config.detector.cnn)
                or not is_independent):
            return config
        whole = replace(config, data=replace(config.data, split='', fold=0))
        whole.project = config.project
        return whole

    def _whole(self, data_set):
        """The data set whose boxes are used."""
        whole = self._of_all_folds
        return data_set if whole is self.config else readers.load(whole)

    @property
    def to_be_found(self) -> bool:
        """Whether a CNN that finds them is named, and there are no boxes yet."""
        layout = find_layout(self.config)
        return (bool(self.config.detector.cnn) and not _are_given(layout.parts)
                and not any(map(_has_boxes, (self.folder, layout.main))))

    def find(self, data_set: DataSet, source: Any, device: chainer.backend.Device) -> None:
        """Writes the boxes of all images (:func:`finetune.parts.cs_parts.search.find_parts`)."""
        data_set = self._whole(data_set)
        images = WholeImage(self.config).add_to(data_set)
        search.find_parts(self.config, images, self.folder, source, device,
                          self._folds(data_set), lambda: self.to_be_found)

    def _folds(self, data_set):
        """Folds (n,) of the training images of the whole data set; -1: none."""
        return readers.folds_of(data_set.train, self.config.data, self.config.detector.folds)

    def folds_of(self, data_set: DataSet, split: str) -> list[int]:
        """Folds whose SVM has not seen an image of a split of the data set; -1: none."""
        whole = self._whole(data_set)
        folds = dict(zip(whole.train.image_ids, self._folds(whole).tolist()))
        return [folds.get(image_id, detector.NO_FOLD)
                for image_id in getattr(data_set, split).image_ids]

    def locate(self, data_set: DataSet) -> DataSet:
        if data_set.train.locations.shape[2] != 4 and (self.folder / LOCATIONS).exists():
            whole = self._whole(data_set)
            origin.check(self.folder, origin.of(self.config, whole) if self.config.detector.cnn
                         else {}, whole, self.config.project.results in self.folder.parents)
            # The boxes were found after the data set was read.
            data_set = replace(read_parts(data_set, self.folder), left_out=data_set.left_out)
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


def _has_boxes(folder):
    path = folder / LOCATIONS
    return path.exists() and n_columns(path) == N_BOX_COLUMNS


def _are_given(folder):
    """Whether a folder has boxes that this program did not find."""
    return _has_boxes(folder) and not (folder / ORIGIN).exists()
