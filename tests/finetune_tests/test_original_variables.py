"""Every environment variable of the original's scripts: what it does here, tried one by one.

The table of docs/original_variables.md is what they do. After a change, write it anew by

    UPDATE_DOCS=1 tests/run.sh tests/finetune_tests/test_original_variables.py
"""
import functools
import os
from pathlib import Path

import numpy
import pytest

from finetune import cli
from finetune.checks import dry_run
from finetune.commands import original_variables
from finetune.commands.options import DEFAULT_CONFIG
from finetune.config import config
from finetune.config.project import HERE
from finetune.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / 'docs/original_variables.md'
START = '<!-- variables -->\n'
CS_PARTS = 'configs/cub200/cs_parts_fve.yml'
REAL = 'CUB200', 'NAB', 'BIRDSNAP'
DATASETS = original_variables.CONFIG['DATASET']
ENCODINGS = original_variables.CONFIG['FVE_TYPE']


@pytest.fixture(autouse=True)
def in_project(monkeypatch):
    monkeypatch.chdir(PROJECT)
    for name in (*original_variables.CONFIG, *original_variables.SETTINGS,
                 *original_variables.INSTEAD, 'OUTPUT', 'DRY_RUN'):
        monkeypatch.delenv(name, raising=False)


def read(environ, path=None, options=()):
    """The config that is chosen, its settings with the variables', overrides and remarks."""
    path = path or original_variables.config(environ) or DEFAULT_CONFIG
    overrides, notes = original_variables.overrides(environ, path, options)
    return path, config.read_config(path, [*overrides, *options]), overrides, notes


def test_nothing_set_names_no_config_and_changes_nothing():
    assert original_variables.config({}) is None
    assert original_variables.overrides({'HOME': 'x'}, CS_PARTS) == ([], [])


def test_the_originals_command_line():
    path, settings, _, _ = read({'DATASET': 'CUB200', 'PARTS': 'GT', 'FVE_TYPE': 'em',
                                 'N_COMPONENTS': '1', 'GPU': '0'})
    assert path == 'configs/cub200/gt_fve.yml'
    assert settings.model.n_components == 1
    assert settings.training.gpu == 0


@pytest.mark.parametrize('dataset, parts, encoding', [
    (dataset, parts, encoding) for dataset in DATASETS
    for parts in original_variables.CONFIG['PARTS'] for encoding in ENCODINGS
    if (parts != 'GLOBAL' or encoding == 'no') and (dataset in REAL or parts in ('GLOBAL', 'GT'))])
def test_every_combination_has_a_config(dataset, parts, encoding):
    _, settings, _, notes = read({'DATASET': dataset, 'PARTS': parts, 'FVE_TYPE': encoding})
    assert settings.data.parts == parts
    assert settings.data.dataset == DATASETS[dataset]
    assert settings.model.encoding == ENCODINGS[encoding] and notes == []


@pytest.mark.parametrize('variables, expected, overrides', [
    ('PARTS=GT FVE_TYPE=em SHUFFLE_PARTS=1', 'cub200/gt_fve_shuffled', []),
    ('PARTS=GT FVE_TYPE=em SHUFFLE_PARTS=0', 'cub200/gt_fve', []),
    ('PARTS=GT FVE_TYPE=no SHUFFLE_PARTS=1', 'cub200/gt_gap_shuffled', []),
    ('PARTS=GT2 FVE_TYPE=em N_COMPONENTS=5', 'cub200/gt2_fve_k5', []),
    ('PARTS=GT2 FVE_TYPE=grad N_COMPONENTS=10', 'cub200/gt2_gradient_fve_k10', []),
    ('PARTS=GT2 FVE_TYPE=em N_COMPONENTS=7', 'cub200/gt2_fve', ['model.n_components=7']),
    ('PARTS=GT2 FVE_TYPE=em SHUFFLE_PARTS=1', 'cub200/gt2_fve', ['data.order=shuffled']),
    # once for the whole run is a way to shuffle, too
    ('DATASET=DIGITS PARTS=GT FVE_TYPE=em SHUFFLE_PARTS=1', 'digits/gt_fve_shuffled', []),
    ('DATASET=MINIBIRDS PARTS=GT2 FVE_TYPE=em SHUFFLE_PARTS=1 N_COMPONENTS=5',
     'minibirds/gt2_fve_shuffled', ['model.n_components=5']),
])
def test_the_config_is_that_of_the_row(variables, expected, overrides):
    environ = dict(variable.split('=') for variable in variables.split())
    path, settings, changes, _ = read(environ)
    assert path == f'configs/{expected}.yml' and changes == overrides
    if not overrides:
        assert settings == config.read_config(path)     # what to expect of it included


