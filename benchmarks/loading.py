"""How fast images are loaded: ours beside plain Pillow, which decodes, crops and resizes only.

    python benchmarks/loading.py

500 JPEG images of 500 x 375 pixels, like those of CUB-200-2011, with four part crops each, all at
299 pixels. Everything in one run on one machine; the ratios are what counts.
"""
import fve_layer    # noqa: F401  (before Chainer)

from pathlib import Path
import tempfile
import time

import numpy
from PIL import Image

from finetune.config.settings import Data
from finetune.data.cropping import point_boxes
from finetune.data.dataset import EpochOrder, PartDataset
from finetune.data.iterators import iterate
from finetune.data.records import Record

N_IMAGES, BATCH_SIZE, SIZE = 500, 20, 299
WIDTH, HEIGHT = 500, 375


def write_images(folder):
    """Smooth noise, which JPEG packs about as well as photographs; returns records."""
    random = numpy.random.RandomState(0)
    records = []
    for i in range(N_IMAGES):
        coarse = random.randint(256, size=(HEIGHT // 8, WIDTH // 8, 3)).astype(numpy.uint8)
        image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.BICUBIC)
        path = Path(folder) / f'{i}.jpg'
        image.save(path, quality=90)
        points = random.uniform((80, 80), (HEIGHT - 80, WIDTH - 80), (4, 2)).astype('f')
        records.append(Record(str(i), path, 0, points, numpy.ones(4, bool)))
    return records


def plain(record):
    """Image and crops with Pillow alone."""
    image = Image.open(record.path).convert('RGB')
    boxes = point_boxes(record.locations, record.visible, (HEIGHT, WIDTH))
    crops = [image] + [image.crop((x0, y0, x1, y1)) for y0, x0, y1, x1 in boxes]
    return [numpy.asarray(crop.resize((SIZE, SIZE), Image.BILINEAR)) for crop in crops]


def seconds_per_image(load):
    """Of one pass over all images, after some to start with."""
    load(2 * BATCH_SIZE)
    start = time.perf_counter()
    load(N_IMAGES)
    return (time.perf_counter() - start) / N_IMAGES


def measure_plain(records):
    return seconds_per_image(lambda n: [plain(record) for record in records[:n]])


def measure_ours(records, train, n_workers):
    dataset = PartDataset(records, Data(), train=train, seed=0)
    with iterate(dataset, BATCH_SIZE, n_workers, EpochOrder(len(dataset), 0)) as iterator:
        return seconds_per_image(
            lambda n: [iterator.next() for _ in range(n // BATCH_SIZE)])


def main():
    with tempfile.TemporaryDirectory() as folder:
        records = write_images(folder)
        base = measure_plain(records)
        print(f'{"":34s}{"ms per image":>14s}{"times Pillow":>14s}')
        print(f'{"Pillow: decode, crop, resize":34s}{1000 * base:14.1f}{1:14.2f}')
        for train, what in ((False, 'test'), (True, 'training, with augmentation')):
            for n_workers in (0, 1, 2):
                ours = measure_ours(records, train, n_workers)
                name = f'{what}, {n_workers} workers'
                print(f'{name:34s}{1000 * ours:14.1f}{ours / base:14.2f}', flush=True)


if __name__ == '__main__':
    main()
