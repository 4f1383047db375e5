"""Images without parts."""
from pathlib import Path

import chainer
import numpy

from finetune.data.records import DataSet
from finetune.parts.kind import Parts
from finetune.parts.pictures import hidden, PictureParts


class WholeImage(Parts):

    """No parts: the whole image alone."""

    def locate(self, data_set: DataSet) -> DataSet:
        return data_set.without_parts()

    def boxes(self, locations: numpy.ndarray, visible: numpy.ndarray, size: tuple[int, int]
              ) -> numpy.ndarray:
        return numpy.zeros((0, 4), numpy.int32)

    def in_pictures(self, part_names: list[str], detector_folder: Path,
                    device: chainer.backend.Device) -> PictureParts:
        return PictureParts([], hidden(0), self.boxes)