def test_the_papers_command_is_the_config():
    """Equal settings make no other run, so that report finds it."""
    path, settings, changes, notes = read({
        'DATASET': 'CUB200', 'PARTS': 'CS_PARTS', 'FVE_TYPE': 'em', 'OPTIMIZER': 'rmsprop',
        'INIT_LR': '1e-4', 'LR_STEP': '20', 'EMA_ALPHA': '0.9', 'EPOCHS': '60',
        'LABEL_SMOOTHING': '.1', 'UPDATE_SIZE': '64', 'MASK_FEATURES': '1', 'PRE_TRAINING': 'inat',
        'MODEL_TYPE': 'cvmodelz.InceptionV3', 'BIG': '0', 'COMP_SIZE': '0',
        'AUGMENTATIONS': 'random_crop random_flip color_jitter', 'N_COMPONENTS': '1'})
    assert path == CS_PARTS and changes == notes == []
    assert settings == config.read_config(path)


@pytest.mark.parametrize('variables, options, steps', [
    ({'LR_STEP': '20'}, [], [20, 40]),
    ({'LR_STEP': '1000'}, [], []),                      # the original's default: never
    ({'LR_STEP': '20', 'EPOCHS': '81'}, [], [20, 40, 60, 80]),
    ({'LR_STEP': '20', 'EPOCHS': '81'}, ['training.epochs=41'], [20, 40]),
    ({'LR_STEP': '20'}, ['training.lr_epochs=[7]'], [7]),
])
def test_learning_rate_drops_within_the_epochs_only(variables, options, steps):
    assert read(variables, CS_PARTS, options)[1].training.lr_epochs == steps


def test_variables_that_nothing_would_read_are_named():
    """Loops over FVE_TYPE set them for all encodings."""
    environ = {'PARTS': 'GT', 'FVE_TYPE': 'no', 'EMA_ALPHA': '0.5', 'EPOCHS': '7'}
    path, settings, changes, notes = read(environ)
    assert changes == ['training.epochs=7'] and settings.training.epochs == 7
    assert notes == [f'EMA_ALPHA=0.5: skipped, model.ema_decay has no effect with {path}',
                     'Environment variables set training.epochs=7']


def test_options_decide_what_is_read():
    _, settings, _, _ = read({'EMA_ALPHA': '0.5'}, 'configs/cub200/gt_gap.yml',
                             ['model.encoding=fve'])
    assert settings.model.ema_decay == .5


def test_config_that_is_named_wins_and_says_so():
    path = 'configs/cub200/gt_fve.yml'
    notes = read({'DATASET': 'NAB', 'PARTS': 'GT', 'FVE_TYPE': 'no'}, path)[3]
    assert notes == [f'DATASET=NAB: skipped, {path} is given',
                     f'FVE_TYPE=no: skipped, {path} is given']


def test_weights_are_those_that_are_named():
    environ = {'PRE_TRAINING': 'inat', 'WEIGHTS': 'mine.npz'}
    assert read(environ, CS_PARTS)[1].model.pretrained == 'mine.npz'


def test_secrets_are_not_printed():
    assert 'opensesame' not in ' '.join(read({'MONGODB_PASSWORD': 'opensesame'}, CS_PARTS)[3])


