"""The tables of the studies against their statistics by hand; planted faults are found."""
import csv
import importlib
import itertools
from pathlib import Path
import re
from types import SimpleNamespace

import numpy
import pytest
from scipy.special import stdtr
from scipy.stats import t as student

PROJECT = Path(__file__).resolve().parents[1]
SEEDS = 1, 2, 3, 4, 5


@pytest.fixture
def pages(monkeypatch, tmp_path):
    """The modules of the tables, whose reports have made-up runs of every config."""
    monkeypatch.syspath_prepend(PROJECT / 'docs')
    modules = {name: importlib.import_module(module) for name, module in {
        'cells': 'table_cells', 'compare_experiments': 'compare_experiments',
        'pretrained_cnn': 'tables_pretrained_cnn', 'photographs': 'tables_photographs'}.items()}
    random = numpy.random.RandomState(0)
    for module in modules['pretrained_cnn'], modules['photographs']:
        path = tmp_path / f'{module.FOLDER}.csv'
        write(path, module.FOLDER, random)
        monkeypatch.setattr(module, 'REPORT', path)
    return SimpleNamespace(**modules)


def write(path, folder, random):
    """Accuracies: a level per config, one per drawing that all share, and noise."""
    drawings = random.normal(0, 6, len(SEEDS))
    rows = []
    for config in sorted((PROJECT / 'configs' / folder).glob('*.yml')):
        level = random.choice([40, 40.4, 41, 45])
        for seed, drawing in zip(SEEDS, drawings):
            values = level + drawing + random.normal(0, .5, 3)
            rows.append([f'results/{folder}/{config.stem}/seed{seed}', *values.round(4)])
    random.shuffle(rows)        # the order of the rows does not matter
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows([['run', 'both', 'global', 'parts'], *rows])


def read(path):
    with open(path, newline='') as file:
        return {tuple(row['run'].split('/')[2:]): float(row['both'])
                for row in csv.DictReader(file)}


def by_hand(path, pairs):
    """Difference, interval, p and corrected p of each pair of names, from the formulas."""
    values, found = read(path), []
    for first, second, equal in pairs:
        d = numpy.array([values[first, f'seed{seed}'] - values[second, f'seed{seed}']
                         for seed in SEEDS])
        n, error = len(d), d.std(ddof=1) / len(d) ** .5
        if equal:       # two one-sided tests, of -2 and of 2 points
            p = max(1 - stdtr(n - 1, (d.mean() + 2) / error), stdtr(n - 1, (d.mean() - 2) / error))
        else:
            p = 2 * stdtr(n - 1, -abs(d.mean()) / error)
        half = student.ppf(.975, n - 1) * error
        found.append([d.mean(), d.mean() - half, d.mean() + half, p])
    order = sorted(range(len(found)), key=lambda i: found[i][3])
    largest = 0
    for rank, i in enumerate(order):        # Holm: step down, never less than the one before
        largest = max(largest, min(1, found[i][3] * (len(found) - rank)))
        found[i].append(largest)
    return found


def check_differences(cells, expected):
    """Checks texts such as '+1.2 (+0.5 ... +1.9)'."""
    for cell, numbers in zip(cells, expected, strict=True):
        assert [float(text) for text in re.findall(r'[+-]\d+\.\d', cell)] == [
            pytest.approx(number, abs=.051) for number in numbers[:3]]


def check_results(cells, expected, equal):
    """Checks texts such as '**holds**, p 0.012'."""
    for cell, (difference, low, high, _, p), is_equal in zip(cells, expected, equal, strict=True):
        word, text = re.fullmatch(r'\*\*(.*)\*\*, p (.*)', cell).groups()
        assert p < .001 if text == '< 0.001' else float(text) == pytest.approx(p, abs=.00051)
        if is_equal and (low > 2 or high < -2):
            assert word == 'does not hold'
        elif p >= .05:
            assert word == 'open'
        else:
            assert word == ('holds' if is_equal or difference > 0 else 'opposite')


def check_pretrained(pages):
    module = pages.pretrained_cnn
    for table, families in ((module.claims_pretrained, (module.CLAIMS, module.RECOMMENDED)),
                            (module.found_parts_pretrained, (module.FOUND,))):
        header, *rows = table()
        rows = [dict(zip(header, row)) for row in rows]
        for family in families:
            of_family, rows = rows[:len(family)], rows[len(family):]
            pairs = [(*pair.split(), ' equals ' in words) for words, pair in family.items()]
            expected = by_hand(module.REPORT, pairs)
            assert {row['n'] for row in of_family} == {str(len(SEEDS))}
            check_differences([row['difference'] for row in of_family], expected)
            if family is module.RECOMMENDED:
                assert [row['result'] for row in of_family] == [
                    '**holds**' if low > -2 else '**does not hold**' if high < -2 else '**open**'
                    for _, low, high, *_ in expected]
            else:
                check_results([row['result'] for row in of_family], expected,
                              [equal for *_, equal in pairs])
        assert not rows


def check_photographs(pages):
    module = pages.photographs
    for table, names, base, gap, with_gap in (
            (module.normalisations_frozen, module.NORMALISATIONS, 'none', 'gap', module.WITH_GAP),
            (module.normalisations_finetuned, module.FINETUNED, 'none_finetuned', 'gap_finetuned',
             module.FINETUNED)):
        _, of_gap, *rows = table()
        assert of_gap[:2] == ('GAP', '')
        keys = list(itertools.product(names, module.NUMBERS_OF_COMPONENTS))
        for is_in, second, first_column in ((lambda name: name != base, base + '_k{}', 4),
                                            (lambda name: name in with_gap, gap, 6)):
            pairs = [(f'{name}_k{k}', second.format(k), False) for name, k in keys if is_in(name)]
            expected = by_hand(module.REPORT, pairs)
            there = [row[first_column:first_column + 2] for row, (name, _) in zip(rows, keys)
                     if is_in(name)]
            check_differences([cells[0] for cells in there], expected)
            check_results([cells[1] for cells in there], expected, [False] * len(pairs))


