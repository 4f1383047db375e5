"""One run on several ranks of a CPU: what an update sends and waits for, and how mixtures drift.

    python benchmarks/ranks.py        # needs the extra mpi; about ten minutes

On drawn birds, with a random CNN. "Waits" is the time in all-reduces, other ranks' work included.
Strong scaling: 16 images for all ranks together; weak: 16 for each. One thread for each rank, and
more ranks than cores wait for each other. Drift: with a mixture of its own for every rank, as in
the authors' code, the distance of the ranks' means in standard deviations, the root mean square
over components and dimensions, after an epoch.
"""
import itertools
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

import yaml

from finetune.config.config import read_config
from finetune.data import readers
from finetune.models.part_classifier import build_classifier
from finetune.ranks import batch_statistics
from finetune.ranks import processes
from finetune.runs.opening import seed_generators
from finetune.training.trainer import build_updater
import chainer      # after finetune, which makes it importable
import fve_layer

OUTPUT = Path('results/benchmarks/ranks.md')
N_IMAGES = 16
CONFIG = 'configs/minibirds/gt_fve.yml'
N_UPDATES = 12


class Counted:

    """What a function sends and how long it takes."""

    def __init__(self, function, index):
        self.function, self.index = function, index
        self.n = self.n_bytes = self.seconds = 0

    def __call__(self, *arguments):
        start = time.perf_counter()
        result = self.function(*arguments)
        self.seconds += time.perf_counter() - start
        self.n, self.n_bytes = self.n + 1, self.n_bytes + arguments[self.index].nbytes
        return result


def worker(out, update_size, batch_norm, own_mixture, n_components, n_updates):
    n = processes.size()
    config = read_config(CONFIG, [
        'model.pretrained=', 'training.workers=0', f'training.update_size={update_size}',
        f'training.batch_size={int(update_size) // n}', f'model.n_components={n_components}'])
    device = chainer.get_device('@numpy')
    seed_generators(0, device)
    data_set = readers.load(config.data)
    model, comm, counted = build_classifier(config, data_set), None, []
    if n > 1:
        comm = processes.communicator(on_gpu=False)
        batch_statistics.connect(model, comm, batch_norm == 'True')
        if own_mixture == 'True':
            fve_layer.multi_node(model, None)
        comm.allreduce = Counted(comm.allreduce, 0)
        comm._multi_node_mean = Counted(comm._multi_node_mean, 1)
        counted = comm.allreduce, comm._multi_node_mean
    updater, reporter = build_updater(model, config, data_set, device, comm), chainer.Reporter()
    reporter.add_observer('main', model)
    with reporter.scope({}):
        updater.update()
        for count in counted:
            count.n = count.n_bytes = count.seconds = 0
        start = time.perf_counter()
        for _ in range(int(n_updates)):
            updater.update()
    seconds = time.perf_counter() - start
    drift = 0.
    if own_mixture == 'True':
        mixtures = comm.mpi_comm.allgather(model.encoder.mixture[:2])
        drift = max(float((((mean - mixtures[0][0]) ** 2) / mixtures[0][1]).mean() ** .5)
                    for mean, _ in mixtures)
    if not processes.is_helper():
        Path(out).write_text(yaml.safe_dump({
            'ms': 1000 * seconds / int(n_updates), 'drift': drift,
            'layer': [count.n / int(n_updates) for count in counted],
            'bytes': [count.n_bytes / int(n_updates) for count in counted],
            'waits': [1000 * count.seconds / int(n_updates) for count in counted]}))


def measure(n, update_size, batch_norm=False, own_mixture=False, n_components=1,
            n_updates=N_UPDATES):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, 'out.yml')
        subprocess.run(['mpiexec', '-n', str(n), sys.executable, __file__, '--worker', str(out),
                        *map(str, (update_size, batch_norm, own_mixture, n_components,
                                   n_updates))],
                       check=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
        return yaml.safe_load(out.read_text())


def scaling():
    yield ('| ranks | images | batch norm | ms | images / s | all-reduces: statistics, gradients '
           '| kB | waits, ms |')
    yield '|---' * 8 + '|'
    for n, images, batch_norm in ((1, 16, False), (2, 16, False), (2, 16, True), (4, 16, False),
                                  (2, 32, False), (4, 64, False)):
        r = measure(n, images, batch_norm)
        cells = ['', '', ''] if n == 1 else [
            f'{r["layer"][0]:.0f}, {r["layer"][1]:.0f}',
            ', '.join(f'{value / 1e3:.1f}' for value in r['bytes']),
            ', '.join(f'{value:.1f}' for value in r['waits'])]
        yield (f'| {n} | {images} | {"all ranks" if batch_norm else "each rank"} | {r["ms"]:.0f} | '
               f'{1000 * images / r["ms"]:.0f} | ' + ' | '.join(cells) + ' |')


def drifting():
    yield '| ranks | K | drift, standard deviations |'
    yield '|---' * 3 + '|'
    n_epoch = len(readers.load(read_config(CONFIG).data).train) // N_IMAGES
    for n in 2, 4:
        for k in 1, 5:
            r = measure(n, N_IMAGES, own_mixture=True, n_components=k, n_updates=n_epoch - 1)
            yield f'| {n} | {k} | {r["drift"]:.2f} |'


def main():
    lines = []
    for line in itertools.chain(scaling(), [''], drifting()):
        print(line, flush=True)
        lines.append(line)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    if '--worker' in sys.argv:
        sys.exit(processes.ended(lambda: worker(*sys.argv[2:]) or 0))
    main()
