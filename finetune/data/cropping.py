"""Part boxes and crops from annotated parts."""
import numpy

from finetune.errors import InputError

FAR = 2 ** 29       # pixels; sums of two are still numbers of 32 bits

# The four groups of parts, GT2. Only their names are published; which part belongs to which is our
# choice.
GROUPS = {
    'head': ('beak', 'bill', 'crown', 'forehead', 'left cheek', 'left eye', 'nape', 'right cheek',
             'right eye', 'throat'),
    'body': ('back', 'belly', 'breast', 'left wing', 'right wing'),
    'tail': ('tail',),
    'legs': ('left leg', 'right leg'),
}


def group_of(name):
    """Group of a part, ``None`` if there is none; data sets write left-eye, left_eye, left eye."""
    name = name.replace('-', ' ').replace('_', ' ')
    return next((group for group, names in GROUPS.items() if name in names), None)


def group_points(points, visible, part_names):
    """Merges the points of each group into one, the mean of its visible points (our choice, too).

    Args:
        points (numpy.ndarray): (N, P, 2), (y, x).
        visible (numpy.ndarray): (N, P) bool.
        part_names (list of str): Names of the parts.

    Returns:
        tuple of numpy.ndarray: Points (N, G, 2) of the groups that have parts in this data set, and
        which of them are visible (N, G), bool: those with a visible part.

    """
    groups = numpy.array([group_of(name) for name in part_names])
    means, n_members = [], []
    for group in GROUPS:
        members = groups == group
        if members.any():
            weight = visible[:, members, None]
            n_members.append(weight.sum(axis=1))
            means.append((points[:, members] * weight).sum(axis=1)
                         / numpy.maximum(n_members[-1], 1))
    return (numpy.stack(means, axis=1).astype(points.dtype),
            numpy.concatenate(n_members, axis=1) > 0)


def part_boxes(locations, visible, size, settings):
    """Boxes (P, 4) of annotated parts in an image.

    Args:
        locations (numpy.ndarray): Points (P, 2) or boxes (P, 4).
        visible (numpy.ndarray): (P,) bool; hidden parts have their box at the image's centre.
        size (tuple of int): Height and width of the image in pixels.
        settings (finetune.config.settings.Data): Size of boxes around points, and the square of
            given boxes.

    """
    if settings.parts == 'GRID':
        return tiles(size, *settings.grid)
    if locations.shape[1] == 2:
        return point_boxes(locations, visible, size, settings.part_ratio)
    hidden = point_boxes(numpy.zeros((len(visible), 2)), numpy.zeros_like(visible), size,
                         settings.part_ratio)
    given = frame_boxes(locations, size, settings.box_frame, settings.box_frame_fit)
    return numpy.where(visible[:, None], given, hidden)


def tiles(size, n_rows, n_columns):
    """Boxes (n_rows n_columns, 4) int32 that divide an image evenly, row by row, in pixels.

    Those of an image with fewer pixels than tiles overlap.
    """
    edges = [numpy.linspace(0, extent, n + 1).astype(int) for extent, n in
             zip(size, (n_rows, n_columns))]
    (top, bottom), (left, right) = (
        (low[:-1], numpy.maximum(low[1:], low[:-1] + 1)) for low in edges)
    y, x = numpy.indices((n_rows, n_columns)).reshape(2, -1)
    return numpy.stack([top[y], left[x], bottom[y], right[x]], axis=1).astype(numpy.int32)


def frame_boxes(bbox, size, frame, fit):
    """Boxes in an image from boxes in the square that the image was fitted to.

    CS-Parts boxes were found on a square input of 427 pixels. Position, width and height are
    rounded down, as in the authors' code, but no box vanishes in an image of a few pixels.

    Args:
        bbox (numpy.ndarray): (P, 4), (y_min, x_min, y_max, x_max), pixels of the square.
        size (tuple of int): Height and width of the image in pixels.
        frame (int): Size of the square; 0: the boxes are in pixels of the image already.
        fit (str): How the image was fitted: ``'crop'``, its shorter side scaled and its centre
            cut out, or ``'squash'``, both sides scaled.

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


def point_boxes(points, visible, size, ratio=0.31):
    """Boxes around part points whose size is a fixed share of the image.

    A box has the image's aspect ratio and may stick out of the image. Hidden parts get the box
    at the image's centre, as in the authors' released code.

    Args:
        points (numpy.ndarray): (P, 2), (y, x) in pixels.
        visible (numpy.ndarray): (P,) bool.
        size (tuple of int): Height and width of the image in pixels.
        ratio (float): Height and width of a box as a share of the image's, rounded down.

    Returns:
        numpy.ndarray: (P, 4) int32, (y_min, x_min, y_max, x_max) in pixels.

    """
    size = numpy.asarray(size)
    box_size = (ratio * size).astype(int)
    centres = numpy.where(visible[:, None], points, size / 2)
    corners = numpy.floor(centres - box_size / 2 + 0.5)
    corners = corners.clip(-FAR, FAR)
    return numpy.concatenate([corners, corners + box_size], axis=1).astype(numpy.int32)


def crop(img, bbox):
    """Cuts a box out of an image, the image's edge pixels replicated where the box sticks out.

    Args:
        img (numpy.ndarray): (C, H, W).
        bbox (numpy.ndarray): (4,) int, (y_min, x_min, y_max, x_max) in pixels.

    Returns:
        numpy.ndarray: (C, y_max - y_min, x_max - x_min).

    Raises:
        finetune.errors.InputError: If the box is empty or wholly outside the image.

    """
    y_min, x_min, y_max, x_max = (int(edge) for edge in bbox)
    height, width = img.shape[1:]
    box = f'part box ({y_min}, {x_min}, {y_max}, {x_max})'
    if y_max <= y_min or x_max <= x_min:
        raise InputError(f'{box} is empty; correct it, or raise data.part_ratio if the box was '
                         'made around a point.')
    if y_max <= 0 or x_max <= 0 or y_min >= height or x_min >= width:
        raise InputError(f'{box} lies outside the image of {height} x {width} pixels; correct '
                         'the part where it is annotated, or mark it as hidden.')
    rows = numpy.arange(y_min, y_max).clip(0, height - 1)
    columns = numpy.arange(x_min, x_max).clip(0, width - 1)
    return img[:, rows[:, None], columns]
