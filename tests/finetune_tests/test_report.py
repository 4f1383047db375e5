"""The report: numbers against ones by hand, partial results, Markdown and HTML."""
import csv
from html.parser import HTMLParser
import json
from pathlib import Path
import re

import numpy
from PIL import Image
import pytest
from scipy.special import stdtr
import yaml

from finetune import cli, config
from finetune.report import claims, document, plots, published, tables
from finetune.report.claims import Comparison
from finetune.report.runs import Runs

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
N_IMAGES, N_CLASSES, N_EPOCHS = 40, 4, 3


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The test runs where the configs are the project's and results are its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').symlink_to(CONFIGS)
    return tmp_path


def write_run(dataset, name, seed, n_correct, n_correct_parts=None, settings=()):
    """A finished run that has so many of the test images right."""
    random = numpy.random.RandomState(100 * seed + n_correct)
    path = f'configs/{dataset}/{name}.yml'
    settings = config.load(path, [f'training.seed={seed}', *settings])
    out = Path('results', dataset, name, f'seed{seed}')
    out.mkdir(parents=True)
    (out / 'config.yml').write_text(config.dump(settings))
    (out / 'model.npz').write_text('')
    label = numpy.arange(N_IMAGES) % N_CLASSES
    predicted = {'': n_correct}
    if n_correct_parts is not None:
        predicted.update(_global=n_correct, _parts=n_correct_parts)
    columns = {'image': [f'i{i}' for i in range(N_IMAGES)],
               'n_visible': random.randint(0, 6, N_IMAGES), 'label': [f'class {i}' for i in label]}
    evaluation = {'loss': 1., 'n_parameters': 12345}
    for key, n in predicted.items():
        wrong = random.permutation(N_IMAGES) >= n
        columns[f'predicted{key}'] = [f'class {i}' for i in (label + wrong) % N_CLASSES]
        evaluation[f'accuracy{key}'] = n / N_IMAGES
    if n_correct_parts is not None:
        evaluation['robustness'] = {
            'hidden': {hide: {'accuracy': n_correct * (1 - hide) / N_IMAGES}
                       for hide in (.25, .5, .75, 1.)},
            'shuffled': {'accuracy': (n_correct - 4) / N_IMAGES}}
    (out / 'evaluation.yml').write_text(yaml.safe_dump(evaluation))
    with open(out / 'predictions.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))
    if settings.training.joint:
        (out / 'log').write_text(json.dumps([
            {'epoch': epoch, 'elapsed_time': 2. * epoch,
             'validation/main/accuracy': evaluation['accuracy'] * epoch / N_EPOCHS}
            for epoch in range(1, N_EPOCHS + 1)]))
    return out


CORRECT = {'no_parts': (10, 12), 'gt_gap_shuffled': (14, 15, 19), 'gt_fve_shuffled': (27, 30, 28),
           'gt_fve': (29, 28), 'gt2_fve': (20, 24, 21), 'gt2_fve_k5': (22, 25, 21),
           'gt2_separate_k1': (12, 12, 13), 'gt2_separate_k5': (17, 18, 13)}


@pytest.fixture
def results(folder):
    for name, numbers in CORRECT.items():
        for seed, n in enumerate(numbers):
            write_run('minibirds', name, seed, n, None if name == 'no_parts' else n + 1)


def report(*arguments):
    assert cli.main(['report', *arguments]) == 0
    return Path('results/report/report.md').read_text(encoding='utf-8')


def row(text, *cells):
    """The row of a Markdown table that has these cells."""
    found = [[cell.strip() for cell in line.strip('|').split(' | ')]
             for line in text.splitlines() if line.startswith('| ')]
    return next(one for one in found if set(cells) <= set(one))


def percent(name):
    return 100 * numpy.array(CORRECT[name]) / N_IMAGES


def spread(values):
    return f'{values.mean():.1f} ± {values.std(ddof=1):.1f} ({len(values)})'


def test_rows_of_a_table(results, capsys):
    text = report()
    ours, baseline = percent('gt_gap_shuffled'), percent('no_parts')
    found = row(text, 'GAP', 'shuffled parts')
    assert found[2:5] == ['90.01 ± 0.18', spread(ours), spread(ours + 100 / N_IMAGES)]
    assert found[5:7] == ['+0.47', f'{ours.mean() - baseline.mean():+.1f}']
    assert found[7:] == ['12,345', '2.0', '`gt_gap_shuffled`']
    assert row(text, 'GAP', 'no parts')[3] == spread(baseline)
    assert row(text, 'update of the mixture') == ['update of the mixture', '3.0', '1.11']
    assert 'report.html' in capsys.readouterr().out


def test_published_difference_on_a_data_set_of_the_paper(folder):
    write_run('cub200', 'gt_fve', 0, 37, 30)
    found = row(report(), 'FVE', 'only visible parts')
    assert found[2:4] == ['90.51 ± 0.21', '92.5 (1)'] and found[7] == '+2.0'


def test_figure_3_in_numbers_and_as_a_picture(results):
    text = report()
    found = row(text, '5', spread(percent('gt2_fve_k5')))
    assert found[3] == spread(percent('gt2_separate_k5'))
    assert row(text, '20')[1:] == [''] * 6
    assert 'The CNN of the separate' not in text
    write_run('minibirds', 'gt2_gap', 0, 33, 30)
    assert 'The CNN of the separate ones has 82.5 (1) itself' in report()
    assert 'minibirds_components.png' in text


def welch(one, other):
    """p-value and interval's half width, by the formulas of Welch and Satterthwaite."""
    a, b = (numpy.var(some, ddof=1) / len(some) for some in (one, other))
    freedom = (a + b) ** 2 / (a ** 2 / (len(one) - 1) + b ** 2 / (len(other) - 1))
    t = (numpy.mean(one) - numpy.mean(other)) / numpy.sqrt(a + b)
    low, high = 0., 1000.
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if stdtr(freedom, middle) < .975 else (low, middle)
    return 2 * stdtr(freedom, -abs(t)), low * numpy.sqrt(a + b)


@pytest.mark.parametrize('seed', range(3))
def test_comparison_is_welchs_test(seed):
    random = numpy.random.RandomState(seed)
    samples = [random.normal(50, 3, 5), random.normal(53, 1, 4)]
    p, half_width = welch(*samples)
    found = Comparison('a', 'x', 'y', '', samples, False)
    assert found.test[0] == pytest.approx(p, rel=1e-9)
    centre = samples[0].mean() - samples[1].mean()
    assert found.difference == pytest.approx(centre)
    assert found.test[1] == pytest.approx((centre - half_width, centre + half_width), rel=1e-9)


@pytest.mark.parametrize('samples, equal, verdict', [
    (([9, 10, 11], [1, 2, 3]), False, 'holds'),
    (([1, 2, 3], [9, 10, 11]), False, 'the opposite holds'),
    (([1, 2, 3], [2, 3, 4]), False, 'not shown'),
    (([9, 10, 11], [1, 2, 3]), True, 'does not hold: they differ'),
    (([1, 2, 3], [2, 3, 4]), True, 'holds: no difference found'),
    (([1], [2, 3, 4]), False, 'too few runs'),
    (([7, 7, 7], [1, 2, 3]), False, 'holds'),
    (([1, 1 + 1e-14, 1], [2, 2]), False, 'too few runs'),
])
@pytest.mark.filterwarnings('error')
def test_verdicts(samples, equal, verdict):
    assert Comparison('a', 'x', 'y', '', samples, equal).verdict == verdict


def test_claims_of_the_runs_that_are_there(results):
    runs = Runs()
    found = {claim.letter: claims.compare(claim, runs, 'minibirds') for claim in claims.CLAIMS}
    assert [(one.first, one.second, one.stream) for one in found['a']] == [
        ('gt_fve_shuffled', 'gt_gap_shuffled', stream)
        for stream in ('both streams', 'part stream alone')]
    numpy.testing.assert_allclose(found['a'][0].samples, [percent('gt_fve_shuffled'),
                                                          percent('gt_gap_shuffled')])
    assert [(one.first, one.second) for one in found['c'][::2]] == [
        ('gt2_fve', 'gt2_separate_k1'), ('gt2_fve_k5', 'gt2_separate_k5')]
    assert found['d'] == [] and found['e'] == []
    text = report()
    assert '**(a)**' in text and '**(e)**' not in text


def test_variation_over_components_needs_all_of_them(folder):
    random = numpy.random.RandomState(0)
    expected = {'joint': [], 'separate': []}
    for line in expected:
        for seed in (0, 1):
            numbers = random.randint(10, 30, 6)
            expected[line].append(numpy.std(100 * numbers / N_IMAGES, ddof=1))
            for k, n in zip((1, 2, 5, 10, 20, 50), numbers):
                name = {'joint': 'gt2_fve' + ('' if k == 1 else f'_k{k}'),
                        'separate': f'gt2_separate_k{k}'}[line]
                write_run('minibirds', name, seed, int(n))
    write_run('minibirds', 'gt2_fve', 2, 20)
    last = claims.compare(claims.CLAIMS[2], Runs(), 'minibirds')[-1]
    assert last.first == 'variation over K: separate'
    numpy.testing.assert_allclose(last.samples, [expected['separate'], expected['joint']])


def test_classes_and_visible_parts_by_hand(results):
    runs = Runs()
    names, values = tables.class_accuracies(runs, 'minibirds', ['gt_fve'])
    correct = {}
    by_parts = {}
    for run in runs.of('minibirds', 'gt_fve'):
        for label, predicted, n_visible in zip(*(run.predictions[key] for key in (
                'label', 'predicted', 'n_visible'))):
            correct.setdefault(label, []).append(label == predicted)
            by_parts.setdefault(n_visible, []).append(label == predicted)
    assert dict(zip(names, values[0])) == pytest.approx(
        {name: 100 * numpy.mean(some) for name, some in correct.items()})
    assert 0 < values.min() < values.max() < 100 and len(by_parts) == 6
    report()
    rows = list(csv.DictReader(open('results/report/minibirds_classes.csv', newline='')))
    assert float(rows[1]['gt_fve']) == pytest.approx(values[0][1], abs=.05)


def test_bins_hold_all_values_and_never_part_equal_ones():
    values = numpy.array([0] * 50 + [1] * 3 + [2] * 9 + [7] * 30 + [8] * 2)
    bins = plots._bins(values)
    assert (numpy.sum(bins, axis=0) == 1).all()
    for value in set(values):
        assert sum(some[values == value].any() for some in bins) == 1
    assert 2 <= len(bins) <= 6


def test_robustness_table(results):
    found = row(report(), '`gt_fve`', '61.2 ± 1.8 (2)')
    both = percent('gt_fve')
    assert found[1:] == [spread(some) for some in (
        both, *(both * (1 - hide) for hide in (.25, .5, .75, 1.)), both - 10)]


def test_settings_that_differ(results):
    text = report()
    found = row(text, '`gt2_fve_k5`', 'GT2')
    assert '5' in found
    shared = next(line for line in text.splitlines() if line.startswith('The same in all:'))
    assert 'data.dataset minibirds' in shared and 'model.n_components' not in shared
    assert 'training.seed' not in text


def test_what_is_missing_and_what_is_left_out(results, capsys):
    write_run('minibirds', 'gt_gap', 0, 20, 20, ['training.epochs=3'])
    (write_run('minibirds', 'gt_gap', 1, 20, 20) / 'model.npz').unlink()
    (write_run('minibirds', 'gt_gap', 3, 20, 20) / 'evaluation.yml').unlink()
    write_run('minibirds', 'gt_gap', 2, 20, 20, ['training.workers=0'])
    text = report()
    assert row(text, 'GAP', 'ordered parts')[3] == '50.0 (1)'
    printed = capsys.readouterr().out
    for reason in ('gt_gap/seed0: has another training.epochs than its config',
                   'gt_gap/seed1: is not finished', 'gt_gap/seed3: is not finished'):
        assert reason in text and reason in printed
    lacking = next(line for line in text.splitlines() if '`gt_fve` (2 of 3)' in line)
    assert '`gt_gap` (1 of 3)' in lacking and '`gt2_fve_k50` (0 of 3)' in lacking
    assert 'gt2_fve`' not in lacking and 'pretrain' not in lacking
    assert 'No run at all: CUB-200-2011, NA-Birds, Birdsnap, digits.' in text


class Page(HTMLParser):
    """Checks that what is opened is closed, and keeps what is referred to, and texts."""

    def __init__(self):
        super().__init__()
        self.open, self.references, self.text = [], [], ''

    def handle_starttag(self, tag, attributes):
        if tag not in ('meta', 'img', 'br', 'wbr'):
            self.open.append(tag)
        self.references += [value for name, value in attributes if name in ('src', 'href')]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_stands_alone_and_says_the_same(results):
    text = report()
    page = Page()
    page.feed(Path('results/report/report.html').read_text(encoding='utf-8'))
    assert page.open == []
    assert page.references and all(one.startswith('data:image/png;base64,')
                                   for one in page.references)
    for line in text.splitlines():
        if line.startswith('|') and '---' not in line:
            for cell in line.strip('|').split(' | '):
                assert cell.strip().replace('`', '') in page.text
    pictures = re.findall(r'!\[.+\]\((.+)\)', text)
    assert len(pictures) == len(page.references) == 4
    for name in pictures:
        with Image.open(Path('results/report', name)) as picture:
            assert min(picture.size) > 300


def test_texts_are_escaped():
    blocks = [document.Heading(1, 'a < b & c'), document.Paragraph('`x<y>` is **not** <b>'),
              document.Table(['a|b'], [['-1.5'], ['<script>'], ['001.Finch'],
                                   ['61.2 ± 1.8 (5)'], ['+0.3 ... +2.1'], ['< 0.001']])]
    html = document.to_html(blocks, '.')
    for text in ('a &lt; b &amp; c', '<code>x&lt;y&gt;</code> is <b>not</b> &lt;b&gt;',
                 '<td class="number">-1.5</td>', '<td>&lt;script&gt;</td>', '<td>001.<wbr>Finch</td>',
                 '<td class="number">61.2 ± 1.8 (5)</td>', '<td class="number">+0.3 ... +2.1</td>',
                 '<td class="number">&lt; 0.001</td>'):
        assert text in html
    assert '| a\\|b |' in document.to_markdown(blocks)


def test_report_of_the_same_runs_is_the_same_and_replaces_the_last(results):
    def files():
        return {path.name: path.read_bytes() for path in Path('results/report').iterdir()}
    report()
    before = files()
    report()
    assert files() == before
    write_run('digits', 'gt_fve', 0, 20, 20)
    assert '## digits' in report()


@pytest.mark.parametrize('prepare, problem', [
    (lambda: None, 'results: there is no such folder of results; run ./train.sh first.'),
    (lambda: Path('results').mkdir(), 'results: holds no finished run of an experiment'),
    (lambda: (write_run('digits', 'gt_fve', 0, 9, 9), Path('results/report').mkdir(),
              Path('results/report/thesis.txt').write_text('years')),
     'results/report: holds something else than a report; give another folder with --output.'),
])
def test_bad_input(prepare, problem, folder, capsys):
    prepare()
    before = {path for path in Path('.').rglob('*')}
    assert cli.main(['report']) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count('\n') == 1
    assert {path for path in Path('.').rglob('*')} == before


def test_every_row_of_ours_has_a_config_that_says_what_was_published():
    numbers = published.read()
    rows = [row for table in numbers.tables for row in table.rows if row.names]
    assert len(rows) == 11
    for one in rows:
        for dataset, name in one.names.items():
            path = CONFIGS / dataset / f'{name}.yml'
            value = one.accuracies.get(dataset)
            if value is not None:
                assert f'# Expect: {value[0]:.2f} +- {value[1]:.2f} % (published' in path.read_text()
    for dataset, names in [('cub200', rows), ('minibirds', rows)]:
        for one in names:
            assert (CONFIGS / dataset / f'{one.names[dataset]}.yml').exists()
    for dataset in ('cub200', 'minibirds'):
        for k, name in ((k, name) for line in numbers.figure['lines'].values()
                        for k, name in line.items()):
            settings = config.load(CONFIGS / dataset / f'{name}.yml')
            assert settings.model.n_components == k and settings.data.parts == 'GT2'
            assert settings.training.joint == ('separate' not in name)


def test_claims_are_about_experiments_that_exist():
    existing = {(path.parent.name, path.stem) for path in CONFIGS.glob('*/*.yml')}
    for claim in claims.CLAIMS:
        for dataset in ('cub200', 'minibirds'):
            known = [all((dataset, name) in existing for name in pair)
                     for pair in claim.pairs(dataset)]
            assert any(known)
            # Those of one data set only are those that the paper ran, or their stand-ins.
            for pair, there in zip(claim.pairs(dataset), known):
                assert there or any(name.startswith(('cs_parts', 'gt2')) for name in pair)
