"""Confusion matrix, and precision and recall of each class, as tables and as a picture."""
from matplotlib.colors import PowerNorm
import numpy
from sklearn import metrics

from finetune.drawing import own_settings
from finetune.files import atomic, write_csv
from finetune.names import shown
from finetune.visualize import sheet

CELLS = .13, .4     # smallest and largest side of a cell, in inches
MATRIX_INCHES = 8   # side of the matrix between these bounds
NUMBER_CELL = .22   # smallest side of a cell with a number, in inches
MAX_POINTS = 9      # of a font
CHARACTER = .62     # width of a character, in sizes of the font
MAX_NAME = 40       # characters of a class name in the picture
MANY = 40           # classes, from which the names are on all four sides
COLOUR_MAP = 'Blues'


def write_tables(folder, label, predicted, class_names):
    """Writes ``confusion.csv`` and ``classes.csv`` into the folder of a run, and prints the paths.

    The first has a row per true and a column per predicted class; the second has a row per class:
    its test images, precision, recall and F1 score, four digits, empty if undefined: the precision
    of a class that is never predicted, the recall of one without test images.

    Args:
        folder (finetune.runs.folder.RunFolder): The run.
        label (numpy.ndarray): (n,) true classes.
        predicted (numpy.ndarray): (n,) predicted classes.
        class_names (list of str): Names of the classes.

    """
    matrix = _matrix(label, predicted, class_names)
    scores = metrics.precision_recall_fscore_support(
        label, predicted, labels=numpy.arange(len(class_names)), zero_division=numpy.nan)
    *scores, n_images = scores
    tables = {
        'confusion': [['true \\ predicted', *class_names],
                      *([name, *row] for name, row in zip(class_names, matrix))],
        'classes': [['class', 'images', 'precision', 'recall', 'f1'],
                    *([name, n, *map(_number, row)]
                      for name, n, row in zip(class_names, n_images, zip(*scores)))]}
    for name, rows in tables.items():
        path = folder.path / f'{name}.csv'
        with atomic(path) as unfinished:
            write_csv(unfinished, rows)
        print(path, flush=True)


def _matrix(label, predicted, class_names):
    """Numbers of images (n_classes, n_classes) by true and predicted class."""
    return metrics.confusion_matrix(label, predicted, labels=numpy.arange(len(class_names)))


def _number(score):
    return '' if numpy.isnan(score) else f'{score:.4f}'


@own_settings()
def draw(label, predicted, class_names, title):
    """Draws the matrix; a cell's colour shows its share of the row, the images of a true class.

    Cells have numbers, unless there are too many classes for them to be read.
    """
    matrix = _matrix(label, predicted, class_names)
    share = matrix / numpy.maximum(matrix.sum(axis=1, keepdims=True), 1)
    n = len(class_names)
    cell = numpy.clip(MATRIX_INCHES / n, *CELLS)
    points = min(72 * .75 * cell, MAX_POINTS)
    names = [_cut(shown(name)) for name in class_names]
    margin = (max(map(len, names)) * CHARACTER + 3) * points / 72
    after = margin if n >= MANY else .3
    width, height = max(margin + n * cell + after, 5), margin + n * cell + after
    figure, top = sheet.headed_figure(
        width, height, f'{title}\nRows: true classes. Columns: predicted classes. The darker, '
        'the larger the share of the row.')
    axis = figure.add_axes((margin / width, top * margin / height, n * cell / width,
                            top * n * cell / height))
    axis.imshow(share, cmap=COLOUR_MAP, norm=PowerNorm(.5, 0, 1))      # few mistakes show, too
    axis.set_xticks(range(n), names, rotation=90, fontsize=points)
    axis.set_yticks(range(n), names, fontsize=points)
    axis.set_xticks(numpy.arange(n + 1) - .5, minor=True)
    axis.set_yticks(numpy.arange(n + 1) - .5, minor=True)
    axis.grid(which='minor', color='0.85', linewidth=.4)
    axis.tick_params(which='both', length=0)
    axis.tick_params(labeltop=n >= MANY, labelright=n >= MANY)
    if cell >= NUMBER_CELL:
        for row, column in zip(*numpy.nonzero(matrix)):
            axis.text(column, row, str(matrix[row, column]), ha='center', va='center',
                      fontsize=min(points, 72 * .3 * cell),
                      color='white' if share[row, column] > .3 else 'black')
    return figure


def _cut(name):
    return name if len(name) <= MAX_NAME else f'{name[:MAX_NAME - 3]}...'
