"""Draws Fig. 3 in both situations: docs/components.png, docs/report_pretrained_cnn/components.png.

    python docs/draw_components.py

The accuracies are those of runs.csv of the reports, both streams together.
"""
from matplotlib.figure import Figure
import numpy

import tables_pretrained_cnn as pretrained_cnn
import tables_small_cnn as small_cnn
from compare_experiments import accuracies

DOCS = small_cnn.DOCS
OF_SMALL_CNN = {
    'joint, 64 epochs': (small_cnn.EPOCHS, {
        k: f'curves/{word}_600_long' for k, word in small_cnn.WORDS.items()}, 'C0', '-'),
    'separate, 64 epochs': (small_cnn.EPOCHS, {
        k: f'curves/separate_{word}_600_long' for k, word in small_cnn.WORDS.items()}, 'C1', '-'),
    'joint, 16 epochs': (small_cnn.COMPONENTS, {
        k: 'minibirds/gt2_fve' + (f'_k{k}' if k > 1 else '') for k in (1, 2, 5, 10, 20, 50)},
        'C0', '--'),
    'separate, 16 epochs': (small_cnn.COMPONENTS, {
        k: f'minibirds/gt2_separate_k{k}' for k in (1, 2, 5, 10, 20, 50)}, 'C1', '--')}
# Panels of the figure of the pre-trained CNN.
PANELS = {'as in the paper': ('joint', 'separate'),
          'neither normalised': ('joint', 'separate, plain'),
          'both normalised': ('joint, recommended', 'separate')}


def of_pretrained_cnn(line):
    names = {k: f'{pretrained_cnn.FOLDER}/{pretrained_cnn.name_of(line, k)}'
             for k in pretrained_cnn.NUMBERS_OF_COMPONENTS}
    return pretrained_cnn.REPORT, names, 'C1' if 'separate' in line else 'C0', '-'


def draw(axes, lines):
    """Means and standard deviations over the runs with each number of components."""
    for label, (path, names, colour, style) in lines.items():
        values = numpy.array([list(accuracies(path, name).values()) for name in names.values()])
        axes.errorbar(list(names), values.mean(axis=1), values.std(axis=1, ddof=1), fmt=f'o{style}',
                      color=colour, capsize=3, markersize=4, linewidth=1.4, label=label)
    axes.set_xscale('log')
    axes.set_xticks(list(names), list(map(str, names)))
    axes.minorticks_off()
    axes.set_xlabel('number of mixture components')
    axes.grid(alpha=.3)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize='small', loc='lower left')


def main():
    figure = Figure((7.2, 3.8), layout='constrained')
    axes = figure.add_subplot()
    draw(axes, OF_SMALL_CNN)
    axes.set_ylabel('test accuracy in %')
    figure.savefig(DOCS / 'components.png', dpi=110)
    path, names, *_ = of_pretrained_cnn('joint')
    if min(len(accuracies(path, name)) for name in names.values()) < 2:
        return print(f'{path}: a single drawing has no standard deviation; no figure of it')
    figure = Figure((9.6, 3.4), layout='constrained')
    for axes, (title, lines) in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS.items()):
        draw(axes, {line: of_pretrained_cnn(line) for line in lines})
        axes.set_title(title)
    figure.axes[0].set_ylabel('test accuracy in %')
    figure.savefig(DOCS / 'report_pretrained_cnn/components.png', dpi=110)


if __name__ == '__main__':
    main()
