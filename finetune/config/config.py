"""Configs: read from YAML, checked, compared and written."""
import copy
import dataclasses
import functools
import hashlib
import json

import yaml

from finetune.config.catalogue import (
    ARCHITECTURES, DATA_SETS, ENCODINGS, IMAGENET, PACKAGED_WEIGHTS)
from finetune.config.conditions import DETECTED, GRID
from finetune.config.project import HERE
from finetune.config.schema import check, dotted_names, fill, fill_override, read_yaml
from finetune.config.settings import Config, NO_EFFECT_ON_RESULTS
from finetune.errors import InputError, shortened

MAX_TILES = 16      # in a row or column of a grid
# Settings that determine the images, and the parts in them.
IMAGES = ('data.dataset', 'data.root', 'data.split', 'data.fold', 'data.drawing',
          'data.test_share', 'data.split_seed', 'data.train_per_class')
IMAGES_AND_PARTS = (*IMAGES, 'data.parts', 'data.boxes', 'data.grid', 'data.n_parts',
                    'detector.cnn')
# Settings that a run from a classifier hands on to the run of the classifier, which reads them.
OF_CLASSIFIER = 'model.pretrained', 'training.views'
PATHS = 'model.pretrained', 'model.checkpoint', 'detector.cnn'      # or names
EXPECTED = 'expect', 'expect_of_seeds', 'expect_elsewhere'


def read_config(path, overrides=(), project=HERE):
    """Reads and checks a YAML file; ``overrides`` win.

    Args:
        path (str or pathlib.Path): YAML with the sections of :class:`Config`, and optionally a
            ``base``: another config, whose settings it overrides.
        overrides (iterable of str): ``section.name=value``.
        project (finetune.config.project.Project): What paths are relative to.

    Raises:
        finetune.errors.InputError: For an unknown setting (the message names the nearest one), a
            setting without effect, or an invalid value.

    """
    config = Config()
    config.project = project
    in_file = _fill(config, str(path))
    config.file = str(path)
    check(config, str(path))
    _check_active(config, in_file, str(path))
    before, overridden = copy.deepcopy(config), []
    for override in overrides:
        names = fill_override(config, override)
        overridden.append((names, f'{path}, --set {shortened(override)}'))
        if set(names) - {'training.seed', *NO_EFFECT_ON_RESULTS}:
            forget_expected(config)         # it holds for the settings of the file only
    check(config, str(path))
    handed_on = OF_CLASSIFIER if is_config(config.model.checkpoint) else ()
    for names, where in overridden:
        _check_active(config, set(names) - set(handed_on), where)
    for one in before, config:
        _name_weights(one)
    _check_combinations(config, str(path))
    config.replaced = {name: get(before, name) for names, _ in overridden for name in names
                       if name not in EXPECTED}
    config.project = project.of(config.data)
    return config


def _fill(config, path, above=()):
    """Fills in the base and the file itself; returns the names that the file itself sets."""
    tree = read_yaml(config.project.find(path), config.project)
    if isinstance(tree, dict) and 'base' in tree:
        base = tree.pop('base')
        if not isinstance(base, str) or not is_config(base) or base in (path, *above):
            raise InputError(f'{path}: base is {shortened(repr(base))}, but must be the YAML of '
                             'another experiment that is not based on this one.')
        _fill(config, base, (path, *above))
        forget_expected(config)
    return fill(config, tree, path)


def restore_config(path, project=HERE):
    """Reads the settings of a run, which :func:`dump` wrote."""
    config = Config()
    config.project = project
    names = fill(config, read_yaml(path), str(path))
    if not names:
        raise InputError(f'{path}: has no settings; copy the folder of the run again, or move it '
                         'away to repeat the run.')
    if not config.training.is_joint and 'model.power_normalize' not in names:
        # Before there were these settings, the conventional pipeline always did both.
        config.model.power_normalize = config.model.l2_normalize = True
    check(config, str(path))
    config.project = project.of(config.data)
    return config


def change(config, overrides, allowed):
    """Changes settings of a run in place.

    Args:
        config (Config): Settings of the run.
        overrides (iterable of str): ``section.name=value``.
        allowed (iterable of str): Dotted names of the settings that may change; all others belong
            to the trained model.

    """
    for override in overrides:
        names, where = fill_override(config, override), f'--set {shortened(override)}'
        for name in set(names) - set(allowed):
            raise InputError(f'{where}: {name} belongs to the trained model; only '
                             f'{", ".join(allowed)} can be set.')
        check(config, where)
        _check_active(config, names, where)
        _check_combinations(config, where)


def _check_active(config, names, where):
    for name in names:
        needs = _metadata(name).get('needs')
        if needs and not needs.holds(config):
            raise InputError(f'{where}: {name} has no effect without {needs.text}; leave it out.')


@functools.cache
def _metadata(name):
    """What :func:`finetune.config.schema.setting` declares about a setting."""
    settings = Config
    for part in name.split('.'):
        field, = (row for row in dataclasses.fields(settings) if row.name == part)
        settings = field.type
    return field.metadata


