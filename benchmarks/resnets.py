"""Our ResNet50, 101 and 152 with torchvision's and timm's arrays: differences of the ConvMaps.

    python benchmarks/resnets.py

Weights and running statistics are random; both compute on the CPU, with and without oneDNN. Needs
torch, torchvision and timm beside the program and ChainerCV.
"""
import fve_layer    # noqa: F401  (before Chainer)

from pkgutil import resolve_name

import chainer
import numpy
import timm
import torch
import torchvision

from finetune.compute import onednn
from finetune.config.catalogue import ARCHITECTURES
from finetune.models.chainercv_cnns import TORCH_MEAN, TORCH_STD
from finetune.weights import pretrained, torch_resnet

SIZES = (224, 224), (97, 131)


def with_random_arrays(network):
    """Gives a network of torch random running statistics, scales and shifts; test mode."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for array, low, high in ((module.weight, .5, 1), (module.bias, -.2, .2),
                                     (module.running_mean, -.2, .2), (module.running_var, .5, 2)):
                torch.nn.init.uniform_(array, low, high)
    return network.eval()


def conv_maps(network, images):
    """Of images (N, 3, H, W) in [0, 1], by the layers of torchvision's and timm's ResNets."""
    x = (images - TORCH_MEAN[:, None, None]) / TORCH_STD[:, None, None]
    with torch.no_grad():
        x = torch.from_numpy(x)
        if isinstance(network, torchvision.models.ResNet):
            layers = list(network.children())[:-2]      # without pooling and class layer
            return torch.nn.Sequential(*layers)(x).numpy()
        return network.forward_features(x).numpy()


def main():
    for depth in 50, 101, 152:
        for network in (getattr(torchvision.models, f'resnet{depth}')(),
                        timm.create_model(f'resnet{depth}')):
            compare(with_random_arrays(network), f'resnet{depth}_torch')


def compare(network, architecture):
    """Prints the largest difference, relative to the largest value."""
    arrays = {name: array.numpy() for name, array in network.state_dict().items()}
    assert torch_resnet.fits(arrays)
    arrays, left_out = torch_resnet.convert(arrays, 'torch')
    ours = resolve_name(ARCHITECTURES[architecture].cnn)()
    pretrained.check(ours, arrays, 'torch')
    chainer.serializers.NpzDeserializer(arrays).load(ours)
    for size in SIZES:
        images = numpy.random.RandomState(0).rand(2, 3, *size).astype('f')
        expected = conv_maps(network, images)
        for use_onednn in {False, onednn.library() is not None}:
            with chainer.using_config('train', False), chainer.no_backprop_mode(), \
                    chainer.using_config('use_onednn', use_onednn):
                result = ours(2 * images - 1).array
            difference = abs(result - expected).max() / abs(expected).max()
            print(f'{type(network).__module__.split(".")[0]} {architecture}, {size[0]} x {size[1]}'
                  f'{", oneDNN" if use_onednn else ""}: {difference:.1e}; '
                  f'left out {", ".join(left_out)}', flush=True)


if __name__ == '__main__':
    main()
