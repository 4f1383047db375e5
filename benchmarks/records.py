"""Time and memory of a training's start with the annotation files of many images.

    python benchmarks/records.py 3000000

The lines of ``images.txt`` name a hundred pictures over and over.
"""
from pathlib import Path
import pickle
import resource
import sys
import tempfile
import time

import numpy
from PIL import Image

from finetune.config.settings import Data
from finetune.data import readers
from finetune.data.dataset import EpochOrder, PartDataset
from finetune.data.iterators import iterate

N_CLASSES, N_PICTURES, SIZE, N_BATCH, N_WORKERS = 5000, 100, 64, 16, 2
FILES = {'images.txt': lambda i: f'{i} {i % N_PICTURES}.png',
         'image_class_labels.txt': lambda i: f'{i} {i % N_CLASSES + 1}',
         'train_test_split.txt': lambda i: f'{i} {int(i % 10 > 0)}',
         'parts/part_locs.txt': lambda i: f'{i} 1 10.5 20.5 1'}


def write(root, n):
    for name in 'parts', 'images':
        (root / name).mkdir()
    random = numpy.random.RandomState(0)
    for i in range(N_PICTURES):
        pixels = random.randint(0, 256, (SIZE, SIZE, 3)).astype(numpy.uint8)
        Image.fromarray(pixels).save(root / f'images/{i}.png')
    (root / 'parts/parts.txt').write_text('1 beak\n')
    (root / 'classes.txt').write_text(''.join(f'{i} class {i}\n' for i in range(1, N_CLASSES + 1)))
    for name, line in FILES.items():
        with open(root / name, 'w') as file:
            file.writelines(line(i) + '\n' for i in range(1, n + 1))


def main():
    n = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), n)
        settings = Data(dataset='cub200', root=folder, parts='GT', input_size=SIZE,
                        part_input_size=SIZE)
        start = time.monotonic()
        data_set = readers.load(settings)
        loaded = time.monotonic()
        assert len(data_set.train) + len(data_set.test) == n
        dataset = PartDataset(data_set.train, settings, train=True, seed=0)
        with iterate(dataset, N_BATCH, N_WORKERS, EpochOrder(len(dataset), 0)) as iterator:
            iterator.next()
            first = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20
    print(f'{n} images with a part: read in {loaded - start:.0f} s, first batch after '
          f'{first - loaded:.1f} s more; {peak:.1f} GiB at most, of which '
          f'{len(pickle.dumps(data_set)) / 2 ** 30:.2f} stay')


if __name__ == '__main__':
    main()
