"""The environment variables of the original's train.sh as settings."""
from pathlib import Path

from finetune.catalogue import DATA_SETS
from finetune.errors import InputError

HELP = """\
the original's environment variables choose a config and settings, too:
  DATASET=CUB200 PARTS=GT FVE_TYPE=em N_COMPONENTS=1 GPU=0 DRY_RUN=1 ./train.sh
DATASET: CUB200, NAB, BIRDSNAP, MINIBIRDS, DIGITS. PARTS: GLOBAL, GT, GT2, CS_PARTS.
FVE_TYPE: no, em, grad.
Also N_COMPONENTS, EMA_ALPHA, MASK_FEATURES, NORMALIZE, WEIGHTS, EPOCHS, OPTIMIZER, INIT_LR,
LR_STEP, LR_DECAY, BATCH_SIZE, UPDATE_SIZE, LABEL_SMOOTHING, SHUFFLE_PARTS, OUTPUT. Unset ones
keep the config's values. The original's other variables are refused."""

MAX_EPOCHS = 1000

DATASET_VALUES = {data_set.variable: name for name, data_set in DATA_SETS.items()}
PARTS_VALUES = {'GLOBAL': 'global', 'GT': 'gt', 'GT2': 'gt2', 'CS_PARTS': 'cs_parts'}
FVE_TYPE_VALUES = {'no': 'gap', 'em': 'fve', 'grad': 'gradient_fve'}
BOOLEANS = {'0': 'false', '1': 'true'}

SETTINGS = {
    'GPU': 'training.gpu', 'N_COMPONENTS': 'model.n_components', 'EMA_ALPHA': 'model.ema_decay',
    'WEIGHTS': 'model.pretrained', 'EPOCHS': 'training.epochs',
    'OPTIMIZER': 'training.optimizer', 'INIT_LR': 'training.learning_rate',
    'LR_DECAY': 'training.lr_factor', 'BATCH_SIZE': 'training.batch_size',
    'UPDATE_SIZE': 'training.update_size', 'LABEL_SMOOTHING': 'training.label_smoothing',
}
SWITCHES = {'MASK_FEATURES': 'model.norm_filter', 'NORMALIZE': 'model.l2_normalize'}

# Features of the original that are not supported: ignoring these variables would mislead.
UNSUPPORTED = ('COMP_SIZE', 'POST_FVE_SIZE', 'AUX_LAMBDA', 'AUX_RATE', 'AUX_STEP', 'BIG', 'FP16',
               'FEATURE_AGG', 'INIT_MU', 'INIT_SIG', 'LOAD', 'LR_TARGET', 'MODEL_TYPE', 'N_MPI',
               'OUTPUT_FOLDER', 'OUTPUT_PREFIX', 'PRE_TRAINING', 'PREPARE_TYPE')
HARMLESS = {'N_MPI': ('', '0', '1'), 'FEATURE_AGG': ('', 'concat'), 'PREPARE_TYPE': ('', 'model')}


def read(environ, config=None):
    """Config path and overrides from the variables.

    Args:
        environ (dict): Environment variables.
        config (str or None): A config named on the command line, which wins over DATASET, PARTS
            and FVE_TYPE.

    Returns:
        tuple: Path of the config, ``None`` if nothing names one, and a list of
        ``section.name=value``.

    Raises:
        finetune.errors.InputError: For a value the original did not have, or one that is not
            supported.

    """
    for name in UNSUPPORTED:
        if environ.get(name, '') not in HARMLESS.get(name, ('', '0')):
            raise InputError(f'{name}={environ[name]}: this setting of the original does not '
                             'exist here; unset it.')
    overrides = [f'{setting}={environ[name]}' for name, setting in SETTINGS.items()
                 if environ.get(name)]
    overrides += [f'{setting}={_choice(environ, name, BOOLEANS)}'
                  for name, setting in SWITCHES.items() if environ.get(name)]
    if environ.get('SHUFFLE_PARTS'):
        order = _choice(environ, 'SHUFFLE_PARTS', {'0': 'ordered', '1': 'shuffled'})
        overrides.append(f'data.order={order}')
    if environ.get('LR_STEP'):
        overrides.append(f'training.lr_epochs={_steps(environ["LR_STEP"])}')
    if config is None:
        config = _config(environ)
    return config, overrides


def _steps(step):
    """Epochs after which the learning rate drops: every ``step`` up to MAX_EPOCHS."""
    if not step.isdigit() or int(step) == 0:
        raise InputError(f'LR_STEP={step}: must be a whole number of epochs.')
    return list(range(int(step), MAX_EPOCHS, int(step)))


def _config(environ):
    if not any(environ.get(name) for name in ('DATASET', 'PARTS', 'FVE_TYPE')):
        return None
    dataset = _choice(environ, 'DATASET', DATASET_VALUES, 'CUB200')
    parts = _choice(environ, 'PARTS', PARTS_VALUES, 'GLOBAL')
    encoding = _choice(environ, 'FVE_TYPE', FVE_TYPE_VALUES, 'no')
    name = 'no_parts' if parts == 'global' else f'{parts}_{encoding}'
    if parts == 'global' and encoding != 'gap':
        raise InputError(f'FVE_TYPE={environ["FVE_TYPE"]}: there are no parts; set PARTS=GT.')
    path = Path('configs') / dataset / f'{name}.yml'
    if not path.exists():
        raise InputError(f'PARTS={environ["PARTS"]}: {dataset} has no config for these parts; '
                         'set PARTS=GT.')
    return str(path)


def _choice(environ, name, choices, default=None):
    value = environ.get(name) or default
    if value not in choices:
        raise InputError(f'{name}={value}: must be one of {", ".join(choices)}.')
    return choices[value]


def output(environ):
    """Folder for the results, or ``None``."""
    return environ.get('OUTPUT') or None


def is_dry_run(environ):
    """Whether DRY_RUN asks to stop after printing what would run."""
    return environ.get('DRY_RUN', '') not in ('', '0')
