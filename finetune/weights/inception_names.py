"""Names of InceptionV3's convolutions in torch's, chainercv2's and Keras's networks.

They follow from TF-Slim's table (:mod:`finetune.weights.tf_slim`), whose order is the one in which
all of these build the network.
"""
from collections import Counter
import re

from finetune.weights import tf_slim

# torch's names of the branches where they are not ours, by the start of TF-Slim's block.
TORCH = {
    '5': {'branch3x3_': 'branch3x3dbl_'}, '6a': {'branch3x3_': 'branch3x3dbl_'},
    '7a': {'branch7x7_': 'branch7x7x3_'},
    '7[bc]': {'branch3x3_2': 'branch3x3_2a', 'branch3x3_3': 'branch3x3_2b',
              'branch3x3dbl_3': 'branch3x3dbl_3a', 'branch3x3dbl_4': 'branch3x3dbl_3b'},
}


def torch() -> dict[str, str]:
    """Names in torchvision and timm by our links, ``head/conv1`` first."""
    names = {f'head/{link}': layer for link, layer in tf_slim.HEAD.items()}
    for i, (block, layers) in enumerate(tf_slim.MIXED):
        for link in layers:
            branch = link.replace('pool_conv', 'branch_pool').replace('conv', 'branch')
            branch = branch.replace('x2_', 'dbl_')
            for start, renamed in TORCH.items():
                if re.match(start, block):
                    for old, new in renamed.items():
                        branch = branch.replace(old, new)
            names[f'mixed{i:02d}/{link}'] = f'Mixed_{block}.{branch}'
    return names


def chainercv2() -> dict[str, str]:
    """Names in chainercv2 by our links."""
    names = {f'head/{link}': f'features/init_block/conv{i}'
             for i, link in enumerate(tf_slim.HEAD, 1)}
    for i, (block, layers) in enumerate(tf_slim.MIXED):
        stage, unit = int(block[0]) - 4, ord(block[1]) - ord('a') + (block[0] != '5')
        sizes, n_before = Counter(layer[0] for layer in layers.values()), Counter()
        for link, layer in layers.items():
            branch, kernel = layer[0], layer[-3:]
            n_before[branch] += 1
            name = ('conv' if sizes[branch] == 1 and block != '6a' else
                    f'conv{kernel}' if kernel in ('1x3', '3x1') else
                    f'conv_list/conv{n_before[branch]}')
            names[f'mixed{i:02d}/{link}'] = (
                f'features/stage{stage}/unit{unit}/branches/branch{int(branch) + 1}/{name}')
    return names


def links() -> list[str]:
    """Our links in the order in which Keras numbers its layers."""
    return list(torch())
