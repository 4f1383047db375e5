"""The report: numbers against ones by hand, partial results, Markdown and HTML."""
import csv
import html
from html.parser import HTMLParser
import json
from pathlib import Path
import re
import shutil

from matplotlib.figure import Figure
import numpy
from PIL import Image
import pytest
from scipy.special import stdtr
import yaml

from finetune import cli, document
from finetune.config.config import dump, read_config
from finetune.names import shown
from finetune.report import claims, figures, tables
from finetune.report import published
from finetune.report.claims import Comparison
from finetune.report.results import Results

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
N_IMAGES, N_CLASSES, N_EPOCHS = 40, 4, 3
HIDE = .25, .5, .75, 1.

TABLE_1 = 'Order and visibility of parts (Table 1, Sect. 4.3)'
FIGURE_3 = 'Joint learning and conventional pipeline (Fig. 3, Sect. 4.4; a plot, no value is given)'
TABLE_3 = 'Run time of the layer (Table 3, Sect. 4.6; GTX 1080 Ti and Core i7-4770)'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The test runs where the configs are the project's and results are its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').symlink_to(CONFIGS)
    return tmp_path


def mixture_of(epoch, seed):
    """Entries of the log."""
    return {'main/weight_entropy': .9 - seed / 10, 'main/var_typical': 1. + epoch,
            'main/var_at_floor': .25, 'main/log_likelihood': -150. - epoch}


