"""Pictures of the report."""
import itertools

import matplotlib
from matplotlib.figure import Figure
import numpy

from finetune.files import atomic
from finetune.runs.saved_files import TEST_ACCURACY

SIZE_INCHES = 7.2, 4.2
DPI = 110
COLOURS = matplotlib.colormaps['tab10'].colors


def components(figure_3, results, dataset, path):
    """Fig. 3: accuracy over the number of components; other streams are dashed."""
    figure, axes = _axes('number of mixture components', 'test accuracy in %')
    for colour, (line, names) in zip(COLOURS, figure_3['lines'].items()):
        for stream, words in results.streams(dataset, names.values()).items():
            accuracies = {k: list(results.accuracy(dataset, name, stream).values())
                      for k, name in names.items()}
            accuracies = {k: values for k, values in accuracies.items() if values}
            if accuracies:
                label, style = (f'{line}, {words}', '--') if words else (line, '-')
                means, deviations = zip(*((numpy.mean(values), _deviation(values))
                                          for values in accuracies.values()))
                axes.errorbar(list(accuracies), means, deviations, fmt=f'o{style}', color=colour,
                              capsize=3, markersize=4, linewidth=1.4, label=label)
    ticks = list(next(iter(figure_3['lines'].values())))
    axes.set_xscale('log')
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.minorticks_off()
    _save(figure, axes, path)


def colours_of(names):
    """A colour for each experiment, the same in all plots."""
    return dict(zip(names, itertools.cycle(COLOURS)))


def learning_curves(results, dataset, colours, path):
    """Test accuracy over epochs: means and bands of one standard deviation over seeds."""
    figure, axes = _axes('epoch', 'test accuracy in %')
    for name, colour in colours.items():
        logs = [result.log for result in results.of(dataset, name)]
        by_epoch = [{entry['epoch']: 100 * entry[TEST_ACCURACY] for entry in log
                     if TEST_ACCURACY in entry} for log in logs]
        epochs = sorted(set.intersection(*map(set, by_epoch)))      # evaluated in all runs
        values = numpy.array([[of_run[epoch] for epoch in epochs] for of_run in by_epoch])
        _band(axes, epochs, values, colour, name, '.-')
    _save(figure, axes, path)


def robustness(results, dataset, colours, path):
    """Test accuracy over the share of visible parts that are hidden."""
    figure, axes = _axes('share of visible parts hidden at test time, %', 'test accuracy in %')
    for name, colour in colours.items():
        runs = [result for result in results.of(dataset, name)
                if 'robustness' in result.evaluation]       # none of validation splits has it
        if not runs:
            continue
        shares = list(runs[0].evaluation['robustness']['hidden'])
        values = 100 * numpy.array([
            [result.evaluation['accuracy']['both'],
             *(result.evaluation['robustness']['hidden'][share]['both'] for share in shares)]
            for result in runs])
        _band(axes, [0, *(100 * share for share in shares)], values, colour, name, 'o-')
    _save(figure, axes, path)


def visible_parts(results, dataset, colours, path):
    """Test accuracy over the number of visible parts of an image, pooled over seeds."""
    figure, axes = _axes('visible parts of the image', 'test accuracy in %')
    for name, colour in colours.items():
        n_visible, correct = (numpy.concatenate(arrays) for arrays in zip(*(
            (result.predictions['n_visible'],
             result.predictions['label'] == result.predictions['both'])
            for result in results.of(dataset, name))))
        groups = _groups(n_visible)
        centres = [n_visible[mask].mean() for mask in groups]
        axes.plot(centres, [100 * correct[mask].mean() for mask in groups], 'o-', color=colour,
                  markersize=4, label=name)
    _save(figure, axes, path)


def _groups(values, n_groups=6):
    """Masks that split values into groups of about equal size; equal values stay together."""
    edges = numpy.unique(numpy.quantile(values, numpy.linspace(0, 1, n_groups + 1)[1:],
                                        method='lower'))
    numbers = numpy.searchsorted(edges, values)
    return [numbers == i for i in range(len(edges)) if (numbers == i).any()]


def _band(axes, x, values, colour, label, style='-'):
    mean = values.mean(axis=0)
    axes.plot(x, mean, style, color=colour, markersize=4, label=label)
    if len(values) > 1:
        deviation = values.std(axis=0, ddof=1)
        axes.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=.15,
                          linewidth=0)


def _deviation(values):
    return numpy.std(values, ddof=1) if len(values) > 1 else 0


def _axes(x_label, y_label):
    figure = Figure(SIZE_INCHES, layout='constrained')
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=.3)
    axes.spines[['top', 'right']].set_visible(False)
    return figure, axes


def _save(figure, axes, path):
    figure.legend(*axes.get_legend_handles_labels(), loc='outside right upper', fontsize='small',
                  frameon=False)
    with atomic(path) as unfinished:
        figure.savefig(unfinished, dpi=DPI)