CHECKS = {'pretrained': check_pretrained, 'photographs': check_photographs}


@pytest.mark.parametrize('check', CHECKS.values(), ids=CHECKS)
def test_tables_by_hand(check, pages):
    check(pages)


def _paired(change):
    """A fault in the samples of all comparisons."""
    def plant(pages, monkeypatch):
        true = pages.cells.compare

        def compare(*args):
            one = true(*args)
            return one._replace(samples=change(one.samples))
        monkeypatch.setattr(pages.cells, 'compare', compare)
    return plant


def _property(name, function):
    """A fault in a statistic of a comparison."""
    def plant(pages, monkeypatch):
        monkeypatch.setattr(pages.cells.claims.Comparison, name, property(function))
    return plant


def _without_correction(pages, monkeypatch):
    monkeypatch.setattr(pages.cells.claims, 'holm', list)


def _bonferroni(pages, monkeypatch):
    monkeypatch.setattr(pages.cells.claims, 'holm', lambda p: [min(1, x * len(p)) for x in p])


def _holm_without_steps(pages, monkeypatch):
    def holm(p_values):
        ranks = numpy.argsort(numpy.argsort(p_values))
        return [min(1, p * (len(p_values) - rank)) for p, rank in zip(p_values, ranks)]
    monkeypatch.setattr(pages.cells.claims, 'holm', holm)


def _another_margin(pages, monkeypatch):
    monkeypatch.setattr(pages.cells.claims, 'MARGIN', 1.)


def _last_seed_left_out(pages, monkeypatch):
    for module in pages.cells, pages.compare_experiments, pages.pretrained_cnn, pages.photographs:
        true = module.accuracies
        monkeypatch.setattr(module, 'accuracies', lambda *args, true=true: dict(
            list(true(*args).items())[:-1]))


FAULTS = {
    'not paired': _paired(lambda samples: [samples[0], samples[1][::-1]]),
    'other way round': _paired(lambda samples: samples[::-1]),
    'a run is left out': _paired(lambda samples: [values[1:] for values in samples]),
    'a seed is left out': _last_seed_left_out,
    'no correction': _without_correction,
    'correction by Bonferroni': _bonferroni,
    'correction that is not monotonous': _holm_without_steps,
    'another margin': _another_margin,
    'one-sided p': _property('p', lambda one: float(one._estimate.cdf(0))),
    'p of a difference for equality': _property('p', lambda one: float(
        2 * min(one._estimate.cdf(0), one._estimate.sf(0)))),
    'interval of 90 %': _property('interval', lambda one: one._estimate.interval(.9)),
    'normal distribution': _property('_estimate', lambda one: student(
        1e6, one.difference, numpy.std(numpy.subtract(*one.samples), ddof=1) / 5 ** .5)),
    'standard deviation with n': _property('_estimate', lambda one: student(
        4, one.difference, numpy.std(numpy.subtract(*one.samples)) / 5 ** .5)),
}


@pytest.mark.parametrize('plant', FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(plant, pages, monkeypatch):
    plant(pages, monkeypatch)
    found = []
    for check in CHECKS.values():
        try:
            check(pages)
        except (AssertionError, KeyError):
            found.append(check)
    assert found, 'no check fails'


def change_rows(path, change):
    rows = list(csv.reader(open(path, newline='')))
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows([rows[0], *change(rows[1:])])


def test_nothing_is_concluded_from_fewer_drawings_than_planned(pages):
    change_rows(pages.pretrained_cnn.REPORT, lambda rows: [
        row for row in rows if not row[0].endswith('seed5')])
    module = pages.pretrained_cnn
    for table in module.claims_pretrained, module.found_parts_pretrained:
        header, *rows = table()
        assert {row[header.index('result')] for row in rows} == {'4 of 5 so far'}


def test_comparisons_that_were_planned_but_not_run_count_in_the_correction(pages):
    module = pages.pretrained_cnn
    before = module.compared(module.CLAIMS)
    words = min(before, key=lambda words: before[words].p)
    names = module.CLAIMS[words].split()
    change_rows(module.REPORT, lambda rows: [
        row for row in rows if row[0].split('/')[2] in names])
    after, = module.compared(module.CLAIMS).values()
    assert after.p_corrected == pytest.approx(before[words].p_corrected)


def test_two_rows_of_a_run_are_refused(pages):
    change_rows(pages.pretrained_cnn.REPORT, lambda rows: [rows[0], *rows])
    with pytest.raises(SystemExit, match='two rows of .* with the same seed'):
        list(pages.pretrained_cnn.methods_pretrained())


def test_comparisons_are_those_of_the_plans(pages):
    plan = (PROJECT / 'docs/plan_details.md').read_text(encoding='utf-8')
    planned = set()
    for first, second in re.findall(r'^\| \S.* \| (`.*) \| (.*`.*) \|$', plan, re.MULTILINE):
        names = re.findall('`(.*?)`', first)
        others = re.findall('`(.*?)`', second)
        if others == ['gt2_separate_k*']:
            others = [f'gt2_separate_k{k}' for k in (1, 5, 20)]
        planned |= set(itertools.zip_longest(names, others, fillvalue=None))
    module = pages.pretrained_cnn
    pairs = [tuple(pair.split()) for pair in [*module.CLAIMS.values(), *module.FOUND.values()]]
    assert len(pairs) == len(planned) == 14 and set(pairs) == planned
