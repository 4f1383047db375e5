"""The test images that a trained model classifies wrongly."""
import math
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from finetune.config.project import HERE
from finetune.data import pictures, readers
from finetune.drawing import own_settings
from finetune.errors import InputError
from finetune.names import shown
from finetune.runs.chosen import find_run, tested
from finetune.visualize import sheet

SIZE = 240, 240         # pixels of a picture, at most
N_COLUMNS = 6
TILE_INCHES, CAPTION_INCHES = 1.5, .42


class Mistake(NamedTuple):
    """A wrongly classified test image."""

    path: Path
    label: str          # name of its class
    predicted: str      # name of the predicted class

    @property
    def caption(self):
        return shown(f'{self.path.name}: {self.label}, taken for {self.predicted}')

    def image(self):
        """The image (3, H, W), uint8."""
        return pictures.read_image(self.path, upright=True)


def make(out, n_images, project=HERE):
    """Draws the mistakes of a run on its test images: ``mistakes.png`` beside its results.

    Args:
        out (str): Folder of a finished run.
        n_images (int): Number of images, evenly spaced over all mistakes.
        project (finetune.config.project.Project): What paths are relative to.

    """
    folder = find_run(out, project)
    mistakes, n_tested = find(folder)
    folder = tested(folder)
    title = f'{folder}: {len(mistakes)} of {n_tested} test images are misclassified'
    print(title, flush=True)
    if mistakes:
        drawn = [mistakes[i] for i in sheet.evenly_spaced(n_images, len(mistakes))]
        sheet.save(draw(drawn, title), folder.picture('mistakes'))


def find(folder):
    """The mistakes in the order of the test images, and the number of these.

    Args:
        folder (finetune.runs.folder.RunFolder): A finished run, whose data set must be there.

    """
    folder.require_finished()
    config, results = folder.read_config(), tested(folder)
    if results is not folder:
        config.data.split = ''
    columns, test = results.read_predictions(), readers.load(config).test
    # Tables of earlier versions have ids.
    paths = dict(zip([*test.image_ids, *test.titles], 2 * test.paths))
    gone = [name for name in columns['image'] if name not in paths]
    if gone:
        raise InputError(f'{folder}: the data set has changed since this run was evaluated: test '
                         f'image {gone[0]} is not in it; restore it, or train with another '
                         '--output.')
    return [Mistake(paths[name], label, predicted) for name, label, predicted in zip(
        columns['image'], columns['label'], columns[config.headline])
        if label != predicted], len(columns['image'])


@own_settings()
def draw(mistakes, title):
    """Draws a sheet of mistakes with the names of the files and of both classes."""
    n_rows = math.ceil(len(mistakes) / N_COLUMNS)
    width, line = N_COLUMNS * (TILE_INCHES + .1) + .1, TILE_INCHES + CAPTION_INCHES
    figure, top = sheet.headed_figure(width, n_rows * line + .1, title)
    height = figure.get_figheight()
    for i, mistake in enumerate(mistakes):
        row, column = divmod(i, N_COLUMNS)
        axis = figure.add_axes((
            (.1 + column * (TILE_INCHES + .1)) / width, top - (row * line + TILE_INCHES) / height,
            TILE_INCHES / width, TILE_INCHES / height))
        picture = ImageOps.contain(Image.fromarray(mistake.image().transpose(1, 2, 0)), SIZE)
        sheet.plain(axis, picture, sheet.wrapped(mistake.caption, TILE_INCHES, 7))
    return figure
