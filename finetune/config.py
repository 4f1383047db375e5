"""Every setting of an experiment: its name, default and meaning; YAML files and overrides."""
import dataclasses
from dataclasses import dataclass, field
import difflib
from pathlib import Path
import typing

import yaml

from finetune.errors import InputError


@dataclass
class Data:
    dataset: str = 'cub200'         # cub200, nabirds, birdsnap; minibirds, digits: drawn on use
    split: str = ''                 # 'tuning': a fifth of the training images is tested on instead
                                    # of the test images; 'pretraining': minibirds of other species
    root: str = ''                  # its folder; empty: data/<dataset>
    drawing: dict = field(default_factory=dict)     # options of minibirds' and digits' drawing
    parts: str = 'GT'               # GLOBAL: none; GT: points; GT2: groups of them; CS_PARTS: boxes
    part_ratio: float = 0.31        # crops around points: share of the image's width and height
    box_frame: int = 427            # boxes are in pixels of such a square; 0: of the image
    box_frame_fit: str = 'crop'     # how the image fits the square: centre crop, or squash
    missing: str = 'zero'           # hidden parts: zero features, mask (left out), centre crop
    order: str = 'ordered'          # of the parts; shuffled: one permutation per image, by seed
    input_size: int = 299           # pixels, global image
    part_input_size: int = 299      # pixels, part crops
    flip: bool = True               # random horizontal flips in training
    colour_jitter: float = 0.3      # largest change of brightness, contrast, saturation


@dataclass
class Model:
    architecture: str = 'inception_v3'      # or small_cnn
    pretrained: str = ''            # .npz of weights, or the YAML of the run that makes them
    encoding: str = 'fve'           # of the parts: gap, fve, gradient_fve
    n_components: int = 1           # K
    ema_decay: float = 0.9          # lambda in Eqs. 6-9
    norm_filter: bool = True        # only local features with a norm above their image's mean
    normalization: str = 'sqrt'     # of the Fisher vector: sqrt (Eqs. 13, 14) or mean (VLFeat)
    l2_normalize: bool = False      # Fisher vectors to unit length
    init: str = 'kmeans'            # of the mixture: kmeans or random
    var_floor: float = 1e-3         # smallest variance of the mixture
    pca_size: int = 64              # conventional pipeline: what local features are reduced to


@dataclass
class Training:
    joint: bool = True              # false: mixture, encoding and SVM after the CNN (Sect. 4.4)
    svm_c: float = 1.               # conventional pipeline: C of the linear SVM
    epochs: int = 60
    optimizer: str = 'rmsprop'      # or adam, sgd (momentum 0.9)
    learning_rate: float = 1e-4
    lr_factor: float = 0.1          # the learning rate is multiplied by this ...
    lr_epochs: typing.List[int] = field(default_factory=lambda: [20, 40])   # ... after these
    update_size: int = 64           # images per update of the weights
    batch_size: int = 8             # images per forward pass; gradients are accumulated
    label_smoothing: float = 0.1
    weight_decay: float = 5e-4
    workers: int = 0                # processes that load images beside the training; same results
    gpu: int = -1                   # device id; -1: CPU
    seed: int = 0                   # of everything random


@dataclass
class Config:
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    expect: str = ''                # what the run should give, printed beside its result


CHOICES = {
    'data.dataset': ('cub200', 'nabirds', 'birdsnap', 'minibirds', 'digits'),
    'data.split': ('', 'tuning', 'pretraining'),
    'data.parts': ('GLOBAL', 'GT', 'GT2', 'CS_PARTS'),
    'data.box_frame_fit': ('crop', 'squash'),
    'data.missing': ('zero', 'mask', 'centre'),
    'data.order': ('ordered', 'shuffled'),
    'model.architecture': ('inception_v3', 'small_cnn'),
    'model.encoding': ('gap', 'fve', 'gradient_fve'),
    'model.normalization': ('sqrt', 'mean'),
    'model.init': ('kmeans', 'random'),
    'training.optimizer': ('rmsprop', 'adam', 'sgd'),
}

RANGES = {      # smallest and largest value, both allowed
    'data.part_ratio': (0.01, 1), 'data.box_frame': (0, 100000), 'data.input_size': (16, 4096),
    'data.part_input_size': (16, 4096), 'data.colour_jitter': (0, 1),
    'model.n_components': (1, 4096), 'model.ema_decay': (0, 1 - 1e-9),
    'model.var_floor': (1e-12, 1e6), 'model.pca_size': (1, 4096),
    'training.svm_c': (1e-9, 1e9),
    'training.epochs': (1, 100000), 'training.learning_rate': (1e-12, 100),
    'training.lr_factor': (0, 1), 'training.update_size': (1, 100000),
    'training.batch_size': (1, 100000), 'training.label_smoothing': (0, 0.999),
    'training.weight_decay': (0, 100), 'training.workers': (0, 256),
    'training.gpu': (-1, 64), 'training.seed': (0, 2 ** 31 - 1),
}


def load(path, overrides=()):
    """Reads a YAML file; ``overrides`` win.

    Args:
        path (str or pathlib.Path): YAML with the sections of :class:`Config`.
        overrides (iterable of str): ``section.name=value``.

    Returns:
        Config: All settings, checked.

    Raises:
        finetune.errors.InputError: For an unknown setting (names the nearest one) or a value that
            does not fit.

    """
    config = Config()
    _fill(config, _read_yaml(path), str(path))
    for override in overrides:
        name, equals, text = override.partition('=')
        if not equals:
            raise InputError(f'--set {override}: has no value; write --set section.name=value.')
        tree = _parse(text, f'--set {override}')
        for key in reversed(name.strip().split('.')):
            tree = {key: tree}
        _fill(config, tree, f'--set {override}')
        if name.strip() not in ('training.seed', 'training.gpu'):
            config.expect = ''      # was said of other settings
    _check(config, str(path))
    return config


