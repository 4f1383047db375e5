"""Cells of the tables of results: means, differences and verdicts as text."""
import numpy

from compare_experiments import accuracies, compare
from finetune.report import claims, published

NUMBERS = published.read()
N_PLANNED = 5       # drawings or seeds; with fewer, nothing is concluded

VERDICTS = {'holds': 'holds', 'holds: the same within 2 points': 'holds', 'not shown': 'open',
            'the opposite holds': 'opposite',
            'does not hold: they differ by more than 2 points': 'does not hold'}


def corrected(comparisons, n_planned=0):
    """The same dict of comparisons with p corrected for their number, or for a larger one."""
    p_values = [one.p for one in comparisons.values()]
    p_values += [1.] * (n_planned - len(p_values))
    return {key: one._replace(p_corrected=p)
            for (key, one), p in zip(comparisons.items(), claims.holm(p_values))}


def compared(path, pairs):
    """The comparisons of a family, by key, of what a report has at least two pairs of runs of.

    Args:
        path (pathlib.Path): The report's runs.csv.
        pairs (dict): By key, names of two experiments, and whether they are claimed to be equal.

    """
    return corrected({
        key: compare(first, second, [path], equal) for key, (first, second, equal) in pairs.items()
        if len(set(accuracies(path, first)) & set(accuracies(path, second))) > 1}, len(pairs))


def of_run(path, name, stream='both'):
    return spread(list(accuracies(path, name, stream).values()))


def mean(values):
    return f'{numpy.mean(values):.1f}' if values else ''


def spread(values):
    """Mean and standard deviation (n - 1) of runs."""
    return mean(values) + (f' ± {numpy.std(values, ddof=1):.1f}' if len(values) > 1 else '')


def difference(one):
    return '{:+.1f} ({:+.1f} ... {:+.1f})'.format(one.difference, *one.interval)


def result(one):
    return f'**{VERDICTS[one.verdict]}**, p {p_text(one.p_corrected)}'


def planned_result(one):
    """The result of a study with a plan, which concludes nothing from fewer drawings."""
    return so_far(one.n_pairs) or result(one)


def so_far(n):
    """Says in the place of a planned result that runs are missing; empty if none are."""
    return f'{n} of {N_PLANNED} so far' if n < N_PLANNED else ''


def p_text(p):
    return '< 0.001' if p < .001 else f'{p:.3f}'


def in_paper(pair):
    """The paper's accuracies of a pair, if it has both."""
    values = {row.run: row.accuracies['cub200'][0] for table in NUMBERS.tables
              for row in table.rows if 'cub200' in row.accuracies}
    return ('{:.2f}, {:.2f} (published)'.format(*map(values.get, pair))
            if set(pair) <= set(values) else '')
