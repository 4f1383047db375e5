"""Draws docs/components.png: Fig. 3 on minibirds after 16 and after 64 epochs.

    python docs/draw_components.py

The accuracies are those of runs.csv of two reports, both streams together.
"""
from pathlib import Path

from matplotlib.figure import Figure
import numpy

from compare_experiments import accuracies

DOCS = Path(__file__).resolve().parent
WORDS = {1: 'one_component', 5: 'five_components', 20: 'twenty_components',
         50: 'fifty_components'}
SHORT = DOCS / 'report_small_cnn_components/runs.csv', (1, 2, 5, 10, 20, 50)
LONG = DOCS / 'report_small_cnn_epochs/runs.csv', tuple(WORDS)
LINES = {
    'joint, 64 epochs': (*LONG, lambda k: f'curves/{WORDS[k]}_600_long', 'C0', '-'),
    'separate, 64 epochs': (*LONG, lambda k: f'curves/separate_{WORDS[k]}_600_long', 'C1', '-'),
    'joint, 16 epochs': (*SHORT, lambda k: 'minibirds/gt2_fve' + (f'_k{k}' if k > 1 else ''),
                         'C0', '--'),
    'separate, 16 epochs': (*SHORT, lambda k: f'minibirds/gt2_separate_k{k}', 'C1', '--'),
}


def draw():
    """The figure: means and standard deviations over five seeds."""
    figure = Figure((7.2, 3.8), layout='constrained')
    axes = figure.add_subplot()
    for label, (path, components, name_of, colour, style) in LINES.items():
        values = numpy.array([list(accuracies(path, name_of(k)).values()) for k in components])
        axes.errorbar(components, values.mean(axis=1), values.std(axis=1, ddof=1), fmt=f'o{style}',
                      color=colour, capsize=3, markersize=4, linewidth=1.4, label=label)
    axes.set_xscale('log')
    axes.set_xticks(SHORT[1], list(map(str, SHORT[1])))
    axes.minorticks_off()
    axes.set_xlabel('number of mixture components')
    axes.set_ylabel('test accuracy in %')
    axes.grid(alpha=.3)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize='small', loc='lower left')
    return figure


if __name__ == '__main__':
    draw().savefig(DOCS / 'components.png', dpi=110)