def write_run(dataset, name, seed, n_correct, n_correct_parts=None, settings=()):
    """A finished run that has so many of the test images right.

    With parts, the global stream alone has one less than both streams.
    """
    random = numpy.random.RandomState(100 * seed + n_correct)
    config = read_config(f'configs/{dataset}/{name}.yml', [f'training.seed={seed}', *settings])
    out = Path('results', dataset, name, f'seed{seed}')
    out.mkdir(parents=True)
    (out / 'config.yml').write_text(dump(config))
    (out / 'model.npz').write_text('')
    n_of = {'both': n_correct}
    if n_correct_parts is not None:
        n_of.update({'global': n_correct - 1, 'parts': n_correct_parts})
    accuracy = {stream: n / N_IMAGES for stream, n in n_of.items()}
    label = numpy.arange(N_IMAGES) % N_CLASSES
    columns = {'image': [f'i{i}' for i in range(N_IMAGES)],
               'n_visible': random.randint(0, 6, N_IMAGES), 'label': [f'class {i}' for i in label]}
    for stream, n in n_of.items():
        wrong = random.permutation(N_IMAGES) >= n
        columns[stream] = [f'class {i}' for i in (label + wrong) % N_CLASSES]
    with open(out / 'predictions.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))
    evaluation = {'accuracy': accuracy, 'n_parameters': 12345}
    if config.training.is_joint:
        evaluation['loss'] = 1.
        (out / 'log').write_text(json.dumps([
            {'epoch': epoch, 'elapsed_time': 2. * epoch,
             **(mixture_of(epoch, seed) if config.model.encoding == 'fve' else {}),
             **{f'validation/main/accuracy/{stream}': value * epoch / N_EPOCHS
                for stream, value in accuracy.items()
                if epoch % (seed + 1) == 0 or epoch == N_EPOCHS}}      # seed 0: every epoch
            for epoch in range(1, N_EPOCHS + 1)]))
    if config.training.is_joint and n_correct_parts is not None:
        evaluation['robustness'] = {
            'hidden': {hide: {stream: value * (1 - hide) for stream, value in accuracy.items()}
                       for hide in HIDE},
            'shuffled': {stream: value - .1 for stream, value in accuracy.items()}}
    (out / 'evaluation.yml').write_text(yaml.safe_dump(evaluation))
    return out


CORRECT = {'no_parts': (10, 12), 'gt_gap_shuffled': (14, 15, 19), 'gt_fve_shuffled': (27, 30, 28),
           'gt_fve': (29, 28), 'gt2_fve': (20, 24, 21), 'gt2_fve_k5': (22, 25, 21),
           'gt2_separate_k1': (12, 12, 13), 'gt2_separate_k5': (17, 18, 13)}


@pytest.fixture
def results(folder):
    """Some experiments on minibirds; the part stream alone has two images more right than both."""
    for name, numbers in CORRECT.items():
        for seed, n in enumerate(numbers):
            write_run('minibirds', name, seed, n, None if name == 'no_parts' else n + 2)


def report(*arguments):
    assert cli.main(['report', *arguments]) == 0
    return Path('results/report/report.md').read_text(encoding='utf-8')


def below(text, *headings):
    """What is below a heading, which is itself below others."""
    for heading in headings:
        marks, rest = re.search(rf'^(#+) {re.escape(heading)}\n(.*)', text, re.M | re.S).groups()
        text = re.split(rf'^#{{1,{len(marks)}}} ', rest, maxsplit=1, flags=re.M)[0]
    return text


def cells_of(line):
    return [cell.strip() for cell in line.strip('|').split(' | ')]


def rows_of(text):
    """Rows of all Markdown tables, as dicts by their columns."""
    for table in re.findall(r'(?:^\|.*\n)+', text, re.M):
        header, _, *lines = map(cells_of, table.splitlines())
        assert len(set(header)) == len(header) and {len(line) for line in lines} <= {len(header)}
        yield from (dict(zip(header, line)) for line in lines)


def row(text, *headings, **cells):
    """The only row below the headings that has these cells, by column."""
    rows = [columns for columns in rows_of(below(text, *headings))
            if cells.items() <= columns.items()]
    assert len(rows) == 1, rows
    return rows[0]


def percent(name, more=0):
    return 100 * (numpy.array(CORRECT[name]) + more) / N_IMAGES


def in_words(values):
    return f'{values.mean():.1f} ± {values.std(ddof=1):.1f} ({len(values)})'


def test_rows_of_a_table(results, capsys):
    text = report()
    gain = percent('gt_gap_shuffled').mean() - percent('no_parts').mean()
    assert row(text, 'minibirds', TABLE_1, method='GAP', parts='shuffled parts') == {
        'method': 'GAP', 'parts': 'shuffled parts', 'published (CUB-200-2011)': '90.01 ± 0.18',
        'ours': in_words(percent('gt_gap_shuffled')),
        'part stream alone': in_words(percent('gt_gap_shuffled', 2)),
        'gain, published': '+0.47', 'gain, ours': f'{gain:+.1f}', 'parameters': '12,345',
        's per epoch': '2.0', 'run': '`gt_gap_shuffled`'}
    assert row(text, 'minibirds', TABLE_1, method='GAP', parts='no parts') == {
        'method': 'GAP', 'parts': 'no parts', 'published (CUB-200-2011)': '89.54 ± 0.15',
        'ours': in_words(percent('no_parts')), 'part stream alone': '', 'gain, published': '',
        'gain, ours': '', 'parameters': '12,345', 's per epoch': '2.0', 'run': '`no_parts`'}
    assert row(text, TABLE_3, **{'step of an iteration': 'update of the mixture'}) == {
        'step of an iteration': 'update of the mixture', 'published: ms': '3.0',
        'published: %': '1.11'}
    assert 'report.html' in capsys.readouterr().out


def test_published_difference_on_a_data_set_of_the_paper(folder):
    write_run('cub200', 'gt_fve', 0, 37, 30)
    cells = row(report(), 'CUB-200-2011', TABLE_1, method='FVE', parts='only visible parts')
    assert cells['published (CUB-200-2011)'] == '90.51 ± 0.21'
    assert cells['ours'] == '92.5 (1)' and cells['ours − published'] == '+2.0'
    assert cells['part stream alone'] == '75.0 (1)' and cells['gain, ours'] == ''


def test_figure_3_in_numbers_and_as_a_picture(results):
    text = report()
    assert row(text, 'minibirds', FIGURE_3, K='5', joint=in_words(percent('gt2_fve_k5'))) == {
        'K': '5', 'joint': in_words(percent('gt2_fve_k5')),
        'joint: part stream alone': in_words(percent('gt2_fve_k5', 2)),
        'separate: with the whole image': in_words(percent('gt2_separate_k5')),
        'separate': in_words(percent('gt2_separate_k5', 2)),
        'joint by gradient': '', 'joint by gradient: part stream alone': ''}
    without = row(text, 'minibirds', FIGURE_3, K='20')
    assert list(without.values()) == ['20'] + [''] * 6
    costs = row(text, 'minibirds', FIGURE_3, K='5', line='separate')
    assert (costs['parameters'], costs['s per epoch']) == ('12,345', '')
    assert '(minibirds_components.png)' in below(text, 'minibirds', FIGURE_3)
    assert 'The CNN of the separate' not in text
    write_run('minibirds', 'gt2_gap', 0, 33, 30)
    assert 'The CNN of the separate lines has an accuracy of 82.5 (1)' in below(
        report(), 'minibirds', FIGURE_3)


def paired(first, second, value=0.):
    """p-value of "the difference is above a value", by Student's formulas, and half a 95 %
    interval."""
    differences = numpy.subtract(first, second)
    error = numpy.sqrt(((differences - differences.mean()) ** 2).sum() / (len(differences) - 1)
                       / len(differences))
    freedom = len(differences) - 1
    low, high = 0., 1000.
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if stdtr(freedom, middle) < .975 else (low, middle)
    return 1 - stdtr(freedom, (differences.mean() - value) / error), low * error


def comparison_of(samples, equal=False, p_corrected=None):
    comparison = Comparison('a', 'x', 'y', '', samples, equal)
    return comparison._replace(p_corrected=comparison.p if p_corrected is None else p_corrected)


@pytest.mark.parametrize('seed', range(3))
def test_comparison_is_a_paired_test(seed):
    random = numpy.random.RandomState(seed)
    start = random.normal(0, 5, 5)      # which a pair shares
    samples = [start + random.normal(50, 1, 5), start + random.normal(51, 1, 5)]
    above, half_width = paired(*samples)
    comparison = comparison_of(samples)
    assert comparison.p == pytest.approx(2 * min(above, 1 - above), rel=1e-6)
    centre = samples[0].mean() - samples[1].mean()
    assert comparison.difference == pytest.approx(centre)
    assert comparison.interval == pytest.approx((centre - half_width, centre + half_width),
                                                rel=1e-9)
    deviation = numpy.sqrt((samples[0].var(ddof=1) + samples[1].var(ddof=1)) / 2)
    assert comparison.effect == pytest.approx(centre / deviation)
    same = comparison_of(samples, equal=True)
    assert same.p == pytest.approx(max(paired(*samples, -2.)[0], 1 - paired(*samples, 2.)[0]))


@pytest.mark.parametrize('samples, equal, verdict', [
    (([9, 10, 12], [1, 2, 3]), False, 'holds'),
    (([1, 2, 3], [9, 10, 12]), False, 'the opposite holds'),
    (([9, 10, 11], [1, 2, 3]), False, 'holds'),         # all pairs differ by the same
    (([1, 2, 3], [2, 1, 5]), False, 'not shown'),
    (([9, 10, 12], [1, 2, 3]), True, 'does not hold: they differ by more than 2 points'),
    (([1, 2, 3], [9, 10, 12]), True, 'does not hold: they differ by more than 2 points'),
    (([1, 2, 3], [1.5, 2.5, 3.6]), True, 'holds: the same within 2 points'),
    (([1, 2, 3], [2, 4, 4.5]), True, 'not shown'),
    (([1, 2, 3], [1, 2, 3]), False, 'not shown'),
    (([1, 2, 3], [1, 2, 3]), True, 'holds: the same within 2 points'),
    (([1, 5, 9], [5, 1, 7]), True, 'not shown'),
    (([1], [2]), False, 'too few runs'),
])
@pytest.mark.filterwarnings('error')
def test_verdicts(samples, equal, verdict):
    n = len(samples[0])
    assert (comparison_of(samples, equal) if n > 1 else Comparison(
        'a', 'x', 'y', '', samples, equal)).verdict == verdict


def test_verdict_is_by_the_corrected_p():
    samples = [9, 10, 12], [1, 2, 3]
    assert comparison_of(samples).verdict == 'holds'
    assert comparison_of(samples, p_corrected=.06).verdict == 'not shown'


def test_holm():
    """Textbook: the smallest of n is multiplied by n, the next by n - 1; they never fall."""
    assert claims.holm([.01, .04, .03, .005]) == pytest.approx([.03, .06, .06, .02])
    assert claims.holm([.5, .9]) == [1, 1] and claims.holm([.02]) == [.02] and claims.holm([]) == []
    random = numpy.random.RandomState(0)
    false = [min(claims.holm(random.uniform(size=10))) < .05 for _ in range(4000)]
    assert .035 < numpy.mean(false) < .065


def compare(letter, dataset='minibirds'):
    return claims.compare(Results(), published.read(), dataset)[letter]


def test_claims_of_the_runs_that_are_there(results):
    for_a, for_c = compare('a'), compare('c')
    assert [(comparison.first, comparison.second, comparison.stream) for comparison in for_a] == [
        ('gt_fve_shuffled', 'gt_gap_shuffled', stream)
        for stream in ('both streams', 'part stream alone')]
    for comparison, more in zip(for_a, (0, 2)):
        numpy.testing.assert_allclose(comparison.samples, [percent('gt_fve_shuffled', more),
                                                           percent('gt_gap_shuffled', more)])
    assert [(comparison.first, comparison.second) for comparison in for_c[::2]] == [
        ('gt2_fve', 'gt2_separate_k1'), ('gt2_fve_k5', 'gt2_separate_k5')]
    assert compare('d') == compare('e') == []


def p_in_words(p):
    return '< 0.001' if p < .001 else f'{p:.3f}'


def test_claims_in_the_report(results):
    text = report()
    in_detail = below(text, 'minibirds', 'Claims of the paper')
    assert re.findall(r'\*\*\((.)\)\*\*', in_detail) == ['a', 'b', 'c']
    cells = next(cells for cells in rows_of(in_detail) if cells['first'] == '`gt_fve_shuffled`'
                 and cells['second'] == '`gt_gap_shuffled`')
    samples = percent('gt_fve_shuffled'), percent('gt_gap_shuffled')
    above, half_width = paired(*samples)
    p, difference = 2 * min(above, 1 - above), samples[0].mean() - samples[1].mean()
    both = claims.compare(Results(), published.read(), 'minibirds')
    p_values = [one.p for of_claim in both.values() for one in of_claim if one.n_pairs > 1]
    p_corrected = claims.holm(p_values)[0]
    deviation = numpy.sqrt((samples[0].var(ddof=1) + samples[1].var(ddof=1)) / 2)
    assert cells == {
        'first': '`gt_fve_shuffled`', 'second': '`gt_gap_shuffled`',
        'prediction of': 'both streams', 'first: %': in_words(samples[0]),
        'second: %': in_words(samples[1]), 'difference': f'{difference:+.1f}',
        '95 % interval': f'{difference - half_width:+.1f} ... {difference + half_width:+.1f}',
        'effect': f'{difference / deviation:+.1f}', 'p': p_in_words(p),
        'p, corrected': p_in_words(p_corrected), 'verdict': 'not shown'}
    counts = [cells['minibirds'] for cells in rows_of(text.split('\n## minibirds')[0])]
    assert counts[0] == 'not shown: 2' and counts[3:] == ['', '']
    assert p < .05 < p_corrected        # of eight comparisons


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
    last = compare('c')[-1]
    assert (last.first, last.second, last.stream) == (
        'variation over K: separate', 'variation over K: joint', 'both streams')
    numpy.testing.assert_allclose(last.samples, [expected['separate'], expected['joint']])


def test_classes_and_visible_parts_by_hand(results):
    of_runs = Results()
    names, values = tables.class_accuracies(of_runs, 'minibirds', ['gt_fve'])
    correct = {}
    by_parts = {}
    for result in of_runs.of('minibirds', 'gt_fve'):
        for label, predicted, n_visible in zip(*(result.predictions[key] for key in (
                'label', 'both', 'n_visible'))):
            correct.setdefault(label, []).append(label == predicted)
            by_parts.setdefault(n_visible, []).append(label == predicted)
    assert dict(zip(names, values[0])) == pytest.approx(
        {name: 100 * numpy.mean(of_class) for name, of_class in correct.items()})
    assert 0 < values.min() < values.max() < 100 and len(by_parts) == 6
    text = report()
    with open('results/report/minibirds_classes.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(cells['class'], float(cells['gt_fve'])) for cells in rows] == [
        (name, pytest.approx(value, abs=.05)) for name, value in zip(names, values[0])]
    shown = row(text, 'minibirds', 'Classes', **{'class': 'class 1'})
    assert shown['`gt_fve`'] == f'{values[0][1]:.0f}'


def test_groups_hold_all_values_and_never_part_equal_ones():
    values = numpy.array([0] * 50 + [1] * 3 + [2] * 9 + [7] * 30 + [8] * 2)
    groups = figures._groups(values)
    assert (numpy.sum(groups, axis=0) == 1).all()
    for value in set(values):
        assert sum(group[values == value].any() for group in groups) == 1
    assert 2 <= len(groups) <= 6


def test_robustness_table(results):
    cells = row(report(), 'minibirds', 'Fewer parts at test time', run='`gt_fve`')
    both = percent('gt_fve')
    assert cells == {
        'run': '`gt_fve`', 'none hidden': in_words(both),
        **{f'{100 * hide:.0f} % hidden': in_words(both * (1 - hide)) for hide in HIDE},
        'shuffled': in_words(both - 10)}


@pytest.fixture
def lines(results, monkeypatch):
    """Plots of the report: names of files, with points (x, y) by the labels of their lines."""
    pictures = {}

    def keep(figure, path, **options):
        axes, = figure.axes
        labelled = zip(*axes.get_legend_handles_labels())
        pictures[Path(path).name.lstrip('.')] = {
            label: numpy.transpose(getattr(handle, 'lines', [handle])[0].get_data()).astype(float)
            for handle, label in labelled}
        save(figure, path, **options)
    save = Figure.savefig
    monkeypatch.setattr(Figure, 'savefig', keep)
    report()
    return pictures


def test_plots_show_the_numbers(lines):
    shown = {'no_parts', 'gt_gap_shuffled', 'gt_fve_shuffled', 'gt_fve'}
    curves = lines['minibirds_learning_curves.png']
    assert set(curves) == shown
    mean = percent('gt_fve').mean()
    numpy.testing.assert_allclose(curves['gt_fve'], [[i, mean * i / N_EPOCHS] for i in (2, 3)])
    hidden = lines['minibirds_robustness.png']
    assert set(hidden) == shown - {'no_parts'}
    numpy.testing.assert_allclose(hidden['gt_fve'], [[100 * hide, mean * (1 - hide)]
                                                     for hide in (0, *HIDE)])
    of_components = lines['minibirds_components.png']
    assert set(of_components) == {'joint', 'joint, part stream alone', 'separate',
                                  'separate, with the whole image'}
    for stream, more in (('', 0), (', part stream alone', 2)):
        numpy.testing.assert_allclose(
            of_components[f'joint{stream}'],
            [[1, percent('gt2_fve', more).mean()], [5, percent('gt2_fve_k5', more).mean()]])
    for stream, more in ((', with the whole image', 0), ('', 2)):
        numpy.testing.assert_allclose(of_components[f'separate{stream}'], [
            [k, percent(f'gt2_separate_k{k}', more).mean()] for k in (1, 5)])


def test_plot_of_visible_parts_has_all_images(lines):
    n_visible, correct = [], []
    for seed in (0, 1):
        with open(f'results/minibirds/gt_fve/seed{seed}/predictions.csv', newline='') as file:
            for image in csv.DictReader(file):
                n_visible.append(int(image['n_visible']))
                correct.append(image['both'] == image['label'])
    n_visible, correct = numpy.array(n_visible), numpy.array(correct)
    groups = figures._groups(n_visible)
    assert len(n_visible) == 2 * N_IMAGES and len(groups) > 3
    numpy.testing.assert_allclose(
        lines['minibirds_visible_parts.png']['gt_fve'],
        [[n_visible[group].mean(), 100 * correct[group].mean()] for group in groups])


def test_mixtures_at_the_end_of_training(results):
    write_run('minibirds', 'gt_gradient_fve', 0, 20, 20)
    text = report()
    assert row(text, 'minibirds', 'Mixtures', run='`gt_fve`') == {
        'run': '`gt_fve`', 'entropy of the weights': '0.85 ± 0.07 (2)',
        'geometric mean of the variances': f'{1 + N_EPOCHS:.2f} ± 0.00 (2)',
        'share at var_floor': '0.25 ± 0.00 (2)',
        'log likelihood': f'{-150 - N_EPOCHS:.2f} ± 0.00 (2)'}
    names = {cells['run'] for cells in rows_of(below(text, 'minibirds', 'Mixtures'))}
    assert names == {'`gt_fve`', '`gt_fve_shuffled`', '`gt2_fve`', '`gt2_fve_k5`'}


def test_settings_that_differ(results):
    text = report()
    settings = below(text, 'minibirds', 'Settings')
    cells = row(text, 'minibirds', 'Settings', run='`gt2_fve_k5`')
    assert cells['data.parts'] == 'GT2' and cells['model.n_components'] == '5'
    without_parts = row(text, 'minibirds', 'Settings', run='`no_parts`')
    assert without_parts['model.n_components'] == without_parts['data.order'] == ''
    shared = next(line for line in settings.splitlines()
                  if line.startswith('All experiments share:'))
    assert 'data.dataset minibirds' in shared and 'model.n_components' not in shared
    assert 'training.seed' not in text


def test_what_is_missing_and_what_is_left_out(results, capsys):
    write_run('minibirds', 'gt_gap', 0, 20, 20, ['training.epochs=3'])
    (write_run('minibirds', 'gt_gap', 1, 20, 20) / 'model.npz').unlink()
    (write_run('minibirds', 'gt_gap', 3, 20, 20) / 'evaluation.yml').unlink()
    (write_run('minibirds', 'gt_gap', 4, 20, 20) / 'predictions.csv').unlink()
    write_run('minibirds', 'gt_gap', 2, 20, 20, ['training.workers=3'])     # has no effect
    text = report()
    cells = row(text, 'minibirds', TABLE_1, method='GAP', parts='ordered parts')
    assert cells['ours'] == '50.0 (1)'
    printed = capsys.readouterr().out
    for reason in ('gt_gap/seed0: differs from its config in training.epochs',
                   *(f'gt_gap/seed{seed}: is not finished' for seed in (1, 3, 4))):
        assert f'- results/minibirds/{reason}\n' in below(text, 'Missing runs')
        assert f'skipped: results/minibirds/{reason}\n' in printed
    assert printed.count('skipped') == 4
    lacking = next(line for line in below(text, 'Missing runs').splitlines()
                   if line.startswith('minibirds: '))
    assert '`gt_fve` (2 of 3)' in lacking
    assert '`gt_gap` (1 of 3)' in lacking and '`gt2_fve_k50` (0 of 3)' in lacking
    assert 'gt2_fve`' not in lacking and 'pretrain' not in lacking
    assert 'Data sets without runs: CUB-200-2011, NA-Birds, Birdsnap, digits, animals.' in below(
        text, 'Missing runs')


def test_predictions_of_another_evaluation_are_left_out(results):
    path = Path('results/minibirds/gt_fve/seed1/predictions.csv')
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(''.join(lines[:-1]))
    reason = f'{path.parent}: predictions and evaluation do not agree; evaluate it again'
    assert f'- {reason}' in below(report(), 'Missing runs')


def test_a_report_that_was_interrupted_is_begun_again(results, monkeypatch):
    shutil.rmtree('results/report', ignore_errors=True)
    with monkeypatch.context() as patch:
        patch.setattr('finetune.report.report.to_html', lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            report()
    assert report()


@pytest.mark.parametrize('alone', [False, True])
def test_experiments_of_ones_own_have_a_table(alone, results):
    Path('configs').unlink()
    shutil.copytree(CONFIGS, 'configs')
    shutil.copytree('configs/minibirds', 'configs/mine')
    write_run('mine', 'gt_fve', 0, 30, 20)
    write_run('mine', 'gt_fve', 1, 30, 20)
    if alone:
        shutil.rmtree('results/minibirds')
    cells = row(report(), 'Other experiments', run='`mine/gt_fve`')
    assert (cells['data set'], cells['encoding']) == ('minibirds', 'fve')
    assert cells['ours'] == '75.0 ± 0.0 (2)' and cells['parts alone'] == '50.0 ± 0.0 (2)'


def test_every_run_is_listed_with_its_settings(results):
    write_run('minibirds', 'pretrain', 0, 9)        # is none of an experiment
    shutil.rmtree('results/minibirds/gt_gap', ignore_errors=True)
    write_run('minibirds', 'gt_gap', 3, 30, 20)
    report()
    with open('results/report/runs.csv', newline='') as file:
        rows = {cells['run']: cells for cells in csv.DictReader(file)}
    finished = {str(path.parent) for path in Path('results').glob('minibirds/*/*/model.npz')
                if 'pretrain' not in path.parts}
    assert finished <= set(rows) and 'results/minibirds/pretrain/seed0' not in rows
    by_name = {}
    for run, cells in rows.items():
        assert re.fullmatch('[0-9a-f]{12}', cells['settings'])
        by_name.setdefault(Path(run).parts[1:3], set()).add(cells['settings'])
    hashes = [tuple(of_name) for of_name in by_name.values()]
    assert all(len(of_name) == 1 for of_name in hashes) and len(set(hashes)) == len(hashes)
    gap = rows['results/minibirds/gt_gap/seed3']
    assert (gap['both'], gap['global'], gap['parts']) == ('75', '72.5', '50')
    assert gap['entropy of the weights'] == ''
    fve = rows['results/minibirds/gt_fve/seed1']
    assert float(fve['entropy of the weights']) == pytest.approx(mixture_of(
        N_EPOCHS, 1)['main/weight_entropy'])


def test_variants_beside_what_they_change(results):
    Path('configs').unlink()
    shutil.copytree(CONFIGS, 'configs')
    Path('configs/variants').mkdir()
    shutil.copy('configs/minibirds/gt2_fve_k5.yml', 'configs/variants/whole.yml')
    numbers = {'whole': (20, 25, 24), 'less': (15, 21, 18), 'other': (22, 23, 25)}
    for name in 'less', 'other':
        Path(f'configs/variants/{name}.yml').write_text(
            f'base: configs/variants/whole.yml\nmodel: {{ema_decay: 0.{len(name)}}}\n')
    for name, of_name in numbers.items():
        for seed, n in enumerate(of_name):
            write_run('variants', name, seed, n, n)
    Path('configs/more').mkdir()
    shutil.copy('configs/variants/less.yml', 'configs/more/less.yml')
    for seed, n in enumerate(numbers['less']):
        write_run('more', 'less', seed, n, n)
    text, samples = report(), {name: 100 * numpy.array(n) / N_IMAGES for name, n in numbers.items()}
    p = {}
    for name in 'less', 'other':
        above, half_width = paired(samples[name], samples['whole'])
        p[name] = 2 * min(above, 1 - above)
        cells = row(text, 'Other experiments', run=f'`variants/{name}`')
        difference = samples[name].mean() - samples['whole'].mean()
        assert cells['difference from its base'] == f'{difference:+.1f}'
        assert cells['95 % interval'] == (
            f'{difference - half_width:+.1f} ... {difference + half_width:+.1f}')
        assert cells['p'] == p_in_words(p[name])
    assert row(text, 'Other experiments', run='`variants/less`')['p, corrected'] == p_in_words(
        2 * p['less'])
    assert row(text, 'Other experiments', run='`more/less`')['p, corrected'] == p_in_words(
        p['less'])          # the only one of its folder
    assert row(text, 'Other experiments', run='`variants/whole`')['p'] == ''


def test_report_of_what_the_program_writes(finished_run, finished_gap, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, run in (('gt_fve', finished_run), ('gt_gap', finished_gap)):
        Path('configs/cub200').mkdir(parents=True, exist_ok=True)
        shutil.copy(run.parents[2] / 'config.yml', f'configs/cub200/{name}.yml')
        shutil.copytree(run, f'results/cub200/{name}/seed0')
    text = report()
    for parts, run in (('only visible parts', finished_run), ('ordered parts', finished_gap)):
        evaluation = yaml.safe_load((run / 'evaluation.yml').read_text())
        method = 'FVE' if run == finished_run else 'GAP'
        cells = row(text, 'CUB-200-2011', TABLE_1, method=method, parts=parts)
        assert cells['ours'] == f'{100 * evaluation["accuracy"]["both"]:.1f} (1)'
        assert cells['part stream alone'] == f'{100 * evaluation["accuracy"]["parts"]:.1f} (1)'
        assert cells['parameters'] == f'{evaluation["n_parameters"]:,}'
        cells = row(text, 'CUB-200-2011', 'Fewer parts at test time', run=cells['run'])
        robustness = evaluation['robustness']
        assert cells['50 % hidden'] == f'{100 * robustness["hidden"][.5]["both"]:.1f} (1)'
        assert cells['shuffled'] == f'{100 * robustness["shuffled"]["both"]:.1f} (1)'


class Page(HTMLParser):
    """Checks that what is opened is closed; keeps what is referred to, and cells of tables."""

    def __init__(self):
        super().__init__()
        self.open, self.references, self.rows = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ('meta', 'img', 'br', 'wbr'):
            self.open.append(tag)
        if tag == 'tr':
            self.rows.append([])
        if tag in ('th', 'td'):
            self.rows[-1].append('')
        self.references += [value for name, value in attributes if name in ('src', 'href')]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if 'th' in self.open or 'td' in self.open:
            self.rows[-1][-1] += data


def test_experiments_without_parts_are_in_no_plot_of_parts(results, folder):
    for name in ('global_fve', 'cs_parts_cnn'):
        write_run('minibirds', name, 0, 20)
    text = report()
    assert '`global_fve`' in below(text, 'minibirds', 'State of the art (Table 2, Sect. 4.5)')
    for heading in ('Fewer parts at test time', 'Accuracy and visible parts'):
        assert 'global_fve' not in below(text, 'minibirds', heading)


def test_html_stands_alone_and_says_the_same(results):
    text = report()
    page = Page()
    page.feed(Path('results/report/report.html').read_text(encoding='utf-8'))
    assert page.open == []
    assert page.references and all(reference.startswith('data:image/png;base64,')
                                   for reference in page.references)
    assert page.rows == [cells_of(line.replace('`', '')) for line in text.splitlines()
                         if line.startswith('|') and '---' not in line]
    pictures = re.findall(r'!\[.+\]\((.+)\)', text)
    assert len(pictures) == len(page.references) == 4
    for name in pictures:
        with Image.open(Path('results/report', name)) as picture:
            assert min(picture.size) > 300


def test_texts_are_escaped():
    table = document.table(['a|b'], [['-1.5'], ['<script>'], ['001.Finch_of_two'],
                                     ['61.2 ± 1.8 (5)'], ['+0.3 ... +2.1'], ['< 0.001']])
    markdown = f'# a < b & c\n\n`x<y>` is **not** <b>\n\n<script>\n\n{table}\n'
    page = document.to_html(markdown, '.')
    for text in ('a &lt; b &amp; c', '<code>x&lt;y&gt;</code> is <strong>not</strong> &lt;b&gt;',
                 '<td class="number">-1.5</td>', '<td>&lt;script&gt;</td>',
                 '<td>001.<wbr>Finch_<wbr>of_<wbr>two</td>', '<p>&lt;script&gt;</p>',
                 '<td class="number">61.2 ± 1.8 (5)</td>', '<td class="number">+0.3 ... +2.1</td>',
                 '<td class="number">&lt; 0.001</td>'):
        assert text in page
    assert '<title>a &lt; b &amp; c</title>' in page and '<th>a|b</th>' in page
    assert '| a\\|b |' in table


@pytest.mark.parametrize('name', [
    '001.Black_footed_Albatross', '_a_ __b__', '*a*', '`a`', 'a\\', '\\_', 'a|b\\', '[x](y)',
    '<b>&lt;', '![x](y)', 'price $5 #1', 'a\nb\x1b', 'caf\udce9', '<http://a.b>'])
def test_names_of_classes_are_shown_as_they_are(name):
    text = document.table(['class'], [[document.literal(name)]])
    page = document.to_html(f'# Title\n\n{text}\n', '.')
    cell = re.search(r'<td.*?>(.*?)</td>', page)[1].replace('<wbr>', '')
    assert html.unescape(cell) == shown(name)
    assert name != '001.Black_footed_Albatross' or name in text


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
    (lambda: (write_run('digits', 'gt_fve', 0, 9, 9) / 'model.npz').unlink(),
     'skipped: results/digits/gt_fve/seed0: is not finished); run ./train.sh first.'),
    (lambda: (write_run('digits', 'gt_fve', 0, 9, 9), Path('results/report').mkdir(),
              Path('results/report/thesis.txt').write_text('years')),
     'results/report: holds something other than a report; give another folder with --output.'),
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
    rows = [row for table in numbers.tables for row in table.rows if row.run]
    assert len(rows) == 20
    for of_ours in rows:
        for dataset, value in of_ours.accuracies.items():
            path = CONFIGS / dataset / f'{of_ours.run}.yml'
            expected = f'# Expect: {value[0]:.2f} +- {value[1]:.2f} % (published'
            assert expected in path.read_text()
        assert (CONFIGS / 'minibirds' / f'{of_ours.run}.yml').exists()
    for dataset in ('cub200', 'minibirds'):
        for k, name in ((k, name) for line in numbers.figure['lines'].values()
                        for k, name in line.items()):
            settings = read_config(CONFIGS / dataset / f'{name}.yml')
            assert settings.model.n_components == k and settings.data.parts == 'GT2'
            assert settings.training.is_joint == ('separate' not in name)


# What the paper says is better, or for (b) the same, with the encodings that its claims name.
ENCODINGS = {'a': ('fve', 'gap'), 'b': ('fve', 'fve'), 'e': ('fve', 'gradient_fve')}


@pytest.mark.parametrize('dataset', ['cub200', 'minibirds'])
def test_claims_are_about_experiments_that_exist(dataset):
    existing = {path.stem: path for path in (CONFIGS / dataset).glob('*.yml')}
    for claim in claims.CLAIMS:
        pairs = claim.pairs(published.read())
        known = [pair for pair in pairs if set(pair) <= set(existing)]
        assert known
        if dataset == 'minibirds':
            assert known == pairs
        for pair in known:
            first, second = (read_config(existing[name]) for name in pair)
            if claim.letter in ENCODINGS:
                assert (first.model.encoding, second.model.encoding) == ENCODINGS[claim.letter]
            if claim.letter == 'c':
                assert first.training.is_joint and not second.training.is_joint
            if claim.letter == 'd':
                assert (first.model.encoding, second.model.encoding) in (
                    ('fve', 'gap'), ('gap', 'gap'))
                assert second.data.parts in (first.data.parts, 'GLOBAL')
            if claim.letter in 'ce':
                assert first.model.n_components == second.model.n_components
