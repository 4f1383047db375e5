"""Numbers that configs, README and docs repeat are those of the reports, each in its own row."""
import importlib
from pathlib import Path
import re

import numpy
import pytest

from finetune.report import published
from finetune.report.claims import holm

PROJECT = Path(__file__).resolve().parents[1]
REPORTS = NEW, ABLATIONS, COMPONENTS, EPOCHS = [
    (PROJECT / 'docs' / folder / 'report.md').read_text(encoding='utf-8')
    for folder in ('report', 'report_ablations', 'report_components', 'report_epochs')]
AGAIN = [PROJECT / 'docs' / name / 'runs.csv' for name in ('report_components', 'report_epochs')]
RUNS = sorted((PROJECT / 'docs').glob('report*/runs.csv'))
CLAIMS = (PROJECT / 'docs/claims.md').read_text(encoding='utf-8')
EXPLANATIONS = (PROJECT / 'docs/explanations.md').read_text(encoding='utf-8')
CONFIGS = sorted(path for dataset in ('minibirds', 'digits', 'animals')
                 for path in (PROJECT / 'configs' / dataset).glob('*.yml')
                 if path.stem != 'pretrain')
OTHERS = sorted(path for folder in ('ablations', 'curves')
                for path in (PROJECT / 'configs' / folder).glob('*.yml'))
VERDICTS = {'holds': ('holds', 'holds: the same within 2 points'),
            'open': ('not shown', 'holds: no difference found'),
            'opposite': ('the opposite holds',),
            'does not hold': ('does not hold: they differ by more than 2 points',)}


def cells(line):
    return [cell.strip() for cell in line.strip().strip('|').split('|')]


def tables(text):
    """Tables of a page as lists of dicts by the names in their headers."""
    for block in re.findall(r'(?:^\|.*\n)+', text, re.MULTILINE):
        header, _, *rows = map(cells, block.splitlines())
        yield [dict(zip(header, row)) for row in rows]


def section(title, text, level=2):
    """What stands below a heading of a report; empty if there is no such heading."""
    marks = '#' * level
    match = re.search(rf'^{marks} {re.escape(title)}\n(.*?)(?=^{marks} |\Z)', text,
                      re.MULTILINE | re.DOTALL)
    return match[1] if match else ''


def reported(dataset, name):
    """The accuracy of an experiment as the first report that has it has it."""
    return next(filter(None, (reported_by(report, dataset, name) for report in REPORTS)), set())


def reported_by(report, dataset, name):
    """The accuracy of an experiment in the rows and columns of that run."""
    figure, text = published.read().figure, section(dataset, report)
    accuracies = {row['ours'] for table in tables(text) for row in table
                  if 'ours' in row and row['run'] == f'`{name}`'}
    places = [(str(k), line) for line, names in figure['lines'].items()
              for k, run in names.items() if run == name]
    accuracies |= {row[line] for k, line in places for table in tables(text) for row in table
                   if row.get('K') == k and line in row}
    accuracies |= set(re.findall(rf'The CNN of .* has (\S+ ± \S+ \(\d\)) .*\(`{name}`\)', text))
    return accuracies - {''}       # of rows without runs


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_what_a_config_expects_is_in_the_row_of_its_run(path):
    header = path.read_text(encoding='utf-8')
    accuracies = reported(path.parent.name, path.stem)
    if '# Expect: not measured yet' in header:
        assert not accuracies
    else:
        mean, deviation, last = re.search(
            r'# Expect: ([\d.]+) \+- ([\d.]+) % \(seeds 0 to ([24])\)', header).groups()
        assert accuracies == {f'{mean} ± {deviation} ({int(last) + 1})'}


