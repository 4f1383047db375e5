"""Compares two experiments of reports by the t-test of pairs of runs with the same seed.

    python docs/compare_experiments.py ablations/frozen minibirds/gt2_fve_k5 docs/report_*/runs.csv

Of several reports, those are used that have both, and the mean over them of each seed. With
--equal, p is that of the same two tests for equality within two points as in the reports.
"""
import argparse
import csv
import sys

import numpy

from finetune.report.claims import Comparison


def accuracies(path, name, stream='both'):
    """Accuracies of an experiment in per cent by seed, from a report's runs.csv."""
    with open(path, newline='', encoding='utf-8') as file:
        rows = [row for row in csv.DictReader(file)
                if row['run'].startswith(f'results/{name}/') and row[stream]]
    by_seed = {row['run'].rpartition('seed')[2]: float(row[stream]) for row in rows}
    if len(by_seed) < len(rows):
        sys.exit(f'{path}: has two rows of {name} with the same seed; remove one.')
    return by_seed


def compare(first, second, paths, equal=False, stream='both'):
    """The comparison of two experiments, such as ``'minibirds/gt_fve'``."""
    sides = [[accuracies(path, name, stream) for path in paths] for name in (first, second)]
    both = [pair for pair in zip(*sides) if all(pair)]
    if not both:
        sys.exit(f'No report has both {first} and {second}.')
    seeds = sorted(set.intersection(*(set(side) for pair in both for side in pair)))
    samples = [[float(numpy.mean([side[seed] for side in of_reports])) for seed in seeds]
               for of_reports in zip(*both)]
    return Comparison('', first, second, stream, samples, equal)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('first', help='folder and name of a config, such as ablations/frozen')
    parser.add_argument('second')
    parser.add_argument('paths', nargs='+', metavar='runs.csv', help='of reports')
    parser.add_argument('--equal', action='store_true', help='test whether they are the same')
    parser.add_argument('--stream', choices=('both', 'global', 'parts'), default='both',
                        help='whose prediction; both by default')
    comparison = compare(**vars(parser.parse_args()))
    print('{:+.1f} points, 95 % interval {:+.1f} ... {:+.1f}, p = {:.2g}, n = {}'.format(
        comparison.difference, *comparison.interval, comparison.p, comparison.n_pairs))
