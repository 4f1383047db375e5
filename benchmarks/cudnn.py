"""A forward and backward pass of the CNNs on a GPU: convolutions by Chainer, and by cuDNN's graphs.

    python benchmarks/cudnn.py

For a CuPy without a cuDNN of its own, and the extra cudnn. Both in turns in one process; medians,
and the most memory that CuPy held.
"""
from pathlib import Path
import sys

import numpy

from finetune.compute import cudnn
from finetune.models import inception_v3, small_cnn
import chainer      # after finetune, which makes it importable
import chainer.functions as F
from chainer.backends import cuda

REPEATS = 20
OUTPUT = Path('results/benchmarks/cudnn.md')
NETWORKS = ((small_cnn.SmallCNN, (240, 3, 32, 32)), (inception_v3.InceptionV3, (60, 3, 299, 299)))


def milliseconds(model, x, use_cudnn):
    """Of one pass on the GPU."""
    start, end = cuda.Event(), cuda.Event()
    with chainer.using_config('use_cudnn', use_cudnn):
        start.record()
        model.cleargrads()
        F.sum(model(x)).backward()
        end.record()
        end.synchronize()
    return cuda.cupy.cuda.get_elapsed_time(start, end)


def measure(network, shape, dtype):
    """A line of the table."""
    x = cuda.to_gpu(numpy.random.RandomState(0).uniform(-1, 1, shape).astype(dtype))
    cells = []
    with chainer.using_config('dtype', chainer.mixed16 if dtype == 'float16' else numpy.float32):
        model = network().to_device('@cupy:0')
        for use_cudnn in 'never', 'auto':
            cuda.memory_pool.free_all_blocks()
            milliseconds(model, x, use_cudnn)
            cells.append(cuda.memory_pool.total_bytes() / 2 ** 20)
        times = [[milliseconds(model, x, use_cudnn) for use_cudnn in ('never', 'auto')]
                 for _ in range(REPEATS)]
    chainers, ours = numpy.median(times, axis=0)
    return (f'| {network.__name__}, {len(x)} x {shape[2]} pixels | {dtype} | {chainers:.1f} | '
            f'{ours:.1f} | {ours / chainers:.2f} | {cells[0]:.0f} | {cells[1]:.0f} |')


def main():
    if not cuda.available or cuda.cudnn_enabled or cudnn.frontend() is None:
        sys.exit('needs a GPU, the extra cudnn, and a CuPy without cuDNN, as CuPy 14 is')
    lines = ['| | type | Chainer, ms | cuDNN, ms | ratio | Chainer, MiB | cuDNN, MiB |',
             '|---' * 7 + '|']
    print(*lines, sep='\n')
    for network, shape in NETWORKS:
        for dtype in 'float32', 'float16':
            lines.append(measure(network, shape, dtype))
            print(lines[-1], flush=True)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
