"""Draws docs/report_pretrained_cnn/learning.png: mixtures and gradients over the updates.

    python docs/draw_learning.py

The numbers are those of learning.csv, by benchmarks/mixtures_over_updates.py.
"""
import csv
from pathlib import Path

from matplotlib.figure import Figure

FOLDER = Path(__file__).resolve().parent / 'report_pretrained_cnn'
COMPONENTS = 1, 5, 20
LINES = {'joint, as in the paper': ('paper_k{}', 'C0'),
         'joint, recommended': ('recommended_k{}', 'C2'),
         'separate: the mixture watches GAP': ('gap', 'C1')}
ROWS = {'dead': ('dead channels, %', 'linear'),
        'within': ('standard deviation\nwithin a component', 'log'),
        'confidence': ('largest\nresponsibility', 'linear'),
        'gradient': ('gradient\nof a feature', 'log')}


def read():
    """Columns as lists of numbers, by variant and number of components."""
    found = {}
    with open(FOLDER / 'learning.csv', newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file):
            columns = found.setdefault((row['variant'], int(row['components'])), {})
            for name in ('update', *ROWS):
                columns.setdefault(name, []).append(float(row[name]))
    return found


def draw():
    """The figure: a row for each number, a column for each number of components."""
    numbers = read()
    figure = Figure((9, 8), layout='constrained')
    axes = figure.subplots(len(ROWS), len(COMPONENTS), sharex=True, sharey='row')
    for of_row, (name, (words, scale)) in zip(axes, ROWS.items()):
        for axis, k in zip(of_row, COMPONENTS):
            for label, (variant, colour) in LINES.items():
                columns = numbers[variant.format(k), k]
                axis.plot(columns['update'], columns[name], color=colour, linewidth=1.2,
                          label=label)
            axis.set_yscale(scale)
            axis.grid(alpha=.3)
            axis.spines[['top', 'right']].set_visible(False)
        of_row[0].set_ylabel(words)
    for axis, k in zip(axes[0], COMPONENTS):
        axis.set_title(f'K = {k}')
    for axis in axes[-1]:
        axis.set_xlabel('update')
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc='outside upper center', ncols=3,
                  frameon=False)
    return figure


if __name__ == '__main__':
    draw().savefig(FOLDER / 'learning.png', dpi=100)
