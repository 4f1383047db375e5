"""Tables of the report, as blocks of a document."""
import collections

import numpy

from finetune import config as configuration
from finetune.report.claims import compare
from finetune.report.document import Commands, Items, Paragraph, Table
from finetune.report.published import STAND_INS, TITLES
from finetune.report.runs import spread
from finetune.training import results

N_HARDEST = 10          # classes in the table of classes


def accuracies(table, runs, dataset):
    """A table of the paper beside our runs on one data set, and the best gains over no parts."""
    stands_in = dataset in STAND_INS
    baseline = table.rows[[row.setup for row in table.rows].index('no parts')]
    header = ['method', 'parts', f'published ({TITLES["cub200" if stands_in else dataset]})',
              'ours', 'part stream alone',
              'gain, published', 'gain, ours',
              *([] if stands_in else ['ours − published']), 'parameters', 's per epoch', 'run']
    rows = []
    for row in table.rows:
        published, name = row.published(dataset), row.names.get(dataset)
        ours = list(runs.accuracy(dataset, name).values())
        if published is None and not ours:
            continue
        cells = [row.method, row.setup, _published(published), spread(ours) if name else '',
                 spread(runs.accuracy(dataset, name, 'accuracy_parts').values()),
                 _gain(published, baseline.published(dataset)) if name else '',
                 _difference(ours, list(runs.accuracy(
                     dataset, baseline.names[dataset]).values())) if row is not baseline else '']
        if not stands_in:
            cells.append(_difference(ours, published[:1]) if published else '')
        rows.append([*cells, *_costs(runs, dataset, name), f'`{name}`' if name else 'of others'])
    return Table(header, rows)


def components(figure, runs, dataset):
    """Fig. 3 in numbers: lines over numbers of components, and each line's costs."""
    lines = figure['lines']
    header = ['K']
    for line in lines:
        header += [line, f'{line}: part stream alone']
    rows = []
    for k in next(iter(lines.values())):
        cells = [str(k)]
        for names in lines.values():
            for stream in ('accuracy', 'accuracy_parts'):
                cells.append(spread(runs.accuracy(dataset, names[k], stream).values()))
        rows.append(cells)
    costs = [[str(k), line, *_costs(runs, dataset, names[k]), f'`{names[k]}`']
             for line, names in lines.items() for k in names if runs.of(dataset, names[k])]
    blocks = [Table(header, rows)]
    cnn = spread(runs.accuracy(dataset, figure['cnn']).values())
    if cnn:
        blocks.append(Paragraph(f'The CNN of the separate ones has {cnn} itself, with GAP of '
                                f'ordered parts (`{figure["cnn"]}`).'))
    return [*blocks, Table(['K', 'line', 'parameters', 's per epoch', 'run'], costs)]


def verdicts(claims, runs):
    """How many comparisons of each claim came out how, by data set."""
    rows = []
    for claim in claims:
        counts = [collections.Counter(one.verdict for one in compare(claim, runs, dataset))
                  for dataset in runs.data_sets]
        rows.append([f'({claim.letter}) {claim.text}',
                     *('; '.join(f'{verdict}: {n}' for verdict, n in some.items())
                       for some in counts)])
    return Table(['claim', *(TITLES[dataset] for dataset in runs.data_sets)], rows)


def comparisons(found):
    """The comparisons of one claim."""
    rows = []
    for one in found:
        p, interval = one.test or ('', ('', ''))
        rows.append([f'`{one.first}`' if ' ' not in one.first else one.first,
                     f'`{one.second}`' if ' ' not in one.second else one.second, one.stream,
                     spread(one.samples[0]), spread(one.samples[1]), f'{one.difference:+.1f}',
                     _p_value(p), '' if p == '' else f'{interval[0]:+.1f} ... {interval[1]:+.1f}',
                     one.verdict])
    return Table(['first', 'second', 'prediction of', 'first: %', 'second: %', 'difference', 'p',
                  '95 % interval', 'verdict'], rows)


def robustness(runs, dataset, names):
    """Accuracy of trained models when test images show fewer parts, or parts in disorder."""
    found = [(name, runs.of(dataset, name)) for name in names]
    found = [(name, some) for name, some in found if some and 'robustness' in some[0].evaluation]
    if not found:
        return None
    hidden = list(found[0][1][0].evaluation['robustness']['hidden'])
    rows = []
    for name, some in found:
        tests = [run.evaluation['robustness'] for run in some]
        rows.append([f'`{name}`', spread(runs.accuracy(dataset, name).values()),
                     *(spread(100 * test['hidden'][hide]['accuracy'] for test in tests)
                       for hide in hidden),
                     spread(100 * test['shuffled']['accuracy'] for test in tests)])
    return Table(['run', 'as they are', *(f'{100 * hide:.0f} % hidden' for hide in hidden),
                  'shuffled'], rows)


