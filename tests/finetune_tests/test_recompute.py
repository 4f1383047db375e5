"""Recomputing in the backward pass: the same bits with less memory."""
from pathlib import Path
import tracemalloc

import chainer
import chainer.functions as F
import numpy
import pytest

from finetune import cli
from finetune.models.efficientnet_lite import EfficientNetLite0
from finetune.models.inception_v3 import InceptionV3
from finetune.models.small_cnn import SmallCNN


def step(cnn, recompute, images):
    """Arrays by name after a forward and backward pass, and bytes kept between the two."""
    numpy.random.seed(0)
    link = cnn(recompute=recompute)
    link.cleargrads()
    tracemalloc.start()
    conv_map = F.cast(link(images), 'f')
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    conv_map.grad = 1e-4 * numpy.random.RandomState(1).randn(*conv_map.shape).astype('f')
    conv_map.backward()
    state = chainer.serializers.DictionarySerializer()
    state.save(link)
    gradients = {f'gradient of {name}': param.grad for name, param in link.namedparams()}
    return {'ConvMaps': conv_map.array, **state.target, **gradients}, kept


@pytest.mark.parametrize('cnn, size, dtype', [
    (SmallCNN, 32, 'f'), (SmallCNN, 32, 'e'), (InceptionV3, 75, 'f'),
    (EfficientNetLite0, 64, 'f'), (EfficientNetLite0, 64, 'e')])
def test_same_bits_with_less_memory(cnn, size, dtype):
    """ConvMaps, gradients and batch statistics, which must be updated once a step."""
    images = numpy.random.RandomState(0).uniform(-1, 1, (2, 3, size, size)).astype(dtype)
    (kept, n_bytes), (recomputed, n_bytes_recomputing) = (
        step(cnn, recompute, images) for recompute in (False, True))
    assert kept.keys() == recomputed.keys()
    for name in kept:
        assert numpy.isfinite(kept[name]).all(), name
        assert kept[name].tobytes() == recomputed[name].tobytes(), name
    statistics = [kept[name] for name in kept if name.endswith('avg_mean')]
    assert statistics and all(array.any() for array in statistics)
    assert n_bytes_recomputing < .6 * n_bytes


@pytest.fixture
def hide_parts_of_an_image(birds):
    lines = (birds / 'parts/part_locs.txt').read_text().splitlines()
    hidden = [f'{" ".join(line.split()[:2])} 0.0 0.0 0' for line in lines[:15]]
    (birds / 'parts/part_locs.txt').write_text('\n'.join(hidden + lines[15:]))


def test_run_gives_the_same_bits(hide_parts_of_an_image, write_config):
    """With a step that has no part at all; a folder may be resumed with or without."""
    config = write_config(training={'epochs': 1, 'batch_size': 1, 'dtype': 'mixed16'})
    recompute = '--set', 'training.recompute=true'
    assert cli.main(['train', config, '--output', 'kept']) == 0
    assert cli.main(['train', config, *recompute, '--output', 'recomputed']) == 0
    with numpy.load('kept/model.npz') as kept, numpy.load('recomputed/model.npz') as recomputed:
        assert set(kept.files) == set(recomputed.files)
        for name in kept.files:
            assert kept[name].tobytes() == recomputed[name].tobytes(), name
    assert 'recompute: true' in Path('recomputed/config.yml').read_text()
    assert cli.main(['train', config, '--output', 'recomputed']) == 0
