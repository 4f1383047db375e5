"""A forward and backward pass of ChainerCV's CNNs on one CPU thread: ChainerCV's links and ours.

    OMP_NUM_THREADS=1 python benchmarks/chainercv_cnns.py

All in one process, in turns; medians, and ratios to ChainerCV's.
"""
import fve_layer    # noqa: F401  (before Chainer)

from pkgutil import resolve_name
import time

import chainer
import chainer.functions as F
from chainercv import links
import numpy
from threadpoolctl import threadpool_limits

from finetune.compute import onednn
from finetune.config.catalogue import ARCHITECTURES

REPEATS, SHAPE = 3, (2, 3, 224, 224)
NETWORKS = {'resnet50': links.ResNet50, 'resnet50_he': lambda: links.ResNet50(arch='he'),
            'se_resnet50': links.SEResNet50, 'se_resnext50': links.SEResNeXt50,
            'vgg16': links.VGG16}


def seconds(network, x, use_onednn):
    """Of one pass."""
    network.cleargrads()
    with chainer.using_config('use_onednn', use_onednn):
        start = time.perf_counter()
        F.sum(network(x)).backward()
        return time.perf_counter() - start


def main():
    x = numpy.random.RandomState(0).uniform(-1, 1, SHAPE).astype('f')
    print('| | ChainerCV, ms | ours | oneDNN | ours / ChainerCV | oneDNN / ChainerCV |')
    print('|---' * 6 + '|')
    for name, make in NETWORKS.items():
        theirs, ours = make(), resolve_name(ARCHITECTURES[name].cnn)()
        theirs.pick = ours.layer_names[-1]
        theirs.remove_unused()
        variants = [(theirs, False), (ours, False)]
        if onednn.library() is not None:
            variants.append((ours, True))
        with threadpool_limits(1, user_api='blas'):
            times = [[seconds(network, x, use_onednn) for network, use_onednn in variants]
                     for _ in range(REPEATS + 1)]
        medians = 1000 * numpy.median(times[1:], axis=0)
        cells = [f'{value:.0f}' for value in medians]
        cells += [f'{value / medians[0]:.2f}' for value in medians[1:]]
        print(f'| {name}, {SHAPE[0]} x {SHAPE[2]} pixels | ' + ' | '.join(cells) + ' |', flush=True)


if __name__ == '__main__':
    main()
