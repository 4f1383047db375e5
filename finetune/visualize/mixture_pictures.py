"""Pictures of a trained mixture: components on images, their patches and their parts."""
from matplotlib import colors
import numpy

from finetune.drawing import own_settings
from finetune.names import shown
from finetune.visualize import sheet

# Okabe and Ito's palette for colour-blind readers; numbers distinguish components of one colour.
COLOURS = ['#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#F0E442']
FILTERED = '0.45'
OPACITY = .5
COLOUR_MAP = 'cividis'  # suits colour-blind readers
MAX_NUMBERED = 10       # cells per line that have room for a number
MAX_COMPONENTS = 100    # components in a picture
TILE_INCHES = .8
LUMINANCE = numpy.array([.299, .587, .114])


def overlay(views, owners, title):
    """Draws images and their crops, each cell in the colour of the component that owns it.

    Args:
        views (list of finetune.visualize.sheet.View): The images.
        owners (list of finetune.visualize.mixture.Owners): Owners of the images' local features.
        title (str): First line of the title.

    """
    owners_by_index = dict(zip((view.index for view in views), owners))

    def draw_crop(axis, view, i):
        resp, _, counts = owners_by_index[view.index]
        _draw_cells(axis, sheet.crop(view, i), resp[i].argmax(axis=-1), counts[i])

    title += ('\ncolour and number of a cell: component most responsible for the local feature; '
              'grey without number: filtered by its norm')
    return sheet.draw(views, title, draw_crop, pictures=lambda view: [])


def _draw_cells(axis, crop, owner, counts):
    """Draws a crop with each cell in the colour of its owner (h, w), grey if it does not count."""
    height, width = crop.shape[:2]
    axis.imshow(crop @ LUMINANCE, cmap='gray', vmin=0, vmax=1)
    cells = numpy.where(counts[..., None], colors.to_rgba_array(COLOURS)[owner % len(COLOURS)],
                        colors.to_rgba(FILTERED))
    axis.imshow(cells, alpha=OPACITY, extent=(-.5, width - .5, height - .5, -.5),
                interpolation='nearest')
    axis.set(xticks=[], yticks=[])
    number_cells(axis, crop.shape, owner + 1, counts)


def number_cells(axis, size, numbers, counts):
    """Writes numbers (h, w) into the counting cells of a crop, if there is room."""
    n_lines, n_columns = numbers.shape
    if max(numbers.shape) > MAX_NUMBERED:
        return
    for line, column in zip(*numpy.nonzero(counts)):
        axis.text((column + .5) * size[1] / n_columns - .5, (line + .5) * size[0] / n_lines - .5,
                  str(numbers[line, column]), fontsize=36 / (2 + max(numbers.shape)),
                  color='white', ha='center', va='center', path_effects=sheet.OUTLINE)


@own_settings()
def components(inspection, weight, part_names, title):
    """Draws the patches of each component and the locations of its features.

    Args:
        inspection (finetune.visualize.mixture.Inspection): The components.
        weight (numpy.ndarray): Weights, shape (K,).
        part_names (list of str): Names of the P parts.
        title (str): First lines of the title.

    Returns:
        matplotlib.figure.Figure: A row per component, for at most the 100 heaviest ones.

    """
    shown = numpy.sort(numpy.argsort(-weight, kind='stable')[:MAX_COMPONENTS])
    percent = 100 * inspection.shares[shown] / numpy.maximum(
        inspection.shares[shown].sum(axis=(1, 2, 3), keepdims=True), 1e-12)
    n_patches = max(len(patches) for patches in inspection.patches)
    n, left, gap = len(shown), 1.1, .15
    map_inches = .34 * len(part_names)
    width = left + (n_patches + 1) * TILE_INCHES + 2 * gap + map_inches + .7
    title += ('\nleft: patches with the highest responsibility, at most one per image; right: '
              'locations of the features in the crops (light: many), and their parts, in %')
    figure, top = sheet.headed_figure(width, n * TILE_INCHES + 1.4, title)
    height = figure.get_figheight()
    line = TILE_INCHES / height

    def add_axes(x, row, n_columns=1, n_lines=1):
        return figure.add_axes((x / width, top - .1 / height - (row + 1) * line,
                                (n_columns - .05) * TILE_INCHES / width, (n_lines - .05) * line))

    for row, k in enumerate(shown):
        for column, patch in enumerate(inspection.patches[k]):
            sheet.plain(add_axes(left + column * TILE_INCHES, row), patch.image)
        place = add_axes(left + n_patches * TILE_INCHES + gap, row)
        place.imshow(percent[row].sum(axis=0), cmap=COLOUR_MAP, vmin=0)
        place.set(xticks=[], yticks=[])
        figure.text((left - .1) / width, top - .1 / height - (row + .5) * line,
                    f'component {k + 1}\n{100 * weight[k]:.1f} %', ha='right', va='center',
                    fontsize=8)
    axis = add_axes(width - .1 - map_inches, n - 1, map_inches / TILE_INCHES, n)
    _draw_parts(axis, percent.sum(axis=(2, 3)), shown + 1, part_names)
    return figure


def _draw_parts(axis, percent, numbers, part_names):
    """Draws a heat map: percentage of a component's features (row) from each part (column)."""
    axis.imshow(percent, cmap=COLOUR_MAP, aspect='auto', vmin=0)
    axis.set_xticks(range(len(part_names)), list(map(shown, part_names)), rotation=90, fontsize=8)
    axis.set_yticks(range(len(numbers)), numbers, fontsize=8)
    middle = (percent.max() + percent.min()) / 2
    for row, values in enumerate(percent):
        for part, value in enumerate(values):
            axis.text(part, row, f'{value:.0f}', ha='center', va='center', fontsize=7,
                      color='black' if value > middle else 'white')