def test_several_configs_get_what_each_needs(monkeypatch, capsys):
    """Equal to one config's settings is not equal to the other's."""
    described = []
    monkeypatch.setattr(dry_run, 'describe', lambda *arguments: described.append(arguments))
    monkeypatch.setenv('OPTIMIZER', 'adam')
    monkeypatch.setenv('VACUUM', '1')
    assert cli.main(['train', '--dry-run', 'configs/digits/gt_fve.yml', CS_PARTS,
                     '--seed', '3']) == 0
    assert described == [('configs/digits/gt_fve.yml', ['training.seed=3'], HERE, None),
                         (CS_PARTS, ['training.optimizer=adam', 'training.seed=3'],
                          HERE, None)]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and printed[0].startswith('VACUUM: has no setting here')


# Variable: values to try, all with configs/cub200/cs_parts_fve.yml.
TRIED = {
    'DATASET': ['NAB', 'CUB'], 'PARTS': ['GT2', 'L1_pred'], 'FVE_TYPE': ['grad', 'yes'],
    'N_COMPONENTS': ['5'], 'SHUFFLE_PARTS': ['1'],
    'MODEL_TYPE': ['cvmodelz.InceptionV3', 'cvmodelz.ResNet50', 'cvmodelz.ResNet101'],
    'PRE_TRAINING': ['inat', 'imagenet', 'other'], 'WEIGHTS': ['mine.npz'],
    'LOAD': ['clf_final.npz'], 'GPU': ['0', 'all'], 'N_JOBS': ['3'], 'BIG': ['0', '1', '-1'],
    'AUGMENTATIONS': ['random_crop random_flip color_jitter', 'random_crop',
                      'random_crop random_flip random_rotation'],
    'EMA_ALPHA': ['0.99', '2'], 'MASK_FEATURES': ['0', 'yes'], 'NORMALIZE': ['1'],
    'ONLY_MU': ['1'], 'COMP_SIZE': ['256', '-1'], 'POST_FVE_SIZE': ['-1'],
    'AUX_LAMBDA': ['0.5'], 'AUX_RATE': ['0.7'], 'AUX_STEP': ['5'], 'EPOCHS': ['30', '0'],
    'BATCH_SIZE': ['24'], 'UPDATE_SIZE': ['72'], 'LABEL_SMOOTHING': ['0'],
    'OPTIMIZER': ['adam', 'lamb'], 'OPT_EPSILON': ['0.1'], 'INIT_LR': ['1e-3', 'fast'],
    'LR_DECAY': ['0.5'], 'LR_STEP': ['20', '25', '1000', '0'], 'LR_TARGET': ['1e-8'],
    'CONDA_ENV': ['DeepFVE'], 'MAIN_SCRIPT': ['../main.py'], 'PROFILE': ['1'],
    'CUDA_MEMCHECK': ['1'], 'HOSTFILE': ['hosts'], 'N_MPI': ['1', '4'],
    'DATA': ['../info.yml'], 'OPTS': ['--label_shift 1'], 'CACHE_IMAGES': ['cache'],
    'VACUUM': ['1'],
    'LABEL_SHIFT': ['1', '2'], 'PREPARE_TYPE': ['model', 'custom'],
    'FEATURE_AGG': ['concat', 'mean'], 'FP16': ['0', '1'], 'INIT_MU': ['1', '0'],
    'INIT_SIG': ['1', '2'], '_init_from_gap': ['1'], 'OUTPUT_FOLDER': ['../../.results'],
    'OUTPUT_PREFIX': ['mine'], 'MONGODB_HOST': ['here'],
}
ACTS_AS_IT_IS = [
    ('OUTPUT', 'mine', 'folder for the results of a single run'),
    ('DRY_RUN', '1', 'prints the settings, counts and shapes, and stops'),
    ('OMP_NUM_THREADS', '2', 'threads of NumPy and of the convolutions on a CPU'),
]
OF_DATA_BASE = {f'MONGODB_{name}' for name in ('USER_NAME', 'PASSWORD', 'DB_NAME', 'PORT')}


