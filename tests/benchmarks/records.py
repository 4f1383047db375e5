"""Time and memory of reading the annotation files of many images.

    python tests/benchmarks/records.py 3000000
"""
from pathlib import Path
import pickle
import resource
import sys
import tempfile
import time

from finetune.data import file_lists

N_CLASSES = 5000
FILES = {'images.txt': lambda i: f'{i} {i % N_CLASSES}/{i}.jpg',
         'image_class_labels.txt': lambda i: f'{i} {i % N_CLASSES + 1}',
         'train_test_split.txt': lambda i: f'{i} {int(i % 10 > 0)}',
         'parts/part_locs.txt': lambda i: f'{i} 1 10.5 20.5 1'}


def write(root, n):
    (root / 'parts').mkdir()
    (root / 'parts/parts.txt').write_text('1 beak\n')
    (root / 'classes.txt').write_text(''.join(f'{i} class {i}\n' for i in range(1, N_CLASSES + 1)))
    for name, line in FILES.items():
        with open(root / name, 'w') as file:
            file.writelines(line(i) + '\n' for i in range(1, n + 1))


def main():
    n = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), n)
        start = time.monotonic()
        lists = file_lists.read_cub(folder)
        seconds = time.monotonic() - start
    assert len(lists.train) + len(lists.test) == n
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20
    size = len(pickle.dumps(lists.train[:n // 100])) * len(lists.train) / (n // 100) / 2 ** 30
    print(f'{n} images with a part: {seconds:.0f} s, {peak:.1f} GiB at most; '
          f'{size:.2f} GiB for every process that loads images')


if __name__ == '__main__':
    main()
