"""Parts that are annotated as points."""
import numpy

from finetune.config.catalogue import Counts
from finetune.data.records import DataSet
from finetune.parts.kind import Parts

FAR = 2 ** 29       # pixels; a sum of two fits into 32 bits


class Points(Parts):

    """Crops around annotated points, whose size is a fixed share of the image."""

    def locate(self, data_set: DataSet) -> DataSet:
        self._require(data_set, 2, 'set data.root to a folder whose annotations are points')
        return data_set

    def boxes(self, locations: numpy.ndarray, visible: numpy.ndarray, size: tuple[int, int]
              ) -> numpy.ndarray:
        return point_boxes(locations, visible, size, self.config.data.part_ratio)

    def n_published(self, counts: Counts) -> int | None:
        return None if self.config.data.n_parts else counts.n_parts


def point_boxes(points: numpy.ndarray, visible: numpy.ndarray, size: tuple[int, int],
                ratio: float = 0.31) -> numpy.ndarray:
    """Computes boxes around part points; their size is a fixed share of the image.

    A box has the image's aspect ratio and may exceed the image. Hidden parts get the box at the
    image's centre, as in the authors' released code.

    Args:
        points (numpy.ndarray): (P, 2), (y, x) in pixels.
        visible (numpy.ndarray): (P,) bool.
        size (tuple of int): Height and width of the image in pixels.
        ratio (float): Height and width of a box as a share of the image's; rounded down to pixels.

    Returns:
        numpy.ndarray: (P, 4) int32, (y_min, x_min, y_max, x_max) in pixels.

    """
    size = numpy.asarray(size)
    box_size = (ratio * size).astype(int)
    centres = numpy.where(visible[:, None], points, size / 2)
    corners = numpy.floor(centres - box_size / 2 + 0.5)
    corners = corners.clip(-FAR, FAR)
    return numpy.concatenate([corners, corners + box_size], axis=1).astype(numpy.int32)


def centre_boxes(n_parts: int, size: tuple[int, int], ratio: float) -> numpy.ndarray:
    """Boxes (n_parts, 4) of hidden parts, at the image's centre."""
    return point_boxes(numpy.zeros((n_parts, 2)), numpy.zeros(n_parts, bool), size, ratio)
