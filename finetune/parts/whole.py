"""No parts: the whole image alone."""
import numpy

from finetune.parts.kind import Parts
from finetune.parts.pictures import hidden, PictureParts


class WholeImage(Parts):

    """The whole image, which has no parts."""

    def locate(self, data_set):
        return data_set.without_parts()

    def boxes(self, locations, visible, size):
        return numpy.zeros((0, 4), numpy.int32)

    def in_pictures(self, part_names, detector_folder, device):
        return PictureParts([], hidden(0), self.boxes)
