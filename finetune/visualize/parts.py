"""Pictures of the network's input: images with part boxes, and the crops."""
from pathlib import Path

from finetune.config import read_config
from finetune.data import data_sets
from finetune.data.dataset import PartDataset
from finetune.runs.folder import RunFolder
from finetune.visualize import sheet


def make(config_path, overrides, split, n_images, out=None):
    """Draws a contact sheet of images, part boxes and part crops.

    Args:
        config_path (str): YAML file of the experiment.
        overrides (list of str): ``section.name=value`` settings that win over the file.
        split (str): ``'train'``, augmented as in the first epoch, or ``'test'``.
        n_images (int): Number of images, evenly spaced over the split.
        out (str or None): Folder for the picture; ``None``: ``results/<config>``.

    """
    config = read_config(config_path, overrides)
    seed = config.training.seed
    folder = RunFolder.of(config_path, seed).path.parent if out is None else Path(out)
    lists = data_sets.load(config.data)
    dataset = PartDataset(getattr(lists, split), config.data, train=split == 'train', seed=seed)
    views = [sheet.look_at(dataset, i, lists) for i in sheet.evenly_spaced(n_images, len(dataset))]
    figure = sheet.draw(views, _title(config.data, split))
    sheet.save(figure, folder / f'parts_{split}.png')


def _title(data, split):
    augmentation = ('as in the first epoch, with augmentation' if split == 'train'
                    else 'no augmentation')
    size = f'crops of {data.part_input_size} pixels' if data.has_parts else 'no parts'
    return (f'{data.dataset}, {split} images, {augmentation}: {size}\n'
            'boxes: what is cropped, dotted where the part is hidden; numbers: the parts')
