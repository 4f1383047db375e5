"""Numbers that configs, README and docs repeat are those of the reports, each in its own row."""
from pathlib import Path
import re

import pytest

from finetune import published

PROJECT = Path(__file__).resolve().parents[1]
# Of Tables 1 and 2, and of Fig. 3, which has the settings of version 0.2.0.
TABLES, FIGURE_3 = ((PROJECT / 'docs' / folder / 'report.md').read_text(encoding='utf-8')
                   for folder in ('report', 'report_0.2.0'))
CONFIGS = sorted(path for dataset in ('minibirds', 'digits')
                 for path in (PROJECT / 'configs' / dataset).glob('*.yml')
                 if path.stem != 'pretrain')
VERDICTS = {'holds': 'holds', 'open': ('not shown', 'holds: no difference found'),
            'opposite': 'the opposite holds', 'does not hold': 'does not hold: they differ'}


def cells(line):
    return [cell.strip() for cell in line.strip().strip('|').split('|')]


def tables(text):
    """Tables of a page as lists of dicts by the names in their headers."""
    for block in re.findall(r'(?:^\|.*\n)+', text, re.MULTILINE):
        header, _, *rows = map(cells, block.splitlines())
        yield [dict(zip(header, row)) for row in rows]


def section(title, text, level=2):
    """What stands below a heading of a report."""
    marks = '#' * level
    return re.search(rf'^{marks} {re.escape(title)}\n(.*?)(?=^{marks} |\Z)', text,
                     re.MULTILINE | re.DOTALL)[1]


def reported(dataset, name):
    """The accuracy of an experiment as its report has it in the rows and columns of that run."""
    figure = published.read().figure
    in_figure = {figure['cnn'], *(run for line in figure['lines'].values()
                                  for run in line.values())}
    text = section(dataset, FIGURE_3 if name in in_figure else TABLES)
    accuracies = {row['ours'] for table in tables(text) for row in table
                  if 'ours' in row and row['run'] == f'`{name}`'}
    places = [(str(k), line) for line, names in figure['lines'].items()
              for k, run in names.items() if run == name]
    accuracies |= {row[line] for k, line in places for table in tables(text) for row in table
                   if row.get('K') == k and line in row}
    accuracies |= set(re.findall(rf'The CNN of .* has (\S+ ± \S+ \(\d\)) .*\(`{name}`\)', text))
    return accuracies


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_what_a_config_expects_is_in_the_row_of_its_run(path):
    header = path.read_text(encoding='utf-8')
    accuracies = reported(path.parent.name, path.stem)
    assert len(accuracies) == 1
    mean, deviation, last = re.search(
        r'# Expect: ([\d.]+) \+- ([\d.]+) % \(seeds 0 to (\d)\)|$', header).groups()
    if mean is None:
        mean = re.search(r'# Expect: ([\d.]+) % \(seed 0 alone\)\n', header)[1]
        assert accuracies == {f'{mean} (1)'}
    else:
        assert accuracies == {f'{mean} ± {deviation} ({int(last) + 1})'}


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
    ('docs/claims.md', 'On the digits', 'digits', 'part stream alone')])
def test_claims_are_those_of_the_report(page, heading, dataset, stream):
    rows = list(claim_rows(page, heading))
    assert len(rows) >= 5
    for letter, verdict, text, first, second, p in rows:
        n = 3 if text.endswith('\\*') else 5
        report = FIGURE_3 if n == 3 else TABLES
        expected = first, second, n, p, VERDICTS[verdict]
        assert any(matches(row, *expected, swap='varies' in text)
                   for row in comparisons(report, dataset, letter)
                   if row['prediction of'] == stream), (page, text)


def matches(row, first, second, n, p, verdict, swap):
    """Whether a comparison of the report has these numbers, perhaps without deviations."""
    values = [row['first: %'], row['second: %']][::-1 if swap else 1]
    same_values = all(value.startswith(f'{number} ') and value.endswith(f'({n})')
                      for number, value in zip((first, second), values))
    if p.startswith('<'):
        same_p = row['p'].replace(' ', '') == p
    else:
        digits = len(p.split('.')[1])
        is_number = re.fullmatch(r'[\d.]+', row['p'])
        same_p = is_number and f'{float(row["p"]):.{digits}f}' == p
    return same_values and same_p and row['verdict'] in (
        verdict if isinstance(verdict, tuple) else (verdict,))
