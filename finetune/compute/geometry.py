"""Strides, padding and groups of a convolution."""
from typing import NamedTuple

SAME = 'SAME'       # TensorFlow's name for padding that gives ceil(size / stride) results


class Geometry(NamedTuple):

    """How a convolution goes over images; hashable.

    The padding may differ at the two ends of an axis. The groups share the channels evenly: the
    filters of a group see its channels only. As many groups as channels are a depthwise
    convolution.
    """

    stride: tuple[int, int] = (1, 1)                                            # rows, columns
    pad: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))     # (top, bottom), (left, ..)
    groups: int = 1

    @classmethod
    def of(cls, size, kernel, stride=1, pad=0, groups=1):
        """The geometry for images and filters of some size.

        Args:
            size, kernel (tuple of int): Rows and columns of the images and of the filters.
            stride (int or tuple of int): For both axes.
            pad (int, tuple of int or ``'SAME'``): Padding at both ends of both axes. ``'SAME'``
                depends on the size; where it is odd, the end has the larger half.
            groups (int): Number of groups.

        """
        stride = pair(stride)
        if pad == SAME:
            total = [max((-(-s // step) - 1) * step + k - s, 0)
                     for s, k, step in zip(size, kernel, stride)]
            return cls(stride, tuple((t // 2, t - t // 2) for t in total), groups)
        return cls(stride, tuple((p, p) for p in pair(pad)), groups)

    def out_size(self, size, kernel):
        """Rows and columns of the result."""
        return tuple((s + before + after - k) // step + 1 for s, k, step, (before, after)
                     in zip(size, kernel, self.stride, self.pad))

    def ends(self):
        """Padding before and after: (top, left) and (bottom, right)."""
        return tuple(zip(*self.pad))


def pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)
