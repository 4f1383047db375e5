"""Checks one's own pictures before a long computation: classes, and all that are broken."""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from finetune.config.settings import Config
from finetune.data import pictures
from finetune.data.layout import find_layout
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.names import counted
from finetune.progress import progress_bar

N_THREADS = 4
MANY = 200          # pictures that take longer than a moment
MAX_NAMED = 5


def require(config: Config, data_set: DataSet) -> None:
    """Raises an error if there is a single class, or that names pictures that cannot be read."""
    require_classes(config, data_set)
    records = data_set.train + data_set.test
    with ThreadPoolExecutor(N_THREADS) as pool:
        found = pool.map(_problem, records.paths)
        if len(records) > MANY:
            found = progress_bar(found, len(records), 'Reading all pictures')
        problems = {path: error for path, error in zip(records.paths, found) if error}
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        raise InputError(f'{find_layout(config).main}: {described(list(problems))}')


def require_classes(config: Config, data_set: DataSet) -> None:
    """Raises an error if there is a single class."""
    problem = problem_of_classes(data_set)
    if problem:
        raise InputError(f'{find_layout(config).main}: {problem}')


def problem_of_classes(data_set: DataSet) -> str:
    """Says that there is a single class, if so, and what to do; empty: there are more."""
    if len(data_set.class_names) > 1:
        return ''
    return (f'has a single class, {data_set.class_names[0]}, but there must be at least two to '
            'tell apart; add pictures of another class.')


def described(paths: list[Path], max_named: int = MAX_NAMED) -> str:
    """Says which pictures cannot be read, and what to do."""
    left = len(paths) - max_named
    others = f' and {left} more, which doctor lists' if left > 0 else ''
    return (f'{counted(len(paths), "picture", "pictures")} cannot be read: '
            f'{", ".join(map(str, paths[:max_named]))}{others}; copy them again, convert them to '
            'JPEG or PNG, or remove them.')


def _problem(path):
    try:
        pictures.require_readable(path)
    except InputError as error:
        return error
    return None
