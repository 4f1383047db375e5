"""Tiles that divide an image evenly."""
from pathlib import Path

import chainer
import numpy

from finetune.data.records import DataSet
from finetune.parts.kind import Parts
from finetune.parts.pictures import hidden, PictureParts


class Tiles(Parts):

    """Rows and columns of tiles, computed from the image's size alone."""

    def locate(self, data_set: DataSet) -> DataSet:
        n_rows, n_columns = self.config.data.grid
        names = [f'tile {row},{column}' for row in range(1, n_rows + 1)
                 for column in range(1, n_columns + 1)]
        nowhere, all_visible = numpy.zeros((len(names), 4)), numpy.ones(len(names), bool)
        return data_set.with_parts(names, lambda records: (nowhere, all_visible))

    def boxes(self, locations: numpy.ndarray, visible: numpy.ndarray, size: tuple[int, int]
              ) -> numpy.ndarray:
        return tile_boxes(size, *self.config.data.grid)[:len(visible)]

    def in_pictures(self, part_names: list[str], detector_folder: Path,
                    device: chainer.backend.Device) -> PictureParts:
        def find(pictures):
            locations, visible = hidden(len(part_names))(pictures)
            return locations, numpy.ones_like(visible)
        return PictureParts(part_names, find, self.boxes)


def tile_boxes(size: tuple[int, int], n_rows: int, n_columns: int) -> numpy.ndarray:
    """Boxes (n_rows n_columns, 4) int32 that divide an image evenly, row by row, in pixels.

    Tiles of an image with fewer pixels than tiles overlap.
    """
    edges = [numpy.linspace(0, extent, n + 1).astype(int) for extent, n in
             zip(size, (n_rows, n_columns))]
    (top, bottom), (left, right) = (
        (low[:-1], numpy.maximum(low[1:], low[:-1] + 1)) for low in edges)
    y, x = numpy.indices((n_rows, n_columns)).reshape(2, -1)
    return numpy.stack([top[y], left[x], bottom[y], right[x]], axis=1).astype(numpy.int32)
