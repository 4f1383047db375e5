"""Who imports whom: the reading direction of the project."""
import ast
import graphlib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

# What each module of the library may import from it.
LIBRARY = {
    '__init__': {'compat', 'function', 'link', 'gradient_link', 'mixture'},
    'compat': {'stand_ins'}, 'stand_ins': set(),
    # What Chainer's and PyTorch's layers share
    'arrays': set(), 'masking': {'arrays'}, 'seeding': {'arrays'}, 'gmm': {'arrays'},
    'em': {'arrays', 'gmm'}, 'communication': {'arrays', 'gmm'}, 'encoding': {'arrays', 'gmm'},
    'kernels': {'arrays', 'encoding', 'gmm'}, 'maths': {'arrays', 'encoding', 'gmm', 'kernels'},
    # Chainer's
    'function': {'arrays', 'em', 'maths'},
    'mixture': {'arrays', 'em', 'masking', 'seeding'},
    'link': {'arrays', 'communication', 'em', 'function', 'gmm', 'mixture'},
    'gradient_link': {'arrays', 'em', 'encoding', 'function', 'mixture'},
    'ablations': {'arrays', 'communication', 'em', 'encoding', 'function', 'gmm', 'link'},
    # PyTorch's
    'tensors': {'arrays'},
    'torch': {'arrays', 'communication', 'em', 'masking', 'maths', 'seeding', 'tensors'},
}
SHARED = ('arrays', 'masking', 'seeding', 'gmm', 'em', 'communication', 'encoding', 'kernels',
          'maths')
# The rooms of the program from the bottom up: each imports from itself and from lower floors.
FLOORS = [
    {'drawing', 'errors', 'names', 'progress'},
    {'files', 'document'},
    {'config'},
    {'compute', 'ranks', 'data'},
    {'models'},
    {'weights'},
    {'parts'},
    {'runs'},
    {'training'},
    {'experiments'},
    {'report', 'export', 'prediction'},
    {'checks', 'visualize'},
    {'demo'},
    {'commands'},
    {'cli'},
]
ONLY_IN = {'matplotlib': {'drawing', 'visualize', 'report', 'training'},
           'sklearn': {'checks', 'training', 'parts', 'data', 'visualize'},
           'argparse': {'commands', 'cli'}, 'subprocess': {'experiments', 'visualize'},
           'chainercv': {'models'}}


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
    frameworks = {name.split('.')[0] for name in names} & {'chainer', 'chainermn', 'torch'}
    if module in ('tensors', 'torch'):
        assert frameworks == {'torch'}
    elif module in SHARED:
        # For annotations alone
        assert not frameworks or module == 'arrays'
    else:
        assert 'torch' not in frameworks


PROGRAM = [path for path in modules('finetune') if path.parent.name != 'finetune'
           or path.stem not in ('__init__', '__main__')]


def room(path):
    return path.relative_to(PROJECT / 'finetune').parts[0].replace('.py', '')


def rooms_imported(path):
    return {name.split('.')[1] for name in imports(path) if name.startswith('finetune.')}


@pytest.mark.parametrize('path', PROGRAM, ids=lambda path: str(path.relative_to(PROJECT)))
def test_program_imports_from_lower_floors(path):
    level = next(i for i, floor in enumerate(FLOORS) if room(path) in floor)
    assert rooms_imported(path) <= {room(path)}.union(*FLOORS[:level])
    for package, allowed in ONLY_IN.items():
        if package in {name.split('.')[0] for name in imports(path)}:
            assert room(path) in allowed, package


def test_imports_of_modules_have_no_circle():
    graph = {}
    for path in PROGRAM:
        name = '.'.join(path.relative_to(PROJECT).with_suffix('').parts)
        graph[name] = {other for other in imports(path) if other.startswith('finetune.')}
    names = set(graph)
    graph = {name: {candidate for other in others for candidate in names
                    if other == candidate or other.rpartition('.')[0] == candidate}
             for name, others in graph.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())      # raises CycleError