def _read_yaml(path):
    try:
        text = Path(path).read_text(encoding='utf-8')
    except FileNotFoundError:
        raise InputError(f'{path}: there is no such config; configs/ holds the ones that come '
                         'with the program.')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path}: cannot be read ({error}).')
    tree = _parse(text, str(path))
    if tree is not None and not isinstance(tree, dict):
        raise InputError(f'{path}: a config has the sections data, model and training.')
    return tree or {}


def _parse(text, where):
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        problem = getattr(error, 'problem', None) or 'not valid'
        raise InputError(f'{where}{line}: this is not YAML ({problem}); correct the line.')


def _fill(section, tree, where, prefix=''):
    """Sets the fields of a dataclass from a dict, section by section."""
    if not isinstance(tree, dict):
        raise InputError(f'{where}: {prefix.rstrip(".") or "the config"} is a section; '
                         'give name: value pairs.')
    types = typing.get_type_hints(type(section))
    for key, value in tree.items():
        if key not in types:
            raise InputError(f'{where}: there is no setting {prefix}{key}{_nearest(prefix, key)}')
        if dataclasses.is_dataclass(types[key]):
            _fill(getattr(section, key), value or {}, where, f'{prefix}{key}.')
        elif types[key] is dict:
            getattr(section, key).update(_convert(dict, value, f'{where}: {prefix}{key}'))
        else:
            setattr(section, key, _convert(types[key], value, f'{where}: {prefix}{key}'))


def _nearest(prefix, key):
    by_ending = [name for name in names() if name.split('.')[1] == key]
    match = by_ending or difflib.get_close_matches(f'{prefix}{key}', names(), 1, 0)
    return f'; did you mean {match[0]}?' if match else '.'


def _convert(kind, value, where):
    """Converts by the field's type: PyYAML reads 1e-3 as text."""
    try:
        if kind is bool or isinstance(value, bool):
            if kind is bool and isinstance(value, bool):
                return value
        elif kind is int and float(value) == int(float(value)):
            return int(float(value))
        elif kind is float:
            return float(value)
        elif kind is str and isinstance(value, (str, int, float)):
            return str(value)
        elif kind is dict and isinstance(value, dict):
            return value
        elif kind == typing.List[int] and isinstance(value, list):
            return [_convert(int, item, where) for item in value]
        elif kind is str and value is None:
            return ''
    except (TypeError, ValueError, OverflowError):
        pass
    expected = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'text',
                dict: 'name: value pairs'}
    raise InputError(f'{where} is {value!r}, but must be '
                     f'{expected.get(kind, "a list of whole numbers")}.')


def _check(config, path):
    for name, choices in CHOICES.items():
        if get(config, name) not in choices:
            raise InputError(f'{path}: {name} is {get(config, name)!r}, but must be one of '
                             f'{", ".join(c or repr(c) for c in choices)}.')
    for name, (low, high) in RANGES.items():
        if not low <= get(config, name) <= high:
            raise InputError(f'{path}: {name} is {get(config, name)}, but must be between {low} '
                             f'and {high:g}.')
    if (config.model.encoding, config.data.missing) == ('gap', 'mask') and (
            config.data.parts != 'GLOBAL'):
        raise InputError(f'{path}: data.missing is mask, but gap needs one slot for every part; '
                         'use zero or centre, or the encoding fve.')
    if config.data.parts == 'GLOBAL' and config.model.encoding != 'gap':
        raise InputError(f'{path}: model.encoding is {config.model.encoding}, but without parts '
                         '(data.parts GLOBAL) there is nothing to encode; use gap.')
    for name in ('data.input_size', 'data.part_input_size'):
        if config.model.architecture == 'inception_v3' and get(config, name) < 75:
            raise InputError(f'{path}: {name} is {get(config, name)}, but inception_v3 needs at '
                             'least 75.')
    if config.data.split == 'pretraining' and config.data.dataset != 'minibirds':
        raise InputError(f'{path}: data.split pretraining exists for minibirds only.')
    if not config.training.joint and (
            config.model.encoding != 'fve' or not is_config(config.model.pretrained)):
        raise InputError(f'{path}: training.joint is false, which needs model.encoding fve and as '
                         'model.pretrained the YAML of the run that fine-tunes the CNN.')
    if 'pretraining' in config.data.drawing:
        raise InputError(f'{path}: data.drawing has no option pretraining; use data.split.')


def is_config(path):
    """Whether a value of ``model.pretrained`` names a config rather than weights."""
    return path.endswith(('.yml', '.yaml'))


def differences(one, other, besides=()):
    """Dotted names of the settings in which two configs differ, but for some of them."""
    return [name for name in names() if name not in besides and get(one, name) != get(other, name)]


def names():
    """Dotted names of all settings."""
    return [f'{section.name}.{setting.name}' for section in dataclasses.fields(Config)
            if dataclasses.is_dataclass(section.type)
            for setting in dataclasses.fields(section.type)]


def get(config, name):
    """Value of a setting by its dotted name."""
    section, setting = name.split('.')
    return getattr(getattr(config, section), setting)


def dump(config):
    """All settings as YAML text."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, default_flow_style=None)
