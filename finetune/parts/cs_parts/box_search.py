"""Boxes around groups of pixels."""
import itertools

import numpy

N_LINES = 17        # lines of the grid of initial boxes
N_STARTS = 8
SHIFTS = numpy.array(list(itertools.product((-1, 0, 1), repeat=4)))


def part_box(saliency: numpy.ndarray, members: numpy.ndarray, smallest: int) -> numpy.ndarray:
    """The box of a part: the tight box of its pixels, shrunk to the most salient region.

    Args:
        saliency (numpy.ndarray): (H, W).
        members (numpy.ndarray): (H, W), bool: pixels of the part, at least one.
        smallest (int): Smallest height and width in pixels.

    Returns:
        numpy.ndarray: (4,) int, (y_min, x_min, y_max, x_max), y_max and x_max excluded; inside
        the map, unless the map is smaller than the smallest box.

    """
    size = saliency.shape
    outer = enlarged(tight_box(members), smallest, size)
    y_min, x_min, y_max, x_max = outer
    weights = numpy.where(members, saliency, 0)[y_min:y_max, x_min:x_max]
    return enlarged(best_box(weights) + outer[[0, 1, 0, 1]], smallest, size)


def tight_box(members: numpy.ndarray) -> numpy.ndarray:
    """The smallest box (4,) that contains all pixels of a mask (H, W)."""
    rows, columns = (numpy.flatnonzero(members.any(axis=axis)) for axis in (1, 0))
    return numpy.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


def enlarged(box: numpy.ndarray, smallest: int, size: tuple[int, int]) -> numpy.ndarray:
    """Enlarges a box to at least the smallest size, and moves it into the image if it fits."""
    low, high = box[:2], box[2:]
    gap = numpy.maximum(smallest - (high - low), 0)
    low = low - gap // 2
    extent = high - box[:2] + gap
    low = numpy.maximum(numpy.minimum(low, numpy.array(size) - extent), 0)
    return numpy.concatenate([low, low + extent])


def best_box(weights: numpy.ndarray) -> numpy.ndarray:
    """Finds the box (4,) that maximises, for weights w >= 0, shape (h, w),

    .. math::

        R = \\frac{\\sum_{box} w}{\\sum w} \\cdot \\frac{shorter\\ side}{longer\\ side}.

    The search starts from the best boxes of a coarse grid and moves their edges in decreasing
    steps, down to single pixels.
    """
    sums = numpy.pad(weights.astype(numpy.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    size = numpy.array(weights.shape)
    lines = [numpy.unique(numpy.linspace(0, extent, N_LINES).round().astype(int))
             for extent in size]
    (y_min, y_max), (x_min, x_max) = (
        numpy.array(list(itertools.combinations(line, 2))).T for line in lines)
    y, x = numpy.indices((len(y_min), len(x_min))).reshape(2, -1)
    boxes = numpy.stack([y_min[y], x_min[x], y_max[y], x_max[x]], axis=1)
    step = max(int(numpy.ceil(size.max() / (N_LINES - 1))), 1)
    boxes = boxes[numpy.argsort(-scores(sums, boxes), kind='stable')[:N_STARTS]]
    while True:
        moved = (boxes[:, None] + step * SHIFTS).reshape(-1, 4)
        moved = moved.clip(0, numpy.tile(size, 2))
        moved = moved[(moved[:, :2] < moved[:, 2:]).all(axis=1)]
        better = _unique(numpy.concatenate([boxes, moved]), size.max() + 1)
        better = better[numpy.argsort(-scores(sums, better), kind='stable')[:N_STARTS]]
        if not (better == boxes).all():
            boxes = better
        elif step == 1:
            return boxes[0]
        else:
            step = step // 2


def _unique(boxes, n):
    """The different boxes (m, 4) with edges from 0 to n - 1, in lexicographic order."""
    numbers = numpy.unique(boxes @ n ** numpy.arange(3, -1, -1))   # faster than rows
    return numbers[:, None] // n ** numpy.arange(3, -1, -1) % n


def scores(sums: numpy.ndarray, boxes: numpy.ndarray) -> numpy.ndarray:
    """R of :func:`best_box`, up to a constant factor, for boxes (n, 4).

    ``sums`` is the integral image (h + 1, w + 1) of the weights.
    """
    y_min, x_min, y_max, x_max = boxes.T
    inside = sums[y_max, x_max] - sums[y_min, x_max] - sums[y_max, x_min] + sums[y_min, x_min]
    height, width = y_max - y_min, x_max - x_min
    return inside * numpy.minimum(height, width) / numpy.maximum(height, width)
