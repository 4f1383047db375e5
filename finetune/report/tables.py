"""Tables of the report in Markdown, with the text around them."""
import collections

import numpy

from finetune.config.catalogue import DATA_SETS
from finetune.config.config import active_names, fingerprint, get
from finetune.config.project import TRAIN
from finetune.config.settings import NO_EFFECT_ON_RESULTS
from finetune.config.streams import COMPARED, STREAMS
from finetune.document import bullets, commands, literal, table
from finetune.report.claims import against_bases, compare
from finetune.report.published import reference
from finetune.report.results import mean_and_deviation
from finetune.runs.scalars import MIXTURE

N_HARDEST = 10          # number of classes in the table of classes
OF_RUNS = [*STREAMS, *(scalar.words for scalar in MIXTURE.values())]


def accuracies(published_table, results, dataset):
    """A table of the paper beside our results on a data set, with gains over no parts."""
    in_paper = DATA_SETS[dataset].in_paper
    baseline = next(row for row in published_table.rows if row.setup == 'no parts')
    header = ['method', 'parts', f'published ({DATA_SETS[reference(dataset)].title})',
              'ours', STREAMS['parts'], 'gain, published', 'gain, ours',
              *(['ours − published'] if in_paper else []), 'parameters', 's per epoch', 'run']
    rows = []
    for row in published_table.rows:
        published, name = row.published(dataset), row.run
        measured = list(results.accuracy(dataset, name).values())
        if published is None and not measured:
            continue
        cells = [row.method, row.setup, _published(published), results.summary(dataset, name),
                 results.summary(dataset, name, 'parts'),
                 _gain(published, baseline.published(dataset)) if name else '',
                 _difference(measured, list(results.accuracy(
                     dataset, baseline.run).values())) if row is not baseline else '']
        if in_paper:
            cells.append(_difference(measured, published[:1]) if published else '')
        rows.append([*cells, *_costs(results, dataset, name),
                     f'`{name}`' if name else 'other paper'])
    return table(header, rows)


def components(figure, results, dataset):
    """Fig. 3 in numbers: accuracy by number of components, and the costs of each run."""
    lines = figure['lines']
    header = ['K']
    for line, names in lines.items():
        header += [f'{line}: {words}' if words else line
                   for words in results.streams(dataset, names.values()).values()]
    rows = []
    for k in next(iter(lines.values())):
        cells = [str(k)]
        for names in lines.values():
            for stream in COMPARED:
                cells.append(results.summary(dataset, names[k], stream))
        rows.append(cells)
    costs = [[str(k), line, *_costs(results, dataset, names[k]), f'`{names[k]}`']
             for line, names in lines.items() for k in names if results.of(dataset, names[k])]
    blocks = [table(header, rows)]
    cnn = results.summary(dataset, figure['cnn'])
    if cnn:
        blocks.append(f'The CNN of the separate lines has an accuracy of {cnn} with GAP of ordered '
                      f'parts (`{figure["cnn"]}`).')
    return [*blocks, table(['K', 'line', 'parameters', 's per epoch', 'run'], costs)]


def verdicts(claims, results, numbers):
    """Number of comparisons of each claim by verdict and data set."""
    by_data_set = [compare(results, numbers, dataset) for dataset in results.data_sets]
    rows = []
    for claim in claims:
        counts = [collections.Counter(one.verdict for one in of_data_set[claim.letter])
                  for of_data_set in by_data_set]
        rows.append([f'({claim.letter}) {claim.text}',
                     *('; '.join(f'{verdict}: {n}' for verdict, n in of_data_set.items())
                       for of_data_set in counts)])
    return table(['claim', *(DATA_SETS[dataset].title for dataset in results.data_sets)], rows)


def comparisons(claim_comparisons):
    rows = []
    for comparison in claim_comparisons:
        first, second = (name if ' ' in name else f'`{name}`'
                         for name in (comparison.first, comparison.second))
        rows.append([first, second, comparison.stream,
                     *map(mean_and_deviation, comparison.samples), *_tested(comparison),
                     comparison.verdict])
    return table(['first', 'second', 'prediction of', 'first: %', 'second: %', 'difference',
                  '95 % interval', 'effect', 'p', 'p, corrected', 'verdict'], rows)


