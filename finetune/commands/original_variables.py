"""Maps the environment variables of the original's train.sh to a config and settings."""
import copy
import difflib
from pathlib import Path

from finetune.config.catalogue import DATA_SETS
from finetune.config.config import active_names, get, read_config
from finetune.config.project import HERE
from finetune.config.schema import check, fill, fill_override, override_of
from finetune.errors import InputError, shortened
from finetune.ranks import processes

HELP = """\
The original's environment variables also choose a config and settings:
  DATASET=CUB200 PARTS=GT FVE_TYPE=em N_COMPONENTS=1 GPU=0 DRY_RUN=1 ./train.sh
DATASET: CUB200, NAB, BIRDSNAP, MINIBIRDS, DIGITS. PARTS: GLOBAL, GT, GT2, CS_PARTS.
FVE_TYPE: no, em, grad. SHUFFLE_PARTS=1 and N_COMPONENTS=5 choose the config of that
row of the paper, if it exists. Unset variables keep the config's values. The program
prints the changes. docs/original_variables.md lists all variables."""

# Variables that choose a config, and the names of their values in the config's path.
CONFIG = {
    'DATASET': {data_set.variable: name for name, data_set in DATA_SETS.items()
                if data_set.variable},
    'PARTS': {'GLOBAL': 'global', 'GT': 'gt', 'GT2': 'gt2', 'CS_PARTS': 'cs_parts'},
    'FVE_TYPE': {'no': 'gap', 'em': 'fve', 'grad': 'gradient_fve'},
}
MAX_EPOCHS = 100000
SAME_SPELLING = .85     # difflib's ratio from which a name counts as misspelt


def _switch(setting):
    return {'0': {setting: False}, '1': {setting: True}}


def _size(setting):
    """Every negative size stands for the size of the preceding layer."""
    return lambda value: {setting: -1 if value.startswith('-') else value}


def _steps(value):
    """Learning rate drops after every ``value`` epochs."""
    if not value.isdecimal() or int(value) == 0:
        raise InputError(f'LR_STEP={value}: must be a whole number of epochs.')
    return {'training.lr_epochs': list(range(int(value), MAX_EPOCHS, int(value)))}


def _augmentations(value):
    words = set(value.split())
    if not {'random_crop'} <= words <= {'random_crop', 'random_flip', 'color_jitter'}:
        raise InputError(f'AUGMENTATIONS={value}: must be random_crop, which is always on here, '
                         'with or without random_flip and color_jitter.')
    return {'data.flip': 'random_flip' in words,
            'data.colour_jitter': .3 if 'color_jitter' in words else 0}


def _loaded(value, project):
    """A classifier, with its settings except the encoding if the authors' code saved it."""
    from finetune.weights import original_classifier, pretrained
    arrays = pretrained.read_weights(project.path(value))
    settings = {'model.checkpoint': value}
    if original_classifier.is_original(arrays):
        found = original_classifier.settings_of(arrays, value)
        settings.update({f'model.{name}': item for name, item in found.items()
                         if name != 'encoding'})
        settings['data.missing'] = 'centre'
    return settings


# By variable: name of the setting, settings by value, or a function of the value. Later ones win.
SETTINGS = {
    'MODEL_TYPE': {f'cvmodelz.{name}': {'model.architecture': architecture}
                   for name, architecture in {'InceptionV3': 'inception_v3', 'VGG16': 'vgg16',
                                              'ResNet50': 'resnet50'}.items()},
    'PRE_TRAINING': {name: {'model.pretrained': f'models/model.{name}.ckpt.npz'}
                     for name in ('inat', 'imagenet')},
    'WEIGHTS': 'model.pretrained', 'LOAD': 'model.checkpoint',
    'GPU': 'training.gpu', 'N_JOBS': 'training.workers',
    'BIG': {'0': {}, '1': {'data.input_size': 427},
            '-1': {'data.input_size': 107, 'data.part_input_size': 107}},
    'AUGMENTATIONS': _augmentations,
    'SHUFFLE_PARTS': {'0': {'data.order': 'ordered'}, '1': {'data.order': 'shuffled'}},
    'N_COMPONENTS': 'model.n_components', 'EMA_ALPHA': 'model.ema_decay',
    'MASK_FEATURES': _switch('model.norm_filter'), 'NORMALIZE': _switch('model.l2_normalize'),
    'ONLY_MU': _switch('model.only_mean'), 'COMP_SIZE': _size('model.comp_size'),
    'POST_FVE_SIZE': _size('model.post_fve_size'), 'AUX_LAMBDA': 'model.aux_lambda',
    'AUX_RATE': 'model.aux_rate', 'AUX_STEP': 'model.aux_step',
    'EPOCHS': 'training.epochs', 'BATCH_SIZE': 'training.batch_size',
    'UPDATE_SIZE': 'training.update_size', 'LABEL_SMOOTHING': 'training.label_smoothing',
    'OPTIMIZER': 'training.optimizer', 'OPT_EPSILON': 'training.epsilon',
    'INIT_LR': 'training.learning_rate', 'LR_DECAY': 'training.lr_factor', 'LR_STEP': _steps,
    'LR_TARGET': 'training.lr_target',
    'FP16': {'0': {'training.dtype': 'float32'}, '1': {'training.dtype': 'mixed16'}},
}

