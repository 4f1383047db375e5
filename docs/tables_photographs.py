"""Tables of the results with photographs of animals, which plan_normalisation.md has planned."""
from pathlib import Path

from compare_experiments import accuracies
import table_cells
from table_cells import difference, of_run, planned_result

REPORT = Path(__file__).resolve().parent / 'report_photographs/runs.csv'
FOLDER = 'normalisation'
NORMALISATIONS = {
    'none': 'none (the paper\'s settings)', 'power': 'power', 'l2': 'L2',
    'component': 'mean and sigma part of each component', 'power_l2': 'power and L2',
    'power_component_l2': 'power, parts of each component, L2',
    'recommended': 'recommended settings'}
FINETUNED = {'none_finetuned': 'none (the paper\'s settings)',
             'recommended_finetuned': 'recommended settings'}
NUMBERS_OF_COMPONENTS = 1, 5, 20
# Those that are compared with GAP, as planned.
WITH_GAP = 'none', 'power_l2', 'recommended'


def compared(pairs):
    """Comparisons by key of what has been run on at least two drawings."""
    return table_cells.compared(REPORT, {key: (*(f'{FOLDER}/{name}' for name in names), False)
                                   for key, names in pairs.items()})


def rows(names, baseline, gap, with_gap):
    """A row for each normalisation and number of components."""
    keys = [(name, k) for name in names for k in NUMBERS_OF_COMPONENTS]
    gains = compared({(name, k): (f'{name}_k{k}', f'{baseline}_k{k}')
                      for name, k in keys if name != baseline})
    above = compared({(name, k): (f'{name}_k{k}', gap) for name, k in keys if name in with_gap})
    yield ('normalisation', 'K', 'n', 'accuracy, %', 'minus none', 'result', 'minus GAP', 'result')
    yield ('GAP', '', *n_and_accuracy(gap), *[''] * 4)
    for name, k in keys:
        yield (names[name], str(k), *n_and_accuracy(f'{name}_k{k}'), *gain(gains.get((name, k))),
               *gain(above.get((name, k))))


def n_and_accuracy(name):
    run = f'{FOLDER}/{name}'
    return str(len(accuracies(REPORT, run))), of_run(REPORT, run)


def gain(one):
    return (difference(one), planned_result(one)) if one else ('', '')


def normalisations_frozen():
    yield from rows(NORMALISATIONS, 'none', 'gap', WITH_GAP)


def normalisations_finetuned():
    yield from rows(FINETUNED, 'none_finetuned', 'gap_finetuned', tuple(FINETUNED))


TABLES = normalisations_frozen, normalisations_finetuned
