"""Parts whose boxes are read from files."""
import numpy

from finetune.config.catalogue import ANNOTATIONS, DATA_SETS
from finetune.data.layout import find_layout
from finetune.data.records import DataSet
from finetune.parts.kind import Parts
from finetune.parts.points import centre_boxes, FAR


class Boxes(Parts):

    """Boxes from the annotation files, such as CS-Parts."""

    def locate(self, data_set: DataSet) -> DataSet:
        to_do = ('set detector.cnn to the config of a run whose CNN finds parts when training '
                 'starts')
        if DATA_SETS[self.config.data.dataset].source:
            to_do += (f", or put the authors' folder CS_parts of {ANNOTATIONS} into "
                      f'{find_layout(self.config).root}')
        self._require(data_set, 4, to_do)
        return data_set

    def boxes(self, locations: numpy.ndarray, visible: numpy.ndarray, size: tuple[int, int]
              ) -> numpy.ndarray:
        settings = self.config.data
        given = frame_boxes(locations, size, settings.box_frame, settings.box_frame_fit)
        return with_hidden(given, visible, size, settings.part_ratio)


def frame_boxes(bbox: numpy.ndarray, size: tuple[int, int], frame: int, fit: str) -> numpy.ndarray:
    """Converts boxes from the detector's square input to the pixels of an image.

    CS-Parts boxes were found in a square input of 427 pixels. Position, width and height are
    rounded down, as in the authors' code, but a box has at least one pixel.

    Args:
        bbox (numpy.ndarray): (P, 4), (y_min, x_min, y_max, x_max), pixels of the square.
        size (tuple of int): Height and width of the image in pixels.
        frame (int): Size of the square; 0: the boxes are already in pixels of the image.
        fit (str): How the image became a square: ``'crop'``, its shorter side scaled and its
            centre cropped, or ``'squash'``, both sides scaled.

    Returns:
        numpy.ndarray: (P, 4) int32, in pixels of the image.

    """
    corner, extent = bbox[:, :2].astype(float), (bbox[:, 2:] - bbox[:, :2]).astype(float)
    if frame > 0:
        size = numpy.asarray(size, float)
        scale = (size.min() if fit == 'crop' else size) / frame
        offset = (size - size.min()) / 2 if fit == 'crop' else 0
        corner, extent = corner * scale + offset, numpy.maximum(extent * scale, 1)
    corner, extent = (values.clip(-FAR, FAR).astype(numpy.int32) for values in (corner, extent))
    return numpy.concatenate([corner, corner + extent], axis=1)


def with_hidden(bbox: numpy.ndarray, visible: numpy.ndarray, size: tuple[int, int], ratio: float
                ) -> numpy.ndarray:
    """Replaces the boxes (P, 4) of hidden parts by a box at the image's centre."""
    return numpy.where(visible[:, None], bbox, centre_boxes(len(visible), size, ratio))