def robustness(results, dataset, names):
    """Accuracy with hidden parts and with parts in random order; ``None`` without part models."""
    tests = {name: [result.evaluation['robustness'] for result in results.of(dataset, name)
                    if 'robustness' in result.evaluation] for name in names}
    tests = {name: runs for name, runs in tests.items() if runs}
    if not tests:
        return None
    shares = list(next(iter(tests.values()))[0]['hidden'])
    rows = [[f'`{name}`', results.summary(dataset, name),
             *(mean_and_deviation(100 * test['hidden'][share]['both'] for test in runs)
               for share in shares),
             mean_and_deviation(100 * test['shuffled']['both'] for test in runs)]
            for name, runs in tests.items()]
    return table(['run', 'none hidden', *(f'{100 * share:.0f} % hidden' for share in shares),
                  'shuffled'], rows)


def class_accuracies(results, dataset, names):
    """Accuracy by class, pooled over seeds.

    Returns:
        tuple: Names of the classes with test images in all experiments, and an array
        (len(names), number of classes) in per cent.

    """
    shares = []
    for name in names:
        label, predicted = (numpy.concatenate([result.predictions[key] for result in
                                               results.of(dataset, name)])
                            for key in ('label', 'both'))
        shares.append({class_name: numpy.mean(predicted[label == class_name] == class_name)
                       for class_name in numpy.unique(label)})
    class_names = sorted(set.intersection(*map(set, shares)))
    return class_names, 100 * numpy.array([[of_name[class_name] for class_name in class_names]
                                           for of_name in shares])


def hardest_classes(names, class_names, values):
    """Table of the classes with the lowest mean accuracy."""
    order = numpy.argsort(values.mean(axis=0), kind='stable')[:N_HARDEST]
    rows = [[literal(class_names[i]), *(f'{value:.0f}' for value in values[:, i])] for i in order]
    return table(['class', *(f'`{name}`' for name in names)], rows)


def mixtures(results, dataset, names):
    """Final statistics of the learned mixtures, means over seeds; ``None`` without mixtures."""
    rows = []
    for name in names:
        last = [result.log[-1] for result in results.of(dataset, name) if result.log]
        if last and all(set(MIXTURE) <= entry.keys() for entry in last):
            rows.append([f'`{name}`', *(mean_and_deviation((entry[key] for entry in last), 2)
                                        for key in MIXTURE)])
    words = [scalar.words for scalar in MIXTURE.values()]
    return table(['run', *words], rows) if rows else None


def others(results):
    """Accuracies of experiments that the paper does not have, and differences from their base."""
    rows, compared = [], against_bases(results)
    for key, runs in results.others.items():
        config, comparison = runs[0].config, compared.get(key)
        rows.append([f'`{key[0]}/{key[1]}`', DATA_SETS[config.data.dataset].title,
                     config.model.encoding, results.summary(*key),
                     *(results.summary(*key, stream) for stream in ('global', 'parts')),
                     *(_tested(comparison) if comparison else 5 * [''])])
    return table(['run', 'data set', 'encoding', 'ours', 'whole image alone', 'parts alone',
                  'difference from its base', '95 % interval', 'effect', 'p', 'p, corrected'], rows)


def runs(results):
    """A row of texts per run: folder, hash of the settings, and the numbers :data:`OF_RUNS`."""
    for result in sum([*results.by_experiment.values(), *results.others.values(),
                       *results.collections.values()], []):
        settings = fingerprint(result.config, ('training.seed', *NO_EFFECT_ON_RESULTS))
        yield [str(result.folder), settings, *numbers(result.evaluation, result.log)]


