"""Tables of the results with a pre-trained CNN, on minibirds whose details only a crop shows.

The comparisons are those of plan_details.md. Differences are paired by drawing.
"""
import csv
from pathlib import Path

import numpy

from compare_experiments import accuracies
import table_cells
from table_cells import difference, in_paper, of_run, planned_result, so_far, spread
from finetune.report.claims import MARGIN

REPORT = Path(__file__).resolve().parent / 'report_pretrained_cnn/runs.csv'
PARTS, LEARNING = REPORT.with_name('parts.csv'), REPORT.with_name('learning.csv')
MEASURES = 'pointing', 'covered', 'area', 'IoU'
FOLDER = 'details'

CLAIMS = {
    '(a) FVE above GAP, parts in random order': 'gt_fve_shuffled gt_gap_shuffled',
    '(b) FVE, random order equals fixed order': 'gt_fve_shuffled gt_fve_ordered',
    '(c) joint above separate, K = 1': 'gt2_fve gt2_separate_k1',
    '(c) joint above separate, K = 5': 'gt2_fve_k5 gt2_separate_k5',
    '(c) joint above separate, K = 20': 'gt2_fve_k20 gt2_separate_k20',
    '(d) FVE above GAP, found parts': 'cs_parts_fve cs_parts_gap',
    '(d) GAP, found parts above no parts': 'cs_parts_gap no_parts',
    '(d) FVE, found parts above GAP, no parts': 'cs_parts_fve no_parts',
    '(e) EM above back-propagation, K = 1': 'gt_fve gt_gradient_fve',
    'recommended settings above the paper\'s, K = 20': 'gt2_recommended_k20 gt2_fve_k20',
}
# Which are compared with one component, in the same settings.
RECOMMENDED = {
    'recommended settings, K = 20 not below K = 1': 'gt2_recommended_k20 gt2_recommended_k1',
    'recommended settings, K = 50 not below K = 1': 'gt2_recommended_k50 gt2_recommended_k1',
}
FOUND = {
    'cross-fitted SVM above an SVM that has seen all': 'cs_parts_folds_fve cs_parts_imagenet_fve',
    'CNN that has seen no image above one that has': 'cs_parts_imagenet_fve cs_parts_tight_fve',
    'FVE of smaller found parts above one image of the same number of pixels':
        'cs_parts_tight_fve no_parts_224',
    'FVE of cross-fitted parts above one image of the same number of pixels':
        'cs_parts_folds_fve no_parts_224',
}
METHODS = {
    'no_parts': 'GAP, no parts', 'no_parts_224': 'GAP, no parts, 224 pixels',
    'gt_gap_shuffled': 'GAP, parts in random order', 'gt_gap': 'GAP, parts in fixed order',
    'gt_fve_shuffled': 'FVE, parts in random order', 'gt_fve_ordered': 'FVE, parts in fixed order',
    'gt_fve': 'FVE, only visible parts',
    'gt_gradient_fve': 'FVE by back-propagation, only visible parts',
    'cs_parts_gap': 'GAP, found parts', 'cs_parts_fve': 'FVE, found parts',
    'cs_parts_gradient_fve': 'FVE by back-propagation, found parts',
    'cs_parts_tight_fve': 'FVE, smaller found parts',
    'cs_parts_imagenet_fve': 'FVE, smaller parts, found by the CNN as it was',
    'cs_parts_folds_fve': 'FVE, the same, cross-fitted',
    'gt2_gap': 'GAP, grouped parts', 'gt2_fve': 'FVE, grouped parts',
}
BOXES = {**{name: METHODS[name] for name in (
    'cs_parts_fve', 'cs_parts_tight_fve', 'cs_parts_imagenet_fve', 'cs_parts_folds_fve')},
    'random_places': 'boxes of the first row\'s sizes at random places'}
LINES = {'joint': 'gt2_fve', 'separate': 'gt2_separate_k', 'separate, plain':
         'gt2_separate_plain_k', 'joint, recommended': 'gt2_recommended_k'}
NUMBERS_OF_COMPONENTS = 1, 5, 20, 50
SETTINGS = {
    '': 'none; all', 'relative_floor': '`relative_var_floor: 1`, `var_floor: 1e-9`',
    'all_features': '`norm_filter: false`', 'no_resp_gradient': '`resp_gradient: false`',
    'power': '`power_normalize: true`', 'l2': '`l2_normalize: true`',
    'scaled_to_norm': '`scaled_to: norm`',
}


def compared(pairs):
    """Comparisons by words of what has been run on at least two drawings."""
    return table_cells.compared(REPORT, {words: (*(f'{FOLDER}/{name}' for name in pair.split()),
                                           ' equals ' in words) for words, pair in pairs.items()})


