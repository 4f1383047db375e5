from pathlib import Path

import pytest

from finetune import config, original_variables
from finetune.errors import InputError


def test_nothing_set_names_no_config():
    assert original_variables.read({}) == (None, [])


def test_the_originals_command_line():
    path, overrides = original_variables.read({
        'DATASET': 'CUB200', 'PARTS': 'GT', 'FVE_TYPE': 'em', 'N_COMPONENTS': '1', 'GPU': '0'})
    assert Path(path) == Path('configs/cub200/gt_fve.yml')
    settings = config.read_config(path, overrides)
    assert settings.model.n_components == 1
    assert settings.training.gpu == 0


REAL = 'CUB200', 'NAB', 'BIRDSNAP'


@pytest.mark.parametrize('dataset, parts, encoding', [
    (dataset, parts, encoding)
    for dataset in original_variables.DATASET_VALUES for parts in original_variables.PARTS_VALUES
    for encoding in original_variables.FVE_TYPE_VALUES
    if (parts != 'GLOBAL' or encoding == 'no') and (dataset in REAL or parts in ('GLOBAL', 'GT'))])
def test_every_combination_has_a_config(dataset, parts, encoding):
    path, _ = original_variables.read({'DATASET': dataset, 'PARTS': parts, 'FVE_TYPE': encoding})
    settings = config.read_config(path)
    assert settings.data.parts == parts
    assert settings.data.dataset == original_variables.DATASET_VALUES[dataset]
    if parts != 'GLOBAL':
        assert settings.model.encoding == original_variables.FVE_TYPE_VALUES[encoding]


def test_each_variable_reaches_its_setting():
    environ = {'EMA_ALPHA': '0.99', 'EPOCHS': '7', 'OPTIMIZER': 'adam', 'INIT_LR': '1e-3',
               'LR_DECAY': '0.5', 'BATCH_SIZE': '24', 'UPDATE_SIZE': '72',
               'LABEL_SMOOTHING': '0', 'MASK_FEATURES': '0', 'NORMALIZE': '1',
               'SHUFFLE_PARTS': '1', 'WEIGHTS': 'weights.npz'}
    path, overrides = original_variables.read(environ, 'configs/cub200/gt_fve.yml')
    settings = config.read_config(path, overrides)
    assert settings.model.ema_decay == .99
    assert settings.training.epochs == 7
    assert settings.training.optimizer == 'adam'
    assert settings.training.learning_rate == 1e-3
    assert settings.training.lr_factor == .5
    assert (settings.training.batch_size, settings.training.update_size) == (24, 72)
    assert settings.training.label_smoothing == 0
    assert settings.model.norm_filter is False
    assert settings.model.l2_normalize is True
    assert settings.data.order == 'shuffled'
    assert settings.model.pretrained == 'weights.npz'


def test_the_papers_schedule():
    path, overrides = original_variables.read({
        'DATASET': 'CUB200', 'PARTS': 'GT', 'FVE_TYPE': 'em', 'OPTIMIZER': 'rmsprop',
        'INIT_LR': '1e-4', 'LR_STEP': '20', 'EMA_ALPHA': '0.9', 'N_MPI': '1'})
    assert config.read_config(path, overrides).training.lr_epochs[:2] == [20, 40]
    _, overrides = original_variables.read({'LR_STEP': '1000'})     # the original's default: never
    assert config.read_config(path, overrides).training.lr_epochs == []


@pytest.mark.parametrize('environ, message', [
    ({'DATASET': 'CUB'}, 'DATASET=CUB: must be one of CUB200'),
    ({'PARTS': 'CS'}, 'PARTS=CS: must be one of'),
    ({'FVE_TYPE': 'yes'}, 'FVE_TYPE=yes: must be one of no, em, grad'),
    ({'PARTS': 'GLOBAL', 'FVE_TYPE': 'em'}, 'set PARTS=GT'),
    ({'MASK_FEATURES': 'yes'}, 'MASK_FEATURES=yes'),
    ({'LR_STEP': '0'}, 'LR_STEP=0: must be a whole number of epochs'),
    ({'LR_STEP': 'often'}, 'LR_STEP=often'),
    ({'FEATURE_AGG': 'mean'}, 'FEATURE_AGG=mean: this setting'),
    ({'N_MPI': '4'}, 'N_MPI=4: this setting'),
    ({'COMP_SIZE': '256'}, 'COMP_SIZE=256: this setting of the original does not exist here'),
])
def test_bad_values(environ, message):
    with pytest.raises(InputError, match=message):
        original_variables.read(environ)