def numbers(evaluation, log):
    """The numbers :data:`OF_RUNS` of a run as texts; empty where it has none."""
    accuracy, last = evaluation['accuracy'], (log or [{}])[-1]
    values = [100 * accuracy[stream] if stream in accuracy else None
              for stream in STREAMS] + [last.get(key) for key in MIXTURE]
    return ['' if value is None else f'{value:.4g}' for value in values]


def run_time(published_table):
    """Table 3 as published, and the command that measures it here."""
    rows = [[row['step'], f'{row["milliseconds"]:.1f}', f'{row["percent"]:.2f}']
            for row in published_table['rows']]
    return [table(['step of an iteration', 'published: ms', 'published: %'], rows),
            'This command measures the same on this machine:',
            commands('python -m finetune runtime')]


def settings(results, dataset):
    """Settings in which the experiments on a data set differ, and settings that they share."""
    configs = {key[1]: runs[0].config for key, runs in results.by_experiment.items()
               if key[0] == dataset}
    active = {name: active_names(config) for name, config in configs.items()}
    values = {setting: [str(get(config, setting)) if setting in active[name] else ''
                        for name, config in configs.items()]
              for setting in dict.fromkeys(sum(active.values(), []))
              if setting not in ('training.seed', *NO_EFFECT_ON_RESULTS)}
    differing = [setting for setting, column in values.items() if len(set(column)) > 1]
    rows = [[f'`{name}`', *(values[setting][i] for setting in differing)]
            for i, name in enumerate(configs)]
    shared = ', '.join(f'{setting} {column[0]}' for setting, column in values.items()
                       if setting not in differing and column[0])
    return [table(['run', *differing], rows), f'All experiments share: {shared}.']


def missing(results):
    """Runs that are skipped, and experiments that have fewer runs than others on their data set."""
    blocks = [bullets(results.left_out)] if results.left_out else []
    n_seeds, lacking = results.n_seeds(), {}
    for dataset, name in results.experiments:
        if dataset in n_seeds and name != 'pretrain':
            n = len(results.of(dataset, name))
            if n < n_seeds[dataset]:
                lacking.setdefault(dataset, []).append((name, n))
    for dataset, experiments in lacking.items():
        names = ', '.join(f'`{name}` ({n} of {n_seeds[dataset]})' for name, n in experiments)
        blocks += [f'{DATA_SETS[dataset].title}: {names}.',
                   commands(f'{TRAIN} configs/{dataset} --seeds {n_seeds[dataset]}')]
    there_are = {dataset for dataset, _ in results.experiments}
    empty = [dataset for dataset in DATA_SETS if dataset in there_are - set(n_seeds)]
    if empty:
        titles = ', '.join(DATA_SETS[dataset].title for dataset in empty)
        blocks += [f'Data sets without runs: {titles}.', commands(
            *(f'{TRAIN} configs/{dataset} --seeds 5' for dataset in empty))]
    return blocks or ['None.']


def _published(value):
    if value is None:
        return ''
    mean, deviation = value
    return f'{mean:.2f}' + ('' if deviation is None else f' ± {deviation:.2f}')


def _gain(value, baseline):
    return f'{value[0] - baseline[0]:+.2f}' if value and baseline and value != baseline else ''


def _difference(values, baseline):
    return f'{numpy.mean(values) - numpy.mean(baseline):+.1f}' if values and baseline else ''


def _costs(results, dataset, name):
    runs = results.of(dataset, name)
    if not runs:
        return ['', '']
    seconds = results.seconds_per_epoch(dataset, name)
    return [f'{runs[0].evaluation["n_parameters"]:,}',
            '' if seconds is None else f'{seconds:.1f}']


def _tested(comparison):
    """Difference, interval, effect and p-values."""
    if comparison.n_pairs < 2:
        return [f'{comparison.difference:+.1f}', *4 * ['']]
    low, high = comparison.interval
    return [f'{comparison.difference:+.1f}', f'{low:+.1f} ... {high:+.1f}',
            f'{comparison.effect:+.1f}', _p_value(comparison.p), _p_value(comparison.p_corrected)]


def _p_value(p):
    return '< 0.001' if p < .001 else f'{p:.3f}'
