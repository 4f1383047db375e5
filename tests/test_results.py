"""Results in README, pages and configs are those of the runs in docs/report_*/runs.csv."""
import importlib
from pathlib import Path
import re

import pytest

from finetune.commands.options import DEFAULT_CONFIG
from finetune.config.config import read_config

PROJECT = Path(__file__).resolve().parents[1]
README = PROJECT / 'README.md'
STUDIES = 'details', 'normalisation'      # which have a drawing for each seed
CONFIGS = sorted(path for path in (PROJECT / 'configs').glob('*/*.yml')
                 if path.stem != 'pretrain' and path.parent.name in
                 ('minibirds', 'digits', 'animals', 'ablations', 'curves', *STUDIES))


@pytest.fixture
def cells(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / 'docs')
    return importlib.import_module('table_cells')


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / 'docs')
    return importlib.import_module('make_results')


def test_tables_are_what_the_command_gives(results):
    texts = {path: path.read_text(encoding='utf-8') for path in results.PAGES}
    for path, text in texts.items():
        assert results.filled(text) == text, f'{path}: run python docs/make_results.py'
    names = re.findall('<!-- results: (.*) -->', ''.join(texts.values()))
    assert sorted(names) == sorted(results.TABLES)
    assert ''.join(texts.values()).count('<!-- end of results -->') == len(names)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_what_a_config_expects_is_what_its_runs_have(path, results, cells):
    name = f'{path.parent.name}/{path.stem}'
    stream = 'parts' if 'separate' in name else 'both'
    measured = [values for report in results.REPORTS
                if (values := cells.accuracies(report, name, stream))]
    expected = re.search(r'^# Expect: (.*)$', path.read_text(encoding='utf-8'), re.MULTILINE)[1]
    if not measured or path.parent.name in STUDIES and len(measured[0]) < 5:
        assert expected == 'not measured yet'
        return
    is_of_a_table = path.parent.name in ('minibirds', 'digits', 'animals')
    values = measured[0 if is_of_a_table else -1]
    text = cells.spread(list(values.values())).replace('±', '+-')
    seeds = f'seeds 0 to {len(values) - 1}' if len(values) > 1 else 'seed 0'
    if path.parent.name in STUDIES:
        seeds = 'seeds 1 to 5, each with its own drawing'
    assert expected == f'{text} % ({seeds})'


def test_readme_has_the_expected_first_result():
    config, text = read_config(PROJECT / DEFAULT_CONFIG), README.read_text(encoding='utf-8')
    printed = f'{config.expect_of_seeds["0"]:.1f} %'
    assert f'seed0: test accuracy {printed}' in text
    assert f'As expected: {printed} is the result of seed 0.' in text
    assert f'{config.expect_elsewhere["AVX-512"]:.1f} %' in text


def test_readme_has_the_speed_of_the_benchmarks():
    text = ' '.join(README.read_text(encoding='utf-8').split())
    page = (PROJECT / 'docs/benchmarks.md').read_text(encoding='utf-8')
    table = page.split('vs. matrix products')[1].split('\n\n')[0]
    ratios = [line.split('|')[3].strip() for line in table.splitlines()[2:]]
    assert (f'{min(ratios)} to {max(ratios)} times as fast as an implementation of the same '
            'formulas as matrix products') in text
    small, large = re.search(r'^\| layer in all \| ([\d.]+) \| ([\d.]+) \| 4', page,
                             re.MULTILINE).groups()
    assert f'{float(small):.0f} % of a training step' in text
    assert f'and {large} % with InceptionV3' in text
