"""Pictures of the network's input: images with part boxes, and the crops."""
from pathlib import Path

from matplotlib import colormaps
import numpy

from finetune.config.config import read_config
from finetune.config.project import HERE
from finetune.data.dataset import PartDataset
from finetune.parts import kind
from finetune.runs.folder import RunFolder
from finetune.runs.opening import open_device
from finetune.visualize import sheet

INFERNO, COLOURS = colormaps['inferno'], numpy.array(colormaps['tab10'].colors)


def make(config_path, overrides, split, n_images, out=None, project=HERE):
    """Draws a contact sheet of images, part boxes and part crops.

    If the program found the parts, the sheet also shows the saliency and the pixels of each part.

    Args:
        config_path (str): YAML file of the experiment.
        overrides (list of str): ``section.name=value`` settings that win over the file.
        split (str): ``'train'``, augmented as in the first epoch, or ``'test'``.
        n_images (int): Number of images, evenly spaced over the split.
        out (str or None): Folder for the picture; ``None``: ``results/<config>``.
        project (finetune.config.project.Project): What paths are relative to.

    """
    config = read_config(config_path, overrides, project)
    seed, project = config.training.seed, config.project
    folder = RunFolder.of(config_path, seed, project).path.parent if out is None else Path(out)
    data_set = kind.load(config)
    dataset = PartDataset(getattr(data_set, split), data_set.parts, config.data,
                          train=split == 'train', seed=seed)
    views = [sheet.look_at(dataset, i, data_set)
             for i in sheet.evenly_spaced(n_images, len(dataset))]
    figure = sheet.draw(views, _title(config.data, split),
                        pictures=_pictures(config, data_set, split))
    sheet.save(figure, folder / f'parts_{split}.png')


def _pictures(config, data_set, split):
    """Makes the function that draws the pictures beside an image."""
    found_by = data_set.parts.load_detector(open_device(config.training.gpu))
    if found_by is None:
        return sheet.global_input
    folds = data_set.parts.folds_of(data_set, split)

    def pictures(view):
        img = found_by.input(view.image.transpose(2, 0, 1))
        parts, = found_by.look([img], [folds[view.index]])
        saliency = INFERNO(parts.saliency / max(parts.saliency.max(), 1e-30))[..., :3]
        grey = sheet.displayed(img).mean(axis=2, keepdims=True).clip(0, 1)
        painted = (.6 * COLOURS[parts.groups % len(COLOURS)] + .4 * grey).clip(0, 1)
        pixels = numpy.where(parts.groups[..., None] < 0, grey, painted)
        return [*sheet.global_input(view), (saliency, 'saliency'), (pixels, 'pixels of each part')]
    return pictures


def _title(data, split):
    augmentation = ('as in the first epoch, with augmentation' if split == 'train'
                    else 'no augmentation')
    size = f'crops of {data.part_input_size} pixels' if data.has_parts else 'no parts'
    return (f'{data.dataset}, {split} images, {augmentation}: {size}\n'
            'boxes: crops, dotted if the part is hidden; numbers: parts')