# Variables without a setting: the allowed values, and what replaces them. Other values are refused,
# as they would change the results or their place; None allows any value. A variable's name among
# the values stands for its value.
KMEANS = 'the mixture starts from k-means on the first batch'
PLACE = 'results go to results/<config>/seed<k>; OUTPUT is the folder of one run'
DATA_BASE = 'results are files, not entries of a database'
INSTEAD = {
    'CONDA_ENV': (None, 'the active environment is used, or environment.sh makes one'),
    'MAIN_SCRIPT': (None, 'the program is python -m finetune'),
    'PROFILE': (None, 'python -m finetune runtime measures the time of each step'),
    'CUDA_MEMCHECK': (None, 'no cuda-memcheck is started'),
    'HOSTFILE': (None, 'pass it to mpiexec: mpiexec -f HOSTFILE -n 4 python -m finetune train'),
    'N_MPI': (None, './train.sh starts this number of processes for one run'),
    'DATA': ((), 'data sets are in data/, or at data.root'),
    'OPTS': ((), 'options are given on the command line, settings with --set'),
    'CACHE_IMAGES': (None, 'images are read again in every epoch; N_JOBS processes load them'),
    'VACUUM': (None, 'the program deletes no results'),
    'LABEL_SHIFT': (('0', '1'), 'classes are always numbered from 0, and none is lost'),
    'PREPARE_TYPE': (('model',), 'images are prepared as InceptionV3 expects them'),
    'FEATURE_AGG': (('concat',), 'without FVE the features of all parts are concatenated'),
    'INIT_MU': (('1', 'N_COMPONENTS'), KMEANS), 'INIT_SIG': (('1',), KMEANS),
    '_init_from_gap': (('0',), KMEANS),
    'OUTPUT_FOLDER': ((), PLACE), 'OUTPUT_PREFIX': ((), PLACE),
    **{f'MONGODB_{name}': (None, DATA_BASE)
       for name in ('USER_NAME', 'PASSWORD', 'DB_NAME', 'HOST', 'PORT')},
}


def config(environ, project=HERE):
    """Path of the config that DATASET, PARTS and FVE_TYPE name, or ``None`` if they are unset.

    N_COMPONENTS and SHUFFLE_PARTS choose a more specific config, if it exists.
    """
    if not any(environ.get(name) for name in CONFIG):
        return None
    defaults = {'DATASET': 'CUB200', 'PARTS': 'GLOBAL', 'FVE_TYPE': 'no'}
    dataset, parts, encoding = (_choice(environ, name, values, defaults[name])
                                for name, values in CONFIG.items())
    name = 'no_parts' if parts == 'global' else f'{parts}_{encoding}'
    if parts == 'global' and encoding != 'gap':
        raise InputError(f'FVE_TYPE={environ["FVE_TYPE"]}: there are no parts; set PARTS=GT.')
    shuffled = '_shuffled' if environ.get('SHUFFLE_PARTS') == '1' else ''
    components = f'_k{environ["N_COMPONENTS"]}' if environ.get('N_COMPONENTS') else ''
    for ending in (shuffled + components, shuffled, components, ''):
        path = Path('configs') / dataset / f'{name}{ending}.yml'
        if project.find(path).exists():
            return str(path)
    raise InputError(f'PARTS={environ["PARTS"]}: {dataset} has no config for these parts; '
                     'set PARTS=GT.')