def class_accuracies(runs, dataset, names):
    """Share of correct predictions by class, over all seeds.

    Returns:
        tuple: Names of the classes, and an array (len(names), number of classes) in per cent.

    """
    values = []
    for name in names:
        label, predicted = (numpy.concatenate([run.predictions[key] for run in
                                               runs.of(dataset, name)])
                            for key in ('label', 'predicted'))
        class_names, numbers, counts = numpy.unique(label, return_inverse=True, return_counts=True)
        values.append(numpy.bincount(numbers, label == predicted) / counts)
    return list(class_names), 100 * numpy.array(values)


def hardest_classes(names, class_names, values):
    """The classes that the runs recognise least, on average."""
    order = numpy.argsort(values.mean(axis=0), kind='stable')[:N_HARDEST]
    rows = [[class_names[i], *(f'{value:.0f}' for value in values[:, i])] for i in order]
    return Table(['class', *(f'`{name}`' for name in names)], rows)


def run_time(table):
    """Table 3 as published, and how to get ours."""
    rows = [[row['step'], f'{row["milliseconds"]:.1f}', f'{row["percent"]:.2f}']
            for row in table['rows']]
    return [Table(['of an iteration', 'published: ms', 'published: %'], rows),
            Paragraph('The same for this machine:'), Commands('python -m finetune runtime')]


def settings(runs, dataset):
    """The settings in which a data set's experiments differ, and those that all share."""
    configs = {name: some[0].config for (one, name), some in runs.runs.items() if one == dataset}
    values = {setting: [str(configuration.get(config, setting)) for config in configs.values()]
              for setting in configuration.names()
              if setting not in ('training.seed', *results.WITHOUT_EFFECT)}
    differing = [setting for setting, some in values.items() if len(set(some)) > 1]
    rows = [[f'`{name}`', *(values[setting][i] for setting in differing)]
            for i, name in enumerate(configs)]
    shared = ', '.join(f'{setting} {some[0]}' for setting, some in values.items()
                       if setting not in differing and some[0])
    return [Table(['run', *differing], rows), Paragraph(f'The same in all: {shared}.')]


def missing(runs, n_seeds):
    """What was left out, and the experiments of the data sets that have fewer runs than others."""
    blocks = [Items(runs.left_out)] if runs.left_out else []
    lacking = {}
    for dataset, name in runs.experiments:
        if dataset in runs.data_sets and name != 'pretrain':
            n = len(runs.of(dataset, name))
            if n < n_seeds[dataset]:
                lacking.setdefault(dataset, []).append((name, n))
    for dataset, some in lacking.items():
        names = ', '.join(f'`{name}` ({n} of {n_seeds[dataset]})' for name, n in some)
        blocks += [Paragraph(f'{TITLES[dataset]}: {names}.'),
                   Commands(f'./train.sh configs/{dataset} --seeds {n_seeds[dataset]}')]
    others = [dataset for dataset in TITLES if dataset not in runs.data_sets]
    if others:
        blocks += [Paragraph('No run at all: ' + ', '.join(TITLES[one] for one in others) + '.'),
                   Commands('\n'.join(f'./train.sh configs/{one} --seeds 5' for one in others))]
    return blocks or [Paragraph('None.')]


def _published(value):
    if value is None:
        return ''
    mean, deviation = value
    return f'{mean:.2f}' + ('' if deviation is None else f' ± {deviation:.2f}')


def _gain(value, baseline):
    return f'{value[0] - baseline[0]:+.2f}' if value and baseline and value != baseline else ''


def _difference(ours, others):
    return f'{numpy.mean(ours) - numpy.mean(others):+.1f}' if ours and others else ''


def _costs(runs, dataset, name):
    some = runs.of(dataset, name)
    if not some:
        return ['', '']
    seconds = runs.seconds_per_epoch(dataset, name)
    return [f'{some[0].evaluation["n_parameters"]:,}', '' if seconds is None else f'{seconds:.1f}']


def _p_value(p):
    if p == '':
        return ''
    return '< 0.001' if p < .001 else f'{p:.3f}'