@functools.cache
def effect(name, value):
    """What a variable does, in words of the page."""
    environ = {'PARTS': 'CS_PARTS', 'FVE_TYPE': 'em', name: value}
    if name == 'AUX_RATE' or name == 'AUX_STEP':
        environ['AUX_LAMBDA'] = '0.5'
    try:
        path, _, overrides, notes = read(environ)
    except InputError as error:
        return 'refused', str(error)
    overrides = [f'`{override}`' for override in overrides
                 if name == 'AUX_LAMBDA' or not override.startswith('model.aux_lambda')]
    notes = [note for note in notes if not note.startswith('Environment variables set')]
    effects = notes + ([f'sets {", ".join(overrides)}'] if overrides else [])
    if path != CS_PARTS:
        effects.append(f'chooses `{path}`')
    return 'printed' if notes else 'works', '; '.join(effects) or 'as the config has it'


def page():
    rows = [(f'`{name}={value}`', *effect(name, value)) for name, values in TRIED.items()
            for value in values]
    rows += [(f'`{name}={value}`', 'works', text) for name, value, text in ACTS_AS_IT_IS]
    text = PAGE.read_text(encoding='utf-8').split(START)[0] + START
    text += '\n| tried | outcome | what it does |\n|---|---|---|\n'
    rows = [' | '.join(row).replace('<', '&lt;') for row in rows]
    return text + ''.join(f'| {row} |\n' for row in rows)


@pytest.fixture
def classifier_at_hand(monkeypatch, tmp_path):
    """A file of the authors' code for LOAD, and one for WEIGHTS, whose content does not matter."""
    from finetune.weights import pretrained
    mean = numpy.zeros((4, 3))
    arrays = {f'fve_layer/{name}': array for name, array in {
        'mu': mean, 'sig': mean, 'w': mean[0], 'alpha': .99, 't': 7, 'eps': .01}.items()}
    arrays.update({'model/fc/b': mean, 'mask_features': True, 'separate_model/fc/b': mean,
                   'separate_model/fc/W': numpy.zeros((2, 24))})
    arrays = {name: numpy.asarray(array) for name, array in arrays.items()}
    monkeypatch.setattr(pretrained, 'read_weights', lambda path: arrays)


def test_page_of_variables_is_up_to_date(classifier_at_hand):
    if os.environ.get('UPDATE_DOCS'):
        PAGE.write_text(page(), encoding='utf-8')
    assert PAGE.read_text(encoding='utf-8') == page()


def test_page_has_every_variable():
    names = {*original_variables.CONFIG, *original_variables.SETTINGS, *original_variables.INSTEAD}
    assert set(TRIED) == names - OF_DATA_BASE and OF_DATA_BASE < names


@pytest.mark.parametrize('name', TRIED)
def test_no_variable_is_ignored_silently(name, classifier_at_hand):
    """Each of them changes a setting, chooses a config, is mentioned, or is refused."""
    outcomes = {effect(name, value) for value in TRIED[name]}
    assert outcomes - {('works', 'as the config has it')}


def test_each_variable_reaches_its_setting():
    """The table by hand, as the page above is only what the program does."""
    settings = read({
        'EMA_ALPHA': '0.99', 'EPOCHS': '7', 'OPTIMIZER': 'adam', 'INIT_LR': '1e-3',
        'LR_DECAY': '0.5', 'LR_STEP': '2', 'LR_TARGET': '1e-8', 'OPT_EPSILON': '0.1',
        'BATCH_SIZE': '24', 'UPDATE_SIZE': '72', 'LABEL_SMOOTHING': '0', 'MASK_FEATURES': '0',
        'NORMALIZE': '1', 'ONLY_MU': '1', 'SHUFFLE_PARTS': '1', 'WEIGHTS': 'weights.npz',
        'COMP_SIZE': '-3', 'POST_FVE_SIZE': '100', 'AUX_LAMBDA': '0.4', 'AUX_RATE': '0.6',
        'AUX_STEP': '3', 'N_JOBS': '5', 'BIG': '-1', 'AUGMENTATIONS': 'random_crop'}, CS_PARTS)[1]
    data, model, training = settings.data, settings.model, settings.training
    assert model.ema_decay == .99
    assert training.epochs == 7
    assert (training.optimizer, training.epsilon) == ('adam', .1)
    assert (training.learning_rate, training.lr_target) == (1e-3, 1e-8)
    assert (training.lr_factor, training.lr_epochs) == (.5, [2, 4, 6])
    assert (training.batch_size, training.update_size) == (24, 72)
    assert training.label_smoothing == 0
    assert model.norm_filter is False
    assert model.l2_normalize is True and model.only_mean is True
    assert data.order == 'shuffled'
    assert model.pretrained == 'weights.npz'
    assert (model.comp_size, model.post_fve_size) == (-1, 100)
    assert (model.aux_lambda, model.aux_rate, model.aux_step) == (.4, .6, 3)
    assert training.workers == 5
    assert (data.input_size, data.part_input_size) == (107, 107)
    assert (data.flip, data.colour_jitter) == (False, 0)


