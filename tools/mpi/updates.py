"""Updates of a classifier on several ranks, in float64: what a test compares with one rank.

    mpiexec -n 4 python tools/mpi/updates.py CONFIG OUT.npz N_UPDATES [--mixture-per-rank]

Rank 0 saves the arrays of the model after all updates, and what was reported in each. With
--mixture-per-rank, as in the authors' code, every rank saves its mixture after each, too.
"""
import sys

from finetune.config.config import read_config
from finetune.data import readers
from finetune.data.dataset import collate
from finetune.models.part_classifier import build_classifier
from finetune.ranks import batch_statistics
from finetune.ranks import processes
from finetune.runs.folder import arrays_of
from finetune.runs.opening import seed_generators
from finetune.training.trainer import build_updater
import chainer
import fve_layer
import numpy


def in_float64(batch, device):
    return tuple(array.astype('d') if array.dtype.kind == 'f' else array
                 for array in collate(batch, device))


def main(path, out, n_updates, *options):
    chainer.global_config.dtype = numpy.float64
    n = processes.size()
    whole = read_config(path)
    config = read_config(path, [f'training.batch_size={whole.training.update_size // n}'])
    data_set, device = readers.load(config.data), chainer.get_device('@numpy')
    seed_generators(config.training.seed, device)
    model, comm = build_classifier(config, data_set), None
    if n > 1:
        comm = processes.communicator(on_gpu=False)
        batch_statistics.connect(model, comm, True)
        if '--mixture-per-rank' in options:
            fve_layer.multi_node(model, None)
    updater = build_updater(model, config, data_set, device, comm)
    updater.converter = in_float64
    reporter, results = chainer.Reporter(), {}
    reporter.add_observer('main', model)
    for i in range(int(n_updates)):
        observation = {}
        with reporter.scope(observation):
            updater.update()
        results.update({f'{name}/{i}': numpy.float64(value)
                        for name, value in observation.items()})
        if options:
            results[f'mean/{i}'] = model.encoder.mean
            results[f'var/{i}'] = model.encoder.var
    results.update(arrays_of(model))
    if comm is None or comm.rank == 0:
        numpy.savez(out, **results)
    elif options:
        numpy.savez(out.replace('.npz', f'_{comm.rank}.npz'), **results)


if __name__ == '__main__':
    sys.exit(processes.ended(lambda: main(*sys.argv[1:]) or 0))