def not_below(one):
    """Whether the first is not below the second by the margin, by the 95 % interval."""
    low, high = one.interval
    return so_far(one.n_pairs) or (
        '**holds**' if low > -MARGIN else '**does not hold**' if high < -MARGIN else '**open**')


def n_drawings(name):
    return len(accuracies(REPORT, f'{FOLDER}/{name}'))


def where_parts_are():
    """Means over the drawings of the measures of found parts."""
    yield 'parts of', 'images', 'n', *(f'{measure}, %' for measure in MEASURES)
    for name, words in BOXES.items():
        for split in 'training', 'test':
            key = f'{FOLDER}/{name}/{split.removesuffix("ing")}'
            n = len(accuracies(PARTS, key, MEASURES[0]))
            if n:
                yield (words, split, str(n), *(of_run(PARTS, key, measure)
                                               for measure in MEASURES))


def claims_pretrained():
    yield 'claim', 'n', 'first, %', 'second, %', 'difference', 'result', 'CUB-200-2011, published'
    for words, one in compared(CLAIMS).items():
        yield (words, str(one.n_pairs), *map(spread, one.samples), difference(one),
               planned_result(one), in_paper(tuple(CLAIMS[words].split())))
    for words, one in compared(RECOMMENDED).items():
        yield (words, str(one.n_pairs), *map(spread, one.samples), difference(one),
               not_below(one), '')


def methods_pretrained():
    """Tables 1 and 2: every row, beside no parts."""
    yield 'method', 'n', 'both streams, %', 'parts', 'whole image', 'minus no parts', 'run'
    for name, words in METHODS.items():
        run, n = f'{FOLDER}/{name}', n_drawings(name)
        gain = compared({words: f'{name} no_parts'}) if name != 'no_parts' else {}
        if n:
            yield (words, str(n), *(of_run(REPORT, run, stream) for stream in (
                'both', 'parts', 'global')), *map(difference, gain.values()), *[''] * (not gain),
                f'`{name}`')


def components_pretrained():
    """Fig. 3: as the paper has it, and with both lines encoded alike."""
    yield ('K', 'n', *(f'{line}{words}' for words in ('', ': part stream') for line in LINES))
    for k in NUMBERS_OF_COMPONENTS:
        names = [name_of(line, k) for line in LINES]
        n = sorted({n_drawings(name) for name in names})
        yield (str(k), ' to '.join(map(str, n)), *(
            of_run(REPORT, f'{FOLDER}/{name}', stream)
            for stream in ('both', 'parts') for name in names))


def name_of(line, k):
    """The config of a point of Fig. 3."""
    if line == 'joint':
        return LINES[line] + (f'_k{k}' if k > 1 else '')
    return f'{LINES[line]}{k}'


def found_parts_pretrained():
    yield 'question', 'n', 'first, %', 'second, %', 'difference', 'result'
    for words, one in compared(FOUND).items():
        yield (words, str(one.n_pairs), *map(spread, one.samples), difference(one),
               planned_result(one))


def records():
    """Rows of learning.csv, by variant and number of components."""
    found = {}
    with open(LEARNING, newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file):
            found.setdefault((row['variant'], row['components']), []).append(row)
    return found


def first_and_last(rows, name):
    """Medians of the first and of the last ten records."""
    return [f'{numpy.median([float(row[name]) for row in part]):.2g}'
            for part in (rows[:10], rows[-10:])]


def learning_pretrained():
    """Single runs on drawing 0, the paper's settings and the recommended ones."""
    yield ('run', 'K', 'test accuracy, %', 'dead channels, %, first', 'last',
           'deviation within a component, first', 'last', 'gradient, first', 'last')
    for (variant, k), rows in sorted(records().items(), key=lambda item: (
            item[0][0].rpartition('_k')[0], int(item[0][1]))):
        if '_with' not in variant:
            yield (f'`{variant}`', k, f'{float(rows[0]["accuracy"]):.1f}', *(
                cell for name in ('dead', 'within', 'gradient')
                for cell in first_and_last(rows, name)))


def settings_pretrained():
    """Each of the recommended settings alone, and all but it; single runs, K = 20."""
    yield 'setting', *(f'{words}{column}' for words in (
        'alone: ', 'all others: ') for column in (
            'test accuracy, %', 'dead channels, %, last', 'gradient, last'))
    found = {variant: rows for (variant, k), rows in records().items() if k == '20'}
    for setting, words in SETTINGS.items():
        runs = [found[f'{name}{setting and link + setting}'] for name, link in (
            ('paper_k20', '_with_'), ('recommended_k20', '_without_'))]
        yield words, *(cell for rows in runs for cell in (
            f'{float(rows[0]["accuracy"]):.1f}', first_and_last(rows, 'dead')[1],
            first_and_last(rows, 'gradient')[1]))


TABLES = (claims_pretrained, methods_pretrained, components_pretrained, found_parts_pretrained,
          where_parts_are, learning_pretrained, settings_pretrained)
