"""Small files of torch.save and what is in them.

    python tests/finetune_tests/torch_files_reference.py     # writes the files; needs torch
"""
import collections
from pathlib import Path

import numpy

FOLDER = Path(__file__).parent
ZIP, LEGACY = FOLDER / 'torch_zip.pth', FOLDER / 'torch_legacy.pth'


def expected():
    """Arrays by name, as a reader must give them."""
    grid = numpy.arange(12, dtype='f').reshape(3, 4)
    return {
        'single': grid, 'double': grid.astype('d') / 3, 'half': grid.astype('e') / 8,
        'bfloat': grid / 8, 'integer': grid.astype('i8'), 'byte': grid.astype('u1'),
        'truth': grid > 5, 'count': numpy.array(7), 'nothing': numpy.zeros((0, 3), 'f'),
        'transposed': grid.T, 'every_second': grid[1:, ::2], 'same_storage': grid[2],
        'parameter': -grid,
    }


def tensors():
    import torch
    grid = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return {
        'single': grid, 'double': grid.double() / 3, 'half': grid.half() / 8,
        'bfloat': grid.bfloat16() / 8, 'integer': grid.long(), 'byte': grid.byte(),
        'truth': grid > 5, 'count': torch.tensor(7), 'nothing': torch.zeros(0, 3),
        'transposed': grid.T, 'every_second': grid[1:, ::2], 'same_storage': grid[2],
        'parameter': torch.nn.Parameter(-grid),
    }


def main():
    import torch
    state = {f'module.{name}': tensor for name, tensor in tensors().items()}
    torch.save({'epoch': 3, 'arch': 'inception_v3', 'best': None, 'steps': [1, 2.5, (True, 'x')],
                'best_prec3': torch.tensor(60.2), 'optimizer': {'state': {0: {'step': 4}}},
                'state_dict': state}, LEGACY, _use_new_zipfile_serialization=False)
    state = collections.OrderedDict(tensors())
    state._metadata = {'': {'version': 1}}      # as the state_dict of a module has it
    torch.save(state, ZIP)


if __name__ == '__main__':
    main()
