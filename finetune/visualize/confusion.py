"""Tables and pictures of the classes that a trained model confuses."""
import math
from typing import Any, NamedTuple

import numpy

from finetune.config.project import HERE
from finetune.data import pictures
from finetune.drawing import own_settings
from finetune.progress import progress_bar
from finetune.parts.kind import load
from finetune.runs.chosen import find_run, of_test, tested
from finetune.runs.opening import open_run, read_settings
from finetune.runs.predictions import iterate_test_images, n_test_views, predict
from finetune.visualize import confusion_matrix, sheet

N_PAIRS = 6
N_EXAMPLES, N_MISTAKES = 2, 3       # pictures per class and per kind of mistake
TILE_INCHES = 1.15
CAPTION_INCHES = .32
LINE_INCHES = TILE_INCHES + CAPTION_INCHES + .1


class Pair(NamedTuple):
    """Two classes and their confused test images."""

    labels: Any         # (2,)
    mistakes: Any       # for each class, indices of its images that are mistaken for the other


def make(out, gpu=-1, project=HERE):
    """Writes and draws what the model confuses, into the folder of its results.

    These are the tables of :func:`finetune.visualize.confusion_matrix.write_tables`, the matrix,
    ``confusion_matrix.png``, and the most confused pairs of classes, ``confusion.png``.

    Args:
        out (str): Folder of a finished run.
        gpu (int): GPU to compute on; -1: CPU.
        project (finetune.config.project.Project): What paths are relative to.

    """
    folder = find_run(out, project)
    settings = read_settings(folder, gpu, of_test(folder))
    data_set = load(settings) if of_test(folder) else None
    model, config, data_set, device = open_run(folder, settings, data_set)
    with iterate_test_images(config, data_set) as iterator:
        n_batches = math.ceil(len(iterator.dataset) / iterator.batch_size)
        batches = progress_bar(iterator, n_batches, 'Classifying the test images')
        predictions = predict(model, batches, device, folder, n_test_views(config))
    label, predicted = predictions.label, predictions.classes['both']
    pairs = most_confused(label, predicted)
    n_wrong = (label != predicted).sum()
    folder = tested(folder)
    title = f'{folder}: {n_wrong} of {len(label)} test images are misclassified'
    print(title, flush=True)
    names = data_set.class_names
    confusion_matrix.write_tables(folder, label, predicted, names)
    sheet.save(confusion_matrix.draw(label, predicted, names, title),
               folder.picture('confusion_matrix'))
    if pairs:
        sheet.save(draw(pairs, data_set, title), folder.picture('confusion'))


def most_confused(label, predicted, n_pairs=N_PAIRS):
    """The ``n_pairs`` pairs of classes that are confused most often, the most frequent first.

    Both directions of a mistake count. ``label`` and ``predicted`` are true and predicted classes,
    shape (n,).
    """
    wrong = numpy.flatnonzero(label != predicted)
    classes = numpy.sort(numpy.stack((label[wrong], predicted[wrong]), axis=1), axis=1)
    pairs, n_mistakes = numpy.unique(classes, axis=0, return_counts=True)
    worst = numpy.argsort(-n_mistakes, kind='stable')[:n_pairs]
    return [Pair(pair, [[i for i in wrong if (label[i], predicted[i]) == direction]
                        for direction in (tuple(pair), tuple(pair[::-1]))])
            for pair in pairs[worst]]


@own_settings()
def draw(pairs, data_set, title):
    """Draws a row per pair: training images of both classes at the ends, mistakes between them."""
    widths = [N_EXAMPLES, N_MISTAKES, N_MISTAKES, N_EXAMPLES]
    width = sum(widths) * TILE_INCHES + .8
    figure, top = sheet.headed_figure(width, len(pairs) * LINE_INCHES + .1, title)
    height = figure.get_figheight()
    for line, pair in enumerate(pairs):
        bottom, left = top * height - (line + 1) * LINE_INCHES, .1
        for n_tiles, (text, records) in zip(widths, _groups(pair, data_set)):
            figure.text(left / width, (bottom + TILE_INCHES + .06) / height,
                        sheet.wrapped(text, n_tiles * TILE_INCHES, fontsize=8), fontsize=8)
            for i, record in enumerate(records[:n_tiles]):
                axis = figure.add_axes((
                    (left + i * TILE_INCHES) / width, bottom / height,
                    .97 * TILE_INCHES / width, TILE_INCHES / height))
                sheet.plain(axis, pictures.read_image(record.path).transpose(1, 2, 0))
            left += n_tiles * TILE_INCHES + .2
    return figure


def _groups(pair, data_set):
    """Titles and records of the four groups of pictures in a row."""
    names, examples, n_test = zip(*(
        (data_set.class_names[label],
         data_set.train[data_set.train.labels == label],
         (data_set.test.labels == label).sum()) for label in pair.labels))
    mistakes = [[data_set.test[i] for i in indices] for indices in pair.mistakes]
    yield names[0], examples[0]
    for side, other in enumerate(('right', 'left')):
        yield (f'{len(mistakes[side])} of {n_test[side]} are mistaken for those on the {other}',
               mistakes[side])
    yield names[1], examples[1]