def _name_weights(config):
    """Names ImageNet's weights of the architecture, if a package has them."""
    model = config.model
    if model.pretrained == IMAGENET and not config.project.path(IMAGENET).exists():
        names = (name for name, row in PACKAGED_WEIGHTS.items()
                 if row.architecture == model.architecture)
        model.pretrained = next(names, IMAGENET)


def _check_combinations(config, path):
    data, model, training = config.data, config.model, config.training
    if ENCODINGS[model.encoding].needs_all_parts and data.missing == 'mask' and data.has_parts:
        raise InputError(f'{path}: data.missing is mask, but {model.encoding} needs one slot for '
                         'every part; use zero or centre, or the encoding fve.')
    if not data.has_parts and model.aux_lambda:
        raise InputError(f'{path}: model.aux_lambda is {model.aux_lambda}, but without parts '
                         f'(data.parts {data.parts}) there is no part stream; leave it out.')
    if GRID.holds(config) and not (len(data.grid) == 2 and 1 <= min(data.grid) <= max(data.grid)
                                   <= MAX_TILES):
        raise InputError(f'{path}: data.grid is {data.grid}, but must be two numbers between 1 and '
                         f'{MAX_TILES}, rows and columns.')
    if DETECTED.holds(config) and data.box_frame != config.detector.input_size:
        raise InputError(f'{path}: the detector finds boxes in images of detector.input_size, '
                         f'{config.detector.input_size}; set data.box_frame to '
                         f'{config.detector.input_size}.')
    if config.detector.folds == 1:
        raise InputError(f'{path}: detector.folds is 1, but an SVM needs the images of '
                         'other folds; set it to 5, or to 0 for no folds.')
    smallest = ARCHITECTURES[model.architecture].smallest_input
    for name in active_names(config):
        if name in ('data.input_size', 'data.part_input_size') and get(config, name) < smallest:
            raise InputError(f'{path}: {name} is {get(config, name)}, but {model.architecture} '
                             f'needs at least {smallest}.')
    if data.split == 'pretraining' and not DATA_SETS[data.dataset].has_pretraining:
        available = [name for name, row in DATA_SETS.items() if row.has_pretraining]
        raise InputError(f'{path}: data.split pretraining exists for {", ".join(available)} only.')
    if model.pretrained == IMAGENET and not config.project.path(IMAGENET).exists():
        raise InputError(f'{path}: model.pretrained is {IMAGENET}, but no package has weights of '
                         f'{model.architecture}; give the path of a file of weights (python -m '
                         'finetune list weights).')
    packaged = PACKAGED_WEIGHTS.get(model.pretrained)
    if packaged and packaged.architecture != model.architecture:
        raise InputError(f'{path}: model.pretrained is {model.pretrained}, but model.architecture '
                         f'is {model.architecture}; set both to the same CNN.')
    if not training.is_joint and (model.encoding != 'fve' or not is_config(model.pretrained)):
        raise InputError(f'{path}: training.method is conventional, which needs model.encoding fve '
                         'and, as model.pretrained, the YAML of the run that fine-tunes the CNN.')
    if 'pretraining' in data.drawing:
        raise InputError(f'{path}: data.drawing has no option pretraining; use data.split.')


def is_config(path):
    """Whether a value of ``model.pretrained`` or ``model.checkpoint`` names a config."""
    return path.endswith(('.yml', '.yaml'))


def differences(config, other, ignored=()):
    """Dotted names of the settings in which two configs differ, if the settings have an effect."""
    active = {*active_names(config), *active_names(other)} - set(ignored)
    return [name for name in dotted_names(Config)
            if name in active and get(config, name) != get(other, name)]


def active_names(config):
    """Dotted names of the settings that have an effect in a config."""
    names = ((name, _metadata(name)['needs']) for name in dotted_names(Config))
    return [name for name, needs in names if needs is None or needs.holds(config)]


def fingerprint(config, ignored=(), names=None):
    """Hash, twelve hexadecimal digits, of the settings that have an effect, or of ``names``."""
    values = {name: get(config, name) for name in active_names(config)
              if name not in ignored and (names is None or name in names)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def get(config, name):
    """Value of a setting by its dotted name."""
    section, key = name.split('.')
    return getattr(getattr(config, section), key)


def dump(config):
    """YAML text of all settings that have an effect, and of the file that they are from."""
    tree = {}
    for name in active_names(config):
        section, key = name.split('.')
        tree.setdefault(section, {})[key] = get(config, name)
    others = {name: getattr(config, name) for name in (*EXPECTED, 'file')}
    if 'data.dataset' in config.replaced:       # without it, the runs needed would be others
        others['replaced'] = {'data.dataset': config.replaced['data.dataset']}
    return yaml.safe_dump({**tree, **others}, sort_keys=False, default_flow_style=None)


def forget_expected(config):
    """Removes the expected results from a config whose settings differ from the file's."""
    for name in EXPECTED:
        setattr(config, name, getattr(Config(), name))
