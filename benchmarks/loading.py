"""How fast images are loaded: ours beside plain Pillow, which decodes, crops and resizes only.

    python benchmarks/loading.py
    python benchmarks/loading.py --parts 16 --images 60 --batch 4

JPEG images of 500 x 375 pixels, like those of CUB-200-2011, with part crops, all at 299 pixels.
Everything in one run on one machine; the ratios are what counts. The last column is the time while
the main thread also trains a small CNN for half a second per batch.
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
from pathlib import Path
import tempfile
import time

import chainer.functions as F
import numpy
from PIL import Image

from finetune.config.settings import Config, Data
from finetune.parts.points import point_boxes
from finetune.data.dataset import EpochOrder, PartDataset
from finetune.data.iterators import iterate
from finetune.data.records import Record
from finetune.models.small_cnn import SmallCNN
from finetune.parts.kind import parts_of

SIZE, WIDTH, HEIGHT = 299, 500, 375
CNN_SECONDS = .5    # per batch


def write_images(folder, n_images, n_parts):
    """Smooth noise, which JPEG packs about as well as photographs; returns records."""
    random = numpy.random.RandomState(0)
    records = []
    for i in range(n_images):
        coarse = random.randint(256, size=(HEIGHT // 8, WIDTH // 8, 3)).astype(numpy.uint8)
        image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.BICUBIC)
        path = Path(folder) / f'{i}.jpg'
        image.save(path, quality=90)
        points = random.uniform((80, 80), (HEIGHT - 80, WIDTH - 80), (n_parts, 2)).astype('f')
        records.append(Record(str(i), path, 0, points, numpy.ones(n_parts, bool)))
    return records


def plain(record):
    """Image and crops with Pillow alone."""
    image = Image.open(record.path).convert('RGB')
    boxes = point_boxes(record.locations, record.visible, (HEIGHT, WIDTH))
    crops = [image] + [image.crop((x0, y0, x1, y1)) for y0, x0, y1, x1 in boxes]
    return [numpy.asarray(crop.resize((SIZE, SIZE), Image.BILINEAR)) for crop in crops]


def seconds(load, n_images):
    """Per image, of one pass over all images, after a batch to start with."""
    next(load)
    start = time.perf_counter()
    for _ in range(n_images):
        next(load)
    return (time.perf_counter() - start) / n_images


def loaded(records, train, n_threads, batch_size, compute=lambda: None):
    """Yields examples for ever, and computes after each batch."""
    dataset = PartDataset(records, parts_of(Config()), Data(), train=train, seed=0)
    with iterate(dataset, batch_size, n_threads, EpochOrder(len(dataset), 0)) as iterator:
        for batch in iterator:
            yield from batch
            compute()


class Training:
    """Trains a small CNN for a while."""

    def __init__(self):
        self.cnn = SmallCNN()
        self.images = numpy.random.RandomState(0).rand(64, 3, 32, 32).astype('f')

    def __call__(self):
        end = time.perf_counter() + CNN_SECONDS
        while time.perf_counter() < end:
            self.cnn.cleargrads()
            F.sum(self.cnn(self.images)).backward()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--parts', type=int, default=4)
    parser.add_argument('--images', type=int, default=500)
    parser.add_argument('--batch', type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        records, batch = write_images(folder, options.images, options.parts), options.batch
        base = seconds((plain(record) for record in records + records[:1]), len(records))
        print(f'{"":40s}{"ms per image":>14s}{"times Pillow":>14s}{"ms beside a CNN":>17s}')
        print(f'{"Pillow: decode, crop, resize":40s}{1000 * base:14.1f}{1:14.2f}')
        for train, what in ((False, 'test'), (True, 'training, with augmentation')):
            for n in (0, 1, 2, 4):
                ours, beside = (seconds(loaded(records, train, n, batch, *compute), len(records))
                                for compute in ([], [Training()]))
                name = f'{what}, {n} threads'
                print(f'{name:40s}{1000 * ours:14.1f}{ours / base:14.2f}{1000 * beside:17.1f}',
                      flush=True)


if __name__ == '__main__':
    main()
