"""Writes the report, section by section."""
from pathlib import Path

from finetune.config.catalogue import DATA_SETS
from finetune.config.project import HERE, TRAIN
from finetune.document import bullets, commands, picture, to_html
from finetune.drawing import own_settings
from finetune.errors import InputError
from finetune.files import atomic, write_csv, write_text
from finetune.names import counted
from finetune.report import figures, own_pictures, published, tables
from finetune.report.claims import CLAIMS, compare, MARGIN, SIGNIFICANT
from finetune.report.results import Results

OWN_TITLE = '# Runs on pictures of your own'


@own_settings()
def make(folder, output=None, project=HERE):
    """Writes ``report.md``, ``report.html`` and their pictures.

    Args:
        folder (str): Folder of results.
        output (str or None): Folder for the report; files of an earlier report are replaced.
            ``None``: ``report`` in the folder of results.
        project (finetune.config.project.Project): What the folder of results is relative to.

    """
    output = project.path(folder) / 'report' if output is None else Path(output)
    if output.exists() and any(output.iterdir()) and not (output / 'report.md').exists():
        raise InputError(f'{output}: holds something other than a report; give another folder with '
                         '--output.')
    results, numbers = Results(folder, project=project), published.read()
    output.mkdir(parents=True, exist_ok=True)
    if not (output / 'report.md').exists():     # marks the folder as ours, if interrupted
        write_text(output / 'report.md', 'This report is not finished.\n')
    is_of_paper = bool(results.by_experiment or results.others)     # not only of own pictures
    blocks = list(_introduction(results, numbers)) if is_of_paper else [OWN_TITLE]
    for dataset in results.data_sets:
        blocks += _data_set(results, numbers, dataset, output)
    if results.others:
        blocks += ['## Other experiments', tables.others(results)]
    blocks += own_pictures.sections(results)
    if is_of_paper:
        blocks += [f'## {numbers.run_time["title"]} ({numbers.run_time["source"]})',
                   *tables.run_time(numbers.run_time)]
    blocks += _runs(results, output)
    if is_of_paper:
        blocks += ['## Missing runs', *tables.missing(results),
                   '## Inconsistencies of the paper', bullets(numbers.inconsistencies)]
    elif results.left_out:
        blocks += ['## Skipped runs', bullets(results.left_out)]
    text = '\n\n'.join(blocks) + '\n'
    write_text(output / 'report.md', text)
    write_text(output / 'report.html', to_html(text, output))
    experiments = [*results.by_experiment.values(), *results.others.values(),
                   *results.collections.values()]
    print(f'{counted(sum(map(len, experiments)), "run", "runs")} of '
          f'{counted(len(experiments), "experiment", "experiments")}: '
          f'{output / "report.html"}, {output / "report.md"}', flush=True)
    for reason in results.left_out:
        print(f'skipped: {reason}', flush=True)


def _introduction(results, numbers):
    yield '# Our results beside the published ones'
    yield numbers.paper + '. Its numbers are in the columns called "published".'
    yield (
        'Test accuracies are in per cent, as mean ± standard deviation (n - 1), with the number of '
        'runs in parentheses; each run has its own seed. Gains are relative to no parts. Seconds '
        'per epoch are medians (the machine may have been shared). Tests are two-sided Student '
        't-tests of pairs of runs with the same seed, which start from the same weights. p is '
        'corrected by Holm for the number of comparisons on a data set, or, for other experiments, '
        'in a folder of configs. Intervals are 95 % confidence intervals of the difference of the '
        'means, not corrected; an effect is the difference divided by the pooled standard '
        f'deviation. A claim "holds" if the corrected p is below {SIGNIFICANT}. Two methods are '
        f'the same if two one-sided tests show that they differ by less than {MARGIN:g} points.')
    folders = {}
    for dataset, n in results.n_seeds().items():
        folders.setdefault(n, []).append(f'configs/{dataset}')
    yield commands(*(f'{TRAIN} {" ".join(with_n)} --seeds {n}'
                     for n, with_n in folders.items()), 'python -m finetune report')
    yield '## Claims of the paper'
    yield ('Number of comparisons by verdict, for both streams together and for the part stream '
           'alone; the sections of the data sets list the comparisons.')
    yield tables.verdicts(CLAIMS, results, numbers)


