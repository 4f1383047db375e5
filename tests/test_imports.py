"""Who imports whom: the reading direction of the project."""
import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

# What each module of the library may import from it.
LIBRARY = {
    '__init__': {'compat', 'function', 'link', 'gradient_link'},
    'compat': set(), 'masking': set(), 'gmm': set(), 'seeding': {'gmm'},
    'fisher_vector': {'gmm'},
    'kernels': {'fisher_vector', 'gmm'},
    'function': {'fisher_vector', 'kernels'},
    'link': {'function', 'gmm', 'kernels', 'masking', 'seeding'},
    'gradient_link': {'fisher_vector', 'function', 'masking', 'seeding'},
}
# From the first to the last: a package imports from itself and from those before it.
PROGRAM = ['errors', 'progress', 'config', 'data', 'models', 'training', 'conventional', 'doctor',
           'convert', 'visualize', 'suite', 'report', 'original_variables', 'shared_options',
           'cli']


def modules(package):
    return sorted((PROJECT / package).rglob('*.py'))


def imports(path):
    """Dotted names of everything a module imports, ``from a import b`` as a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def test_library_modules_are_all_listed():
    assert {path.stem for path in modules('fve_layer')} == set(LIBRARY)


@pytest.mark.parametrize('module', LIBRARY)
def test_library_imports_in_one_direction(module):
    names = list(imports(PROJECT / 'fve_layer' / f'{module}.py'))
    inside = {name.split('.')[1] for name in names if name.startswith('fve_layer.')}
    assert inside <= LIBRARY[module]
    assert not {name.split('.')[0] for name in names} & {'finetune', 'yaml', 'matplotlib',
                                                         'sklearn', 'PIL', 'chainercv'}


@pytest.mark.parametrize('path', [
    path for path in modules('finetune') if path.stem not in ('__init__', '__main__')],
    ids=lambda path: str(path.relative_to(PROJECT)))
def test_program_imports_in_one_direction(path):
    package = path.relative_to(PROJECT / 'finetune').parts[0].replace('.py', '')
    inside = {name.split('.')[1] for name in imports(path) if name.startswith('finetune.')}
    assert inside <= set(PROGRAM[:PROGRAM.index(package) + 1])


def test_modules_are_short():
    for path in modules('fve_layer') + modules('finetune'):
        assert len(path.read_text(encoding='utf-8').splitlines()) < 300, path
