"""torchvision's InceptionV3 with random arrays: what it gives, and names of arrays in libraries.

    python tests/finetune_tests/torch_reference.py

writes torch_activations.npz beside this file; it needs torch, torchvision and timm. The arrays and
the image are functions of their names, so that the file holds a sample of the activations only.
"""
from pathlib import Path
import zlib

import numpy

FIXTURE = Path(__file__).with_name('torch_activations.npz')
LAYERS = {'Mixed_5d': 'mixed02', 'Mixed_6e': 'mixed07', 'Mixed_7c': 'mixed10'}


def array(name, shape):
    """Values of an array by torch's name."""
    random = numpy.random.RandomState(zlib.crc32(name.encode()))
    values = random.standard_normal(shape) * .2
    if name.endswith('running_var'):
        values = .5 + abs(values)
    elif name.endswith('bn.weight'):
        values += 1
    elif len(shape) == 4:
        values *= 5 * (2 / numpy.prod(shape[1:])) ** .5
    return values.astype(numpy.float32)


def image():
    """One image (1, 3, 171, 139) in [-1, 1]."""
    return numpy.random.RandomState(0).uniform(-1, 1, (1, 3, 171, 139)).astype(numpy.float32)


def sample(activations):
    """Some of the activations (1, C, h, w), those at the edges among them."""
    return activations[0, ::17, ::2, ::2]


def main():
    import timm
    import torch
    import torchvision
    network = torchvision.models.inception_v3(init_weights=False, transform_input=False).eval()
    state = network.state_dict()
    for name, tensor in state.items():
        if not name.endswith('num_batches_tracked'):
            tensor.copy_(torch.from_numpy(array(name, tuple(tensor.shape))))
    activations = {}
    for name in LAYERS:
        network.get_submodule(name).register_forward_hook(
            lambda module, x, y, name=name: activations.update({name: sample(y.numpy())}))
    with torch.no_grad():
        network(torch.from_numpy(image()))
    lite0 = timm.create_model('tf_efficientnet_lite0').state_dict()
    numpy.savez_compressed(
        FIXTURE, **activations, inception_v3=list(state), lite0=list(lite0),
        shapes=[str(tuple(tensor.shape)) for tensor in state.values()])


if __name__ == '__main__':
    main()