def _data_set(results, numbers, dataset, output):
    in_paper = DATA_SETS[dataset].in_paper
    yield f'## {DATA_SETS[dataset].title}'
    if not in_paper:
        yield ('The paper does not have this data set. The published numbers are those for '
               'CUB-200-2011; compare gains, not accuracies.')
    table_runs = []
    for table in numbers.tables:
        names = [row.run for row in table.rows if row.run]
        if dataset not in table.data_sets or not any(results.of(dataset, name) for name in names):
            continue
        table_runs += [name for name in names if results.of(dataset, name)]
        yield f'### {table.title} ({table.source})'
        yield tables.accuracies(table, results, dataset)
    lines = numbers.figure['lines'].values()
    if any(results.of(dataset, name) for names in lines for name in names.values()):
        yield f'### {numbers.figure["title"]} ({numbers.figure["source"]})'
        name = f'{dataset}_components.png'
        figures.components(numbers.figure, results, dataset, output / name)
        yield picture(name, 'Test accuracy over the number of mixture components.')
        yield from tables.components(numbers.figure, results, dataset)
    yield from _claims(results, numbers, dataset)
    yield from _details(results, dataset, list(dict.fromkeys(table_runs)), output)


def _claims(results, numbers, dataset):
    comparisons = compare(results, numbers, dataset)
    if any(comparisons.values()):
        yield '### Claims of the paper'
    for claim in CLAIMS:
        if comparisons[claim.letter]:
            yield f'**({claim.letter})** {claim.text[0].upper()}{claim.text[1:]}.'
            yield tables.comparisons(comparisons[claim.letter])


def _details(results, dataset, names, output):
    """Sections beyond the paper's tables."""
    colours = figures.colours_of(names)
    with_parts = {name: colour for name, colour in colours.items()
                  if results.of(dataset, name)[0].config.data.has_parts}
    pictures = [
        ('learning_curves', figures.learning_curves, colours, 'Learning curves',
         'Test accuracy after each evaluated epoch, mean and standard deviation over seeds.', None),
        ('robustness', figures.robustness, with_parts, 'Fewer parts at test time',
         'Test accuracy over the share of visible parts that are hidden.', tables.robustness),
        ('visible_parts', figures.visible_parts, with_parts, 'Accuracy and visible parts',
         'Test accuracy over the number of visible parts, for up to six groups of test images of '
         'about equal size.', None)]
    for file, draw, shown, title, description, tabulate in pictures:
        if shown:
            name = f'{dataset}_{file}.png'
            draw(results, dataset, shown, output / name)
            yield f'### {title}'
            yield description
            yield picture(name, description)
            if tabulate:
                yield 'The same in numbers, and with the parts of each image in random order:'
                yield tabulate(results, dataset, shown)
    mixtures = tables.mixtures(results, dataset, [
        name for of_data_set, name in results.by_experiment if of_data_set == dataset])
    if mixtures:
        yield '### Mixtures'
        yield ('Mixtures learned by EM, means over the last epoch. The entropy of the weights is '
               'normalised: 1 for equal weights, 0 if one component has all the weight.')
        yield mixtures
    if names:
        yield from _classes(results, dataset, names, output)
    yield '### Settings'
    yield from tables.settings(results, dataset)


def _classes(results, dataset, names, output):
    class_names, values = tables.class_accuracies(results, dataset, names)
    name = f'{dataset}_classes.csv'
    _write_csv(output / name, ['class', *names], (
        [class_name, *(f'{value:.1f}' for value in column)]
        for class_name, column in zip(class_names, values.T)))
    yield '### Classes'
    yield (f'Accuracy of the {min(tables.N_HARDEST, len(class_names))} hardest classes, pooled '
           f'over seeds; `{name}` has all {len(class_names)}.')
    yield tables.hardest_classes(names, class_names, values)


def _runs(results, output):
    rows = list(tables.runs(results))
    _write_csv(output / 'runs.csv', ['run', 'settings', *tables.OF_RUNS], rows)
    yield '## Runs'
    yield (f'`runs.csv` lists all {len(rows)} runs, each with its folder, a hash of its settings '
           'without the seed, its accuracies in per cent and statistics of its mixture.')


def _write_csv(path, header, rows):
    with atomic(path) as unfinished:
        write_csv(unfinished, [header, *rows])
