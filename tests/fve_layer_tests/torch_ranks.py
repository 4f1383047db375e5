"""One of two processes that test_torch.py starts: python torch_ranks.py RANK PORT OUTPUT.

Each rank trains a network with an FVELayer on its half of every batch. With 'alone' for RANK, one
process trains on the joined batches.
"""
import os
import sys

import numpy
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from fve_layer.torch import FVELayer

N_STEPS, N, T, D = 12, 8, 20, 6


def main(rank, port, output):
    is_alone = rank == 'alone'
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(D, D), FVELayer(D, 3, seed=1), nn.Linear(6 * D, 2))
    layer, half = network[1], slice(None)
    if not is_alone:
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
        distributed.init_process_group('gloo', rank=int(rank), world_size=2)
        network = DistributedDataParallel(network)
        if rank == '0':     # no other process takes part in the step of this layer
            FVELayer(D, 2, comm=False)(torch.rand(N, T, D))
        half = (slice(N // 2), slice(N // 2, N))[int(rank)]
    # Layers outside of DistributedDataParallel, which differ between the processes at first.
    drawn = FVELayer(D, 2, init='random', seed=int(rank == '1'))
    loaded = FVELayer(D, 2, seed=0)
    if rank != '1':
        loaded.mean.copy_(torch.eye(2, D))
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    random = numpy.random.RandomState(0)
    for _ in range(N_STEPS):
        x = random.normal(size=(N, T, D)) + 3 * random.randint(3, size=(N, T, 1))
        loss = network(torch.tensor(x[half], dtype=torch.float32)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for other in drawn, loaded:
            other(torch.tensor(x[half], dtype=torch.float32))
    weights = [parameter.detach().numpy() for parameter in network.parameters()]
    layers = {'': layer, 'drawn_': drawn, 'loaded_': loaded}
    numpy.savez(output, *weights, **{prefix + name: a.numpy() for prefix, one in layers.items()
                                     for name, a in one.state_dict().items()})
    if not is_alone:
        distributed.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