@pytest.mark.parametrize('environ, message', [
    ({'DATASET': 'CUB'}, 'DATASET=CUB: must be one of CUB200'),
    ({'PARTS': 'CS'}, 'PARTS=CS: must be one of'),
    ({'FVE_TYPE': 'yes'}, 'FVE_TYPE=yes: must be one of no, em, grad'),
    ({'PARTS': 'GLOBAL', 'FVE_TYPE': 'em'}, 'set PARTS=GT'),
    ({'MASK_FEATURES': 'yes'}, 'MASK_FEATURES=yes: must be one of 0, 1'),
    ({'LR_STEP': '0'}, 'LR_STEP=0: must be a whole number of epochs'),
    ({'LR_STEP': 'often'}, 'LR_STEP=often'), ({'LR_STEP': '²'}, 'LR_STEP=²: must be a whole'),
    ({'N_JOBS': 'many'}, "N_JOBS=many: training.workers is 'many', but must be a whole number"),
    ({'EMA_ALPHA': '2'}, 'EMA_ALPHA=2: model.ema_decay is 2.0, but must be between'),
    ({'FEATURE_AGG': 'mean'}, 'FEATURE_AGG=mean: '),
    ({'N_MPI': '4'}, 'N_MPI=4: the number of processes is 1; use ./train.sh'),
    ({'INIT_MU': '5', 'N_COMPONENTS': '2'}, 'INIT_MU=5: '),
    ({'OUTPUT_FOLDER': 'x'}, 'OUTPUT_FOLDER=x: .* OUTPUT is the folder of one run'),
    ({'LOAD': 'a.npz', 'WEIGHTS': 'b.npz'}, 'LOAD and WEIGHTS exclude each other'),
    ({'LOAD': 'none.npz'}, 'none.npz: there is no such weights file'),
])
def test_bad_values(environ, message):
    with pytest.raises(InputError, match=message) as raised:
        read(environ)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('name, meant', [
    ('EPOCH', 'EPOCHS'), ('GPUS', 'GPU'), ('OPTIMISER', 'OPTIMIZER'), ('BATCHSIZE', 'BATCH_SIZE'),
    ('n_components', 'N_COMPONENTS'), ('LABEL_SMOTHING', 'LABEL_SMOOTHING'),
    ('FVETYPE', 'FVE_TYPE'), ('DRYRUN', 'DRY_RUN')])
def test_near_misses_are_refused(name, meant):
    with pytest.raises(InputError, match=f'{name}=1: there is no .*did you mean {meant}[?]'):
        read({name: '1'}, CS_PARTS)


@pytest.mark.parametrize('name', [
    'HOME', 'HOSTNAME', 'MODEL_NAME', 'outputs', 'LD_LIBRARY_PATH', 'PART_OF', 'SLURM_GPUS', 'LOG'])
def test_other_variables_are_not_ours(name):
    assert read({name: '1'}, CS_PARTS)[2:] == ([], [])


def test_number_of_components_is_a_start_of_the_means():
    assert 'INIT_MU: has no setting' in read({'INIT_MU': '5', 'N_COMPONENTS': '5'}, CS_PARTS)[3][0]
