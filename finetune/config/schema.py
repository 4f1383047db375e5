"""How settings are declared, read from YAML and checked."""
import dataclasses
import difflib
from pathlib import Path
import re
import typing

import yaml

from finetune.config.project import HERE
from finetune.errors import InputError, shortened
from finetune.files import read_text

KINDS = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'text',
         dict: 'name: value pairs', list[int]: 'a list of whole numbers'}


# Settings that were renamed: old name, new name.
RENAMED = {'model.classifier': 'model.checkpoint',
           'training.joint': 'training.method (joint or conventional)'}

MAX_DEPTH = 20      # of brackets
SIMILAR = .6        # ratio of a name to one that is meant
WRITTEN_OTHERWISE = {f'tag:yaml.org,2002:{kind}' for kind in ('int', 'float', 'timestamp')}


class Needs(typing.NamedTuple):
    """The condition under which a setting is read."""

    text: str
    holds: typing.Callable      # takes the whole config

    def __and__(self, other):
        return Needs(f'{self.text} and {other.text}',
                     lambda config: self.holds(config) and other.holds(config))


def setting(default, comment, *, choices=None, between=None, needs=None):
    """Declares a setting: a field of a dataclass.

    Args:
        default: Default value.
        comment (str): Meaning, in one line.
        choices (iterable of str or None): Allowed values.
        between (tuple or None): Smallest and largest allowed value.
        needs (Needs or None): Condition under which the setting is read; ``None``: always.

    """
    metadata = {'comment': comment, 'choices': choices, 'between': between, 'needs': needs}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class _Loader(yaml.SafeLoader):

    """PyYAML's safe loader without duplicate keys, references and deep nesting.

    PyYAML silently keeps the last of duplicate keys, and a few lines of references can fill the
    memory.
    """

    depth = 0

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            self._refuse('references are not supported')
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._refuse('nested too deeply')
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, problem):
        raise yaml.composer.ComposerError(None, None, problem, self.peek_event().start_mark)

    def construct_mapping(self, node, deep=False):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        keys = [key.value for key, _ in pairs]
        for i, (key, _) in enumerate(pairs):
            if key.value in keys[:i]:
                raise yaml.constructor.ConstructorError(
                    None, None, f'{key.value} is given twice', key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_written(self, node):
        tree = _Written()
        yield tree
        tree.update(self.construct_mapping(node))
        tree.texts = {key.value: value.value for key, value in node.value
                      if value.tag in WRITTEN_OTHERWISE}


# PyYAML takes 010 for 8, 1:30 for 90 and 1_000 for 1000.
WHOLE_NUMBER = 'tag:yaml.org,2002:int'
_Loader.yaml_implicit_resolvers = {
    first: [row for row in rows if row[0] != WHOLE_NUMBER]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(WHOLE_NUMBER, re.compile(r'[-+]?[0-9]+$'), list('-+0123456789'))
_Loader.add_constructor(WHOLE_NUMBER, lambda loader, node: int(loader.construct_scalar(node)))


class _Written(dict):

    """Names and values, with the texts of those values whose text YAML would change: 2021_06."""

    texts: typing.ClassVar[dict] = {}


_Loader.add_constructor('tag:yaml.org,2002:map', _Loader.construct_written)


def read_yaml(path, project=HERE):
    """Reads a file of name: value pairs as a dict; a message about a missing file names the
    project."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        if not Path(path).suffix:
            raise InputError(f'{path}: there is no such folder of photographs and no such config'
                             f'{project.named}; give a folder that has one folder of pictures per '
                             'class, or a config, such as one in configs/.')
        raise InputError(f'{path}: there is no such config{project.named}; configs/ has those '
                         'that come with the program.')
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); make it readable.')
    tree = parse(text, str(path))
    if tree is not None and not isinstance(tree, dict):
        raise InputError(f'{path}: is not a config; write the sections data, model and training.')
    return tree or {}


def parse(text, where):
    try:
        return yaml.load(text, _Loader)
    except Exception as error:      # YAML's own, or of a conversion such as the date 2020-13-45
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        problem = getattr(error, 'problem', None) or 'not valid'
        raise InputError(f'{where}{line}: this is not YAML ({problem}); correct the line.')


def fill(section, tree, where, prefix='', names=None):
    """Sets the fields of a dataclass, and of nested dataclasses, from a dict.

    Args:
        section: Instance of a dataclass whose fields are :func:`setting` or such dataclasses.
        tree (dict): Names and values.
        where (str): Source of ``tree``, for messages.
        prefix (str): Prefix of the names, for messages.
        names (list of str): All dotted names, to suggest the nearest one for an unknown name.

    Returns:
        list of str: Dotted names of the settings that ``tree`` sets.

    """
    if not isinstance(tree, dict):
        raise InputError(f'{where}: {prefix.rstrip(".") or "the config"} is a section; '
                         'give name: value pairs.')
    types = typing.get_type_hints(type(section))
    names = dotted_names(section) if names is None else names
    filled = []
    for key, value in tree.items():
        name = f'{prefix}{key}'
        if key not in types:
            raise InputError(f'{where}: there is no setting {name}{_nearest(name, names)}')
        if dataclasses.is_dataclass(types[key]):
            filled += fill(getattr(section, key), {} if value is None else value, where,
                           f'{name}.', names)
            continue
        filled.append(name)
        if types[key] is str:
            value = getattr(tree, 'texts', {}).get(key, value)
        value = _converted(types[key], value, f'{where}: {name}')
        if types[key] is dict:
            getattr(section, key).update(value)
        else:
            setattr(section, key, value)
    return filled


def fill_override(config, override):
    """Applies ``section.name=value``; returns the dotted names of the settings.

    The value of a text is the text itself without blanks around it, or what YAML's quotation marks
    around it enclose; other values are YAML.
    """
    name, equals, text = override.partition('=')
    name, text, where = name.strip(), text.strip(), f'--set {shortened(override)}'
    if not equals:
        raise InputError(f'{where}: has no value; write --set section.name=value.')
    is_text = _kind(type(config), name) is str and not _is_quoted(text)
    tree = text if is_text else parse(text, where)
    for key in reversed(name.split('.')):
        tree = {key: tree}
    return fill(config, tree, where)


def override_of(name, value):
    """The ``section.name=value`` by which :func:`fill_override` sets exactly this value."""
    if not isinstance(value, str):
        value = yaml.safe_dump(value, default_flow_style=True, width=float('inf')).split('\n')[0]
    elif value != value.strip() or _is_quoted(value):
        value = yaml.safe_dump(value, default_style='"', width=float('inf')).strip()
    return f'{name}={value}'


def _is_quoted(text):
    return len(text) > 1 and text[0] == text[-1] and text[0] in '\'"'


def _kind(section, name):
    """Type of the setting with a dotted name; ``None`` if there is none."""
    for key in name.split('.'):
        section = typing.get_type_hints(section).get(key) if dataclasses.is_dataclass(
            section) else None
    return section


def dotted_names(section):
    """Names of all settings of a dataclass and of its nested dataclasses."""
    names = []
    for field in dataclasses.fields(section):
        if dataclasses.is_dataclass(field.type):
            names += [f'{field.name}.{name}' for name in dotted_names(field.type)]
        elif field.metadata:
            names.append(field.name)
    return names


def _nearest(name, names):
    if name in RENAMED:
        return f'; it is now {RENAMED[name]}.'
    same_ending = [other for other in names if other.split('.')[-1] == name.split('.')[-1]]
    by_ending = {other.split('.')[-1]: other for other in names}
    match = same_ending or [by_ending[ending] for ending in difflib.get_close_matches(
        name.split('.')[-1], by_ending, 1, SIMILAR)]
    return f'; did you mean {match[0]}?' if match else '; docs/settings.md lists all.'


def _converted(kind, value, where):
    """Converts a value to the field's type: PyYAML reads 1e-3 as text."""
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
            return {str(key): item for key, item in value.items()}
        elif kind == list[int] and isinstance(value, list):
            return [_converted(int, item, where) for item in value]
        elif kind is str and value is None:
            return ''
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f'{where} is {shortened(repr(value))}, but must be {KINDS[kind]}.')


def check(section, where, prefix=''):
    """Raises an error for a value that is not a choice or is out of range."""
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), f'{prefix}{field.name}'
        if dataclasses.is_dataclass(value):
            check(value, where, f'{name}.')
        elif field.metadata.get('choices') and value not in field.metadata['choices']:
            raise InputError(f'{where}: {name} is {shortened(repr(value))}, but must be one of '
                             f'{", ".join(c or repr(c) for c in field.metadata["choices"])}.')
        elif field.metadata.get('between'):
            low, high = field.metadata['between']
            for number in value if isinstance(value, list) else [value]:
                if not low <= number <= high:
                    raise InputError(f'{where}: {name} is {shortened(str(value))}, but must be '
                                     f'between {low} and {high:g}.')