@pytest.mark.parametrize('path', OTHERS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_what_an_ablation_expects_is_in_its_row(path):
    name, header = f'`{path.parent.name}/{path.stem}`', path.read_text(encoding='utf-8')
    rows = next(filter(None, (rows_of_others(report, name) for report in reversed(REPORTS))), [])
    expected = re.search(r'# Expect: ([\d.]+) \+- ([\d.]+) % \(seeds 0 to ([24])\)', header)
    if expected is None:
        assert '# Expect: not measured yet' in header and not rows
    else:
        assert [row['ours'] for row in rows] == [
            f'{expected[1]} ± {expected[2]} ({int(expected[3]) + 1})']


def rows_of_others(report, name):
    return [row for table in tables(section('Other experiments', report)) for row in table
            if row['run'] == name]


def test_figure_3_is_that_of_the_report():
    text = section('(c) Joint learning falls with the number of components', EXPLANATIONS)
    ours, = (table for table in tables(text) if 'components' in table[0])
    whole, = (table for table in tables(section('minibirds', COMPONENTS))
              if 'joint by gradient' in table[0])
    assert len(ours) == 6
    for row, reported in zip(ours, whole):
        assert list(row.values()) == [reported['K'], *(
            reported[line].replace(' (5)', '')
            for line in ('joint', 'joint by gradient', 'separate'))]


def ablations():
    """Rows of the table of ablations by the names of their configs."""
    table, = (table for table in tables(section('Does the mixture help?', EXPLANATIONS))
              if 'what is changed' in table[0])
    return {re.search(r'\(`(\w+)`\)', row['what is changed'])[1]: row for row in table}


def test_ablations_are_those_of_the_report():
    assert len(ablations()) >= 15
    for name, row in ablations().items():
        reported, = rows_of_others(ABLATIONS, f'`ablations/{name}`')
        assert reported == reported | {
            'ours': f'{row["accuracy"]} (5)', 'difference from its base': row['difference'],
            '95 % interval': row['95 % interval'],
            'p, corrected': row['p, corrected'].replace('<', '< ')}


@pytest.fixture
def pairs(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / 'docs')
    return importlib.import_module('compare_experiments')


def test_claims_of_both_times_are_those_of_the_runs(pairs):
    table, = (table for table in tables(section('A second time', CLAIMS, level=3))
              if 'both times: difference' in table[0])
    assert len(table) == len(list(claim_rows('docs/claims.md', 'On minibirds')))
    names = [re.match(r'\*\*\(\w\) (\w+):\*\* `(\w+)` (equals|above) `(\w+)`',
                      row['claim: first above second']).groups() for row in table]
    compared = [pairs.compare(f'minibirds/{first}', f'minibirds/{second}', RUNS, word == 'equals')
                for _, first, word, second in names]
    corrected = holm([one.p for one in compared])
    for row, (verdict, first, _, second), one, p in zip(table, names, compared, corrected):
        again = pairs.compare(f'minibirds/{first}', f'minibirds/{second}', AGAIN).samples
        assert [row['first, again'], row['second, again']] == list(map(mean_text, again))
        assert row['both times: difference'] == as_text(one)
        assert row['p'] == p_text(p)
        assert one._replace(p_corrected=p).verdict in VERDICTS[verdict]


def test_figure_3_in_64_epochs_is_that_of_the_runs(pairs):
    text = section('(c) Joint learning falls with the number of components', EXPLANATIONS)
    table, = (table for table in tables(text) if 'components, 64 epochs' in table[0])
    words = {'1': 'one_component', '5': 'five_components', '20': 'twenty_components',
             '50': 'fifty_components'}
    assert [row['components, 64 epochs'] for row in table] == list(words)
    compared = [pairs.compare(f'curves/{word}_600_long', f'curves/separate_{word}_600_long', RUNS,
                              stream=stream) for word in words.values()
                for stream in ('both', 'parts')]
    expected = [list(row.values())[first:first + 4] for row in table for first in (1, 5)]
    for values, one, p in zip(expected, compared, holm([one.p for one in compared])):
        assert one.n_pairs == 5
        assert values == [*map(mean_text, one.samples), as_text(one), p_text(p)]


def test_twenty_components_in_the_readme_are_those_of_both_pages():
    text = ' '.join((PROJECT / 'README.md').read_text(encoding='utf-8').split())
    p, difference, low, high = re.search(
        r'with K = 20 \(p (\S+)\); in 64 epochs, not 16, it is (\S+) points ahead '
        r'\(95 %: (\S+) to (\S+);', text).groups()
    assert re.search(r'\*\*\(c\) opposite:\*\* `gt2_fve_k20` above .*\| (\S+) \|\n', CLAIMS)[1] == p
    assert f'| +{difference} ({low} ... +{high}) |' in re.search(
        r'^\| 20 \| 72.*$', EXPLANATIONS, re.MULTILINE)[0]


def mean_text(values):
    return f'{numpy.mean(values):.1f} ± {numpy.std(values, ddof=1):.1f}'


def p_text(p):
    return '<0.001' if p < .0005 else f'{p:.3f}'


def as_text(one):
    return '{:+.1f} ({:+.1f} ... {:+.1f})'.format(one.difference, *one.interval)


def test_ablations_of_both_reports_are_those_of_their_runs(pairs):
    reports = [PROJECT / 'docs' / name / 'runs.csv' for name in ('report', 'report_ablations')]
    in_both = {name: row['both reports: difference, p'] for name, row in ablations().items()
               if pairs.accuracies(reports[0], f'ablations/{name}')}
    assert [row['both reports: difference, p'] for name, row in ablations().items()
            if name not in in_both] == [''] * (len(ablations()) - len(in_both))
    compared = [pairs.compare(f'ablations/{name}', base_of(name), reports) for name in in_both]
    for text, one, p in zip(in_both.values(), compared, holm([one.p for one in compared])):
        assert text == f'{as_text(one)}, {p:.3f}'


def base_of(name):
    path = PROJECT / 'configs/ablations' / f'{name}.yml'
    return re.search('base: configs/(.*).yml', path.read_text(encoding='utf-8'))[1]


def claim_rows(page, heading=None):
    """Rows of the tables of claims of a page."""
    text = (PROJECT / page).read_text(encoding='utf-8')
    text = text if heading is None else section(heading, text)
    for table in tables(text):
        for row in table:
            claim, first, second, p = row.values() if len(row) == 4 else [''] * 4
            match = re.match(r'\*\*\((\w)\) (.*?):\*\* (.*)', claim)
            if match:
                yield (*match.groups(), first, second, p)


def comparisons(report, dataset, letter):
    """A report's comparisons of a claim of both streams and of the part stream alone."""
    text = section('Claims of the paper', section(dataset, report), level=3)
    below = text.split(f'**({letter})**')[1].split('\n**(')[0]
    return next(tables(below))


@pytest.mark.parametrize('page, heading, dataset, stream', [
    ('README.md', None, 'minibirds', 'both streams'),
    ('docs/claims.md', 'On minibirds', 'minibirds', 'both streams'),
    ('docs/claims.md', 'On the digits', 'digits', 'part stream alone'),
    ('docs/claims.md', 'On photographs', 'animals', 'both streams')])
def test_claims_are_those_of_the_report(page, heading, dataset, stream):
    rows = list(claim_rows(page, heading))
    assert len(rows) >= 5
    for letter, verdict, text, first, second, p in rows:
        report = {'digits': COMPONENTS, 'animals': ABLATIONS}.get(dataset, NEW)
        n = 3 if report is ABLATIONS else 5
        assert any(matches(row, first, second, p, VERDICTS[verdict], n)
                   for row in comparisons(report, dataset, letter)
                   if row['prediction of'] == stream), (page, text)


def matches(row, first, second, p, verdicts, n):
    """Whether a comparison of a report has these numbers, perhaps without deviations."""
    same_values = all(value.startswith(f'{number} ') and value.endswith(f'({n})')
                      for number, value in zip((first, second),
                                               (row['first: %'], row['second: %'])))
    reported_p = row.get('p, corrected', row['p'])
    if p.startswith('<'):
        same_p = reported_p.replace(' ', '') == p
    else:
        digits = len(p.split('.')[1])
        is_number = re.fullmatch(r'[\d.]+', reported_p)
        same_p = is_number and f'{float(reported_p):.{digits}f}' == p
    return same_values and same_p and row['verdict'] in verdicts
