"""What is said of the memory that training needs: by doctor, and in the configs."""
import os
from pathlib import Path
import re

import chainer
import pytest

from finetune import cli
from finetune.config.catalogue import ARCHITECTURES, DATA_SETS
from finetune.config.config import read_config
from finetune.data import annotation_files
from finetune.training import memory

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(path for dataset, row in DATA_SETS.items() if row.in_paper
                 for path in (PROJECT / 'configs' / dataset).glob('*.yml'))
N_GROUPS = {'cub200': 4, 'nabirds': 3, 'birdsnap': 4}       # NA-Birds has no legs
N_BOXES = 4
CNN = 21.8e6        # parameters of InceptionV3
GB = 1e9


def needed(config):
    """Gigabytes of a step with all parts visible; the linear layers are counted by hand."""
    counts, n_features = DATA_SETS[config.data.dataset].counts, 2048
    n_parts = {'GLOBAL': 0, 'GT': counts.n_parts, 'GT2': N_GROUPS[config.data.dataset],
               'CS_PARTS': N_BOXES}[config.data.parts]
    length = n_parts if config.model.encoding == 'gap' else 2 * config.model.n_components
    n_parameters = (CNN + n_features * counts.n_classes) + (n_parts > 0) * (
        CNN + length * n_features * counts.n_classes)
    return (config.training.batch_size * memory.of_image(config, n_parts)
            + memory.of_weights(config, n_parameters)) / GB


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_config_says_what_it_needs(path):
    config = read_config(path)
    line = re.search(r'^# Needs:  (.*)$', path.read_text(encoding='utf-8'), re.M)[1]
    if not config.training.is_joint:
        assert line == 'what gt2_gap.yml needs'
        return
    kept = needed(config)
    config.training.recompute = True
    assert line == (f'up to {kept:.0f} GB of memory in steps of {config.training.batch_size} '
                    f'images, {needed(config):.0f} GB with training.recompute')


def doctor(capsys, *arguments):
    capsys.readouterr()
    cli.main(['doctor', *arguments])
    return next(line for line in capsys.readouterr().out.splitlines() if 'training step' in line)


def test_doctor_says_what_fits(write_config, birds, capsys, monkeypatch):
    """Steps of four images; the few weights of the small CNN are less than a digit."""
    path = write_config(data={'dataset': 'minibirds', 'drawing': {
        'n_species': 3, 'n_train': 4, 'n_test': 2, 'size': 48}})
    line = doctor(capsys, path)
    free = float(re.search(r'of 4 images needs up to [\d.]+ MB, ([\d.]+) GB are free$', line)[1])
    assert line.startswith('ok') and free > 0
    n_parts = max(record.visible.sum() for record in annotation_files.read_cub(birds).train)
    image = (1 + n_parts) * 32 ** 2         # pixels
    monkeypatch.setitem(ARCHITECTURES, 'small_cnn', ARCHITECTURES['small_cnn']._replace(
        bytes_per_pixel=GB / image, bytes_recomputing=.5 * GB / image))
    monkeypatch.setattr(memory, 'free', lambda device: 2.7 * GB)
    assert doctor(capsys, path).endswith(
        'needs up to 4.0 GB, 2.7 GB are free, enough for a batch of 2; set training.recompute to '
        'true, which changes no result, or lower training.batch_size, which changes results')
    assert doctor(capsys, path, '--set', 'training.recompute=true').endswith(
        'needs up to 2.0 GB, 2.7 GB are free')
    assert doctor(capsys, path, '--set', 'training.dtype=mixed16').startswith('ok')
    monkeypatch.setattr(memory, 'free', lambda device: .7 * GB)
    assert doctor(capsys, path, '--set', 'training.recompute=true').endswith(
        '700.0 MB are free, enough for a batch of 1; lower training.batch_size, which changes '
        'results')


def test_free_memory_of_the_cpu_is_what_the_system_says():
    free = memory.free(chainer.get_device('@numpy'))
    assert free is None or 0 < free < os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
