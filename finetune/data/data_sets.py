"""The data sets an experiment can name; the embedded ones are drawn on first use."""
from pathlib import Path

from finetune.data import digits, file_lists, minibirds


def load(settings):
    """Records of a data set.

    Args:
        settings (finetune.config.Data): Which one, and where it is.

    Returns:
        finetune.data.file_lists.FileLists: Its training and test images.

    """
    root = folder(settings)
    if settings.dataset == 'minibirds':
        minibirds.prepare(root, pretraining=settings.split == 'pretraining', **settings.drawing)
    elif settings.dataset == 'digits':
        digits.prepare(root, **settings.drawing)
    return file_lists.read_cub(root)


def folder(settings):
    """Where the data set is: ``data.root``, or ``data/<data set>``."""
    if settings.root:
        return Path(settings.root)
    return Path('data') / '_'.join(filter(None, (settings.dataset, settings.split)))