def overrides(environ, path, options=(), project=HERE):
    """Overrides of a config that the variables ask for.

    Values that equal the config's, and settings without effect, are no overrides, so that
    ``report`` finds the run.

    Args:
        environ (dict): Environment variables.
        path (str): The config.
        options (iterable of str): Overrides that win over the variables.
        project (finetune.config.project.Project): What paths are relative to.

    Returns:
        tuple: List of ``section.name=value``, and a list of sentences on the effects of the
        variables.

    Raises:
        finetune.errors.InputError: For a value that the original lacks, or a variable that would
            change the results and is not supported.

    """
    _check_spelling(environ)
    given = {name: environ[name] for name in (*CONFIG, *SETTINGS, *INSTEAD) if environ.get(name)}
    if not given:
        return [], []
    if 'LOAD' in given and 'WEIGHTS' in given:
        raise InputError('LOAD and WEIGHTS exclude each other; set LOAD for a whole classifier, or '
                         'WEIGHTS for the CNNs.')
    of_file, asked = read_config(path, project=project), {}
    merged = copy.deepcopy(of_file)
    notes = [*_outvoted(given, path, of_file), *_instead(given)]
    for name in SETTINGS:
        if name in given:
            where = f'{name}={given[name]}'
            for setting, value in _settings(name, given[name], project).items():
                section, key = setting.split('.')
                fill(merged, {section: {key: value}}, where)
                check(merged, where)
                asked[setting] = where
    if (of_file.data.order, merged.data.order) == ('shuffled_once', 'shuffled'):
        merged.data.order = 'shuffled_once'
    for option in options:
        fill_override(merged, option)
    training, active = merged.training, active_names(merged)
    training.lr_epochs = [epoch for epoch in training.lr_epochs if epoch < training.epochs]
    notes += [f'{where}: skipped, {setting} has no effect with {path}'
              for setting, where in asked.items() if setting not in active]
    changes = [override_of(setting, get(merged, setting)) for setting in asked
               if setting in active and get(merged, setting) != get(of_file, setting)]
    if changes:
        notes.append(f'Environment variables set {", ".join(changes)}')
    return changes, notes


def _check_spelling(environ):
    """Raises an error for a variable whose name is a misspelling of a known one."""
    names = (*CONFIG, *SETTINGS, 'DRY_RUN', 'OUTPUT')
    spellings = {spelling: name for name in names for spelling in (name, name.replace('_', ''))}
    for name in sorted({*filter(environ.get, environ)} - {*names, *INSTEAD}):
        similar = difflib.get_close_matches(name, names, 1, SAME_SPELLING)
        match = spellings.get(name.upper()) or ''.join(similar)
        if match:
            raise InputError(f'{name}={shortened(environ[name])}: there is no variable {name}; '
                             f'did you mean {match}? Unset it if it is not for this program.')


def _settings(name, value, project):
    """Settings that a variable sets."""
    if name == 'LOAD':
        return _loaded(value, project)
    meaning = SETTINGS[name]
    if isinstance(meaning, str):
        return {meaning: value}
    return meaning(value) if callable(meaning) else _choice({name: value}, name, meaning)


def _outvoted(given, path, of_file):
    """Sentences on config-choosing variables that the config on the command line overrides."""
    choices = of_file.data.dataset, of_file.data.parts.lower(), of_file.model.encoding
    for (name, values), choice in zip(CONFIG.items(), choices):
        if name in given and _choice(given, name, values) != choice:
            yield f'{name}={given[name]}: skipped, {path} is given'


def _instead(given):
    """Sentences on the variables that have no setting here."""
    if given.get('N_MPI', '1') not in ('0', '1', str(processes.size())):
        raise InputError(f'N_MPI={given["N_MPI"]}: the number of processes is {processes.size()}; '
                         'use ./train.sh, or mpiexec -n N python -m finetune train.')
    for name, (values, text) in INSTEAD.items():
        allowed = [given.get(value, value) for value in values or ()]
        if values is not None and name in given and given[name] not in allowed:
            raise InputError(f'{name}={given[name]}: {text}; unset it.')
        if given.get(name, '0') != '0':
            yield f'{name}: has no setting here, {text}'


def _choice(environ, name, choices, default=None):
    value = environ.get(name) or default
    if value not in choices:
        raise InputError(f'{name}={value}: must be one of {", ".join(choices)}.')
    return choices[value]


def output(environ):
    return environ.get('OUTPUT') or None


def is_dry_run(environ):
    """Whether DRY_RUN asks for a dry run."""
    return environ.get('DRY_RUN', '') not in ('', '0')
