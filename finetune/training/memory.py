"""Estimates the memory that training needs, and reads how much is free."""
import re

from chainer.backends import cuda
import numpy

from finetune.config.catalogue import ARCHITECTURES

MIXED = .64     # share that mixed16 needs: some arrays are temporarily float32


def of_image(config, n_parts):
    """Estimates the bytes that a training step needs per image with ``n_parts`` visible parts.

    The estimate uses measurements of each architecture; ``None``: there are none.
    """
    data, architecture = config.data, ARCHITECTURES[config.model.architecture]
    per_pixel = (architecture.bytes_recomputing if config.training.recompute
                 else architecture.bytes_per_pixel)
    if per_pixel is None:
        return None
    n_pixels = data.input_size ** 2 + n_parts * data.part_input_size ** 2
    return n_pixels * per_pixel * (MIXED if config.training.dtype == 'mixed16' else 1)


def of_weights(config, n_parameters):
    """Bytes of weights, their gradients and the optimiser's state."""
    n_states = 2 if config.training.optimizer == 'adam' else 1
    return 4 * n_parameters * (2 + n_states)


def free(device):
    """Free bytes of a device's memory; ``None``: unknown."""
    if device.xp is not numpy:
        return cuda.cupy.cuda.runtime.memGetInfo()[0]
    try:
        with open('/proc/meminfo') as file:
            return 1024 * int(re.search(r'^MemAvailable: *(\d+) kB', file.read(), re.M)[1])
    except (OSError, TypeError):
        return None


def advice(config):
    """Advice on saving memory, the end of a sentence."""
    smaller = 'lower training.batch_size, which changes results'
    architecture = ARCHITECTURES[config.model.architecture]
    if config.training.recompute or architecture.bytes_recomputing is None:
        return smaller
    return f'set training.recompute to true, which changes no result, or {smaller}'
