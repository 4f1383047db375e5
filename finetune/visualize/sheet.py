"""Contact sheets: images with part boxes beside their part crops."""
import math
import textwrap
from typing import Any, NamedTuple
import warnings

from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
import numpy

from finetune.drawing import own_settings
from finetune.files import atomic
from finetune.names import shown

N_LINES = 2             # rows of crops beside an image
CROP_INCHES = .95
CAPTION_INCHES = .3
DPI = 110
HIDDEN = '0.85'
OUTLINE = [patheffects.withStroke(linewidth=1.6, foreground='black')]


class View(NamedTuple):
    """An image and the network's input."""

    index: int          # in the data set
    caption: str
    image: Any          # (H, W, 3), uint8: as stored on disk
    img: Any            # (h, w, 3): global input, [0, 1]
    names: list[str]    # numbers and names of the P parts, in the network's order
    bbox: Any           # (P, 4)
    visible: Any        # (P,) bool: whether the part is cropped
    crops: Any          # (V, h, w, 3): crops, [0, 1]
    is_annotated: Any   # (P,) bool: whether the part is annotated as visible


def look_at(dataset, index, data_set):
    """The :class:`View` of an image, with crops as the data set transforms them.

    Args:
        dataset (finetune.data.dataset.PartDataset): The transformed images.
        index (int): Index of the image.
        data_set (finetune.data.records.DataSet): Names of classes and parts.

    """
    record = dataset.records[index]
    image = dataset.read_image(index)
    img, crops, _, label = dataset[index]
    numbers, bbox, visible = dataset.part_boxes(index, image.shape[1:])
    names = [f'{i + 1} {shown(data_set.part_names[number])}' for i, number in enumerate(numbers)]
    caption = f'image {record.title}: {data_set.class_names[label]}'
    return View(index, caption, image.transpose(1, 2, 0),
                displayed(img), names, bbox, visible, displayed(crops), record.visible[numbers])


def displayed(img):
    """Converts the network's input (..., 3, H, W) to colours in [0, 1], channels last."""
    return numpy.moveaxis(img, -3, -1) / 2 + .5


@own_settings()
def draw(views, title, draw_crop=None, pictures=None):
    """Draws a sheet of images below each other.

    Args:
        views (list of View): The images.
        title (str): Title of the sheet.
        draw_crop (callable or None): ``draw_crop(axis, view, i)`` draws the crop of part i.
        pictures (callable or None): ``pictures(view)`` returns the pictures between the image and
            the crops, with their titles; ``None``: the global stream's input.

    """
    pictures = [(pictures or global_input)(view) for view in views]
    n_images = 1 + len(pictures[0])
    n_columns = N_LINES * n_images + math.ceil(max(len(view.names) for view in views) / N_LINES)
    width = n_columns * (CROP_INCHES + .08) + .2
    figure, top = headed_figure(width, N_LINES * len(views) * (CROP_INCHES + CAPTION_INCHES) + .4,
                                title)
    height = figure.get_figheight()
    grid = figure.add_gridspec(
        N_LINES * len(views), n_columns, left=.1 / width, right=1 - .1 / width,
        bottom=.35 / height, top=top - .2 / height, wspace=.08, hspace=CAPTION_INCHES / CROP_INCHES)
    for row, (view, beside) in enumerate(zip(views, pictures)):
        lines = slice(N_LINES * row, N_LINES * (row + 1))
        _draw_image(figure.add_subplot(grid[lines, :N_LINES]), view)
        for column, (picture, caption) in enumerate(beside, 1):
            columns = slice(N_LINES * column, N_LINES * (column + 1))
            plain(figure.add_subplot(grid[lines, columns]), picture, caption)
        for i, name in enumerate(view.names):
            line, column = divmod(i, n_columns - N_LINES * n_images)
            axis = figure.add_subplot(grid[N_LINES * row + line, N_LINES * n_images + column])
            if view.visible[i]:
                (draw_crop or _draw_crop)(axis, view, i)
            else:
                hidden(axis)
            axis.set_title(name, fontsize=7, pad=2)
    return figure


def global_input(view):
    return [(view.img, f'global input, {len(view.img)} pixels')]


def headed_figure(width, height, heading):
    """A figure (sizes in inches) with a heading, and its relative height below the heading."""
    text = '\n'.join(wrapped(line, width, fontsize=10) for line in heading.splitlines())
    heading_inches = .1 + .18 * (text.count('\n') + 1)
    full_height = height + heading_inches
    figure = Figure(figsize=(width, full_height))
    figure.suptitle(text, x=.1 / width, y=1 - .08 / full_height, ha='left', va='top', fontsize=10)
    return figure, height / full_height


def wrapped(text, inches, fontsize):
    """Wraps a text at a width in inches, estimated from the number of characters."""
    return textwrap.fill(shown(text), int(inches * 130 / fontsize))


def crop(view, i):
    """The crop (h, w, 3) of part i, which must be visible."""
    return view.crops[view.visible[:i].sum()]


def plain(axis, image, title=''):
    """Draws a picture without axes, with a title below."""
    axis.imshow(image)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(title, fontsize=7, labelpad=2)


def hidden(axis):
    """Draws a placeholder for the crop of a hidden part."""
    axis.set(xticks=[], yticks=[], facecolor=HIDDEN, aspect='equal')
    axis.text(.5, .5, 'hidden', ha='center', va='center', fontsize=7, transform=axis.transAxes)


def _draw_crop(axis, view, i):
    plain(axis, crop(view, i))


def _draw_image(axis, view):
    """Draws the image as stored on disk, the boxes of its crops and the numbers of its parts."""
    plain(axis, view.image, wrapped(view.caption, N_LINES * CROP_INCHES, fontsize=7))
    height, width = view.image.shape[:2]
    axis.set(xlim=(-.5, width - .5), ylim=(height - .5, -.5))
    for i in numpy.flatnonzero(view.visible):
        y_min, x_min, y_max, x_max = view.bbox[i]
        axis.add_patch(Rectangle(
            (x_min, y_min), x_max - x_min, y_max - y_min, fill=False, linewidth=.6,
            edgecolor='white', linestyle='-' if view.is_annotated[i] else ':'))
        if view.is_annotated[i]:
            axis.text((x_min + x_max) / 2, (y_min + y_max) / 2, str(i + 1), color='white',
                      fontsize=7, ha='center', va='center', clip_on=True, path_effects=OUTLINE)


def evenly_spaced(n, n_all):
    """Up to n indices, evenly spaced over all of them."""
    return numpy.unique(numpy.linspace(0, n_all - 1, min(n, n_all)).astype(int))


@own_settings()
def as_image(figure):
    """The picture (height, width, 3), uint8, of a figure."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph')
        canvas.draw()
    return numpy.asarray(canvas.buffer_rgba())[..., :3]


@own_settings()
def save(figure, path):
    """Writes a picture and prints its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as unfinished, warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph')      # no font has the characters of all names
        figure.savefig(unfinished, dpi=DPI)
    print(path, flush=True)
