"""The study of the paper's situation in small, as docs/plan_details.md has planned it.

    python benchmarks/details.py                    # hours; docs/plan_details.md
    python benchmarks/details.py --seeds 1 2

Draws minibirds of 448 pixels for every seed (data/details), runs all configs of configs/details on
them with the same seed, in two processes, and writes the accuracies into
``docs/report_details/runs.csv``, whose other rows stay. The same command resumes an interrupted
one.
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
import csv
from pathlib import Path
import sys

from finetune.config.project import HERE
from finetune.config.streams import STREAMS
from finetune.experiments import plan, suite
from finetune.files import atomic
from finetune.runs.folder import REPORTED, RunFolder

CONFIGS = 'configs/details'
TABLE = Path('docs/report_details/runs.csv')
COLUMNS = 'run', *STREAMS


def run(seed):
    """Runs all configs on the drawing of a seed; returns the outcome and the folder."""
    overrides = [f'data.root=data/details/seed{seed}', f'data.drawing.seed={seed}']
    project = HERE.with_results(f'results/details/drawing{seed}')
    experiments = [(path, overrides) for path in plan.expand([CONFIGS])]
    return suite.run_all(experiments, [seed], 2, project=project), project.results


def rows(results, seed):
    """Rows of the table for all finished runs below a folder of results."""
    for path in plan.expand([CONFIGS]):
        name = Path(path).stem
        folder = RunFolder(results / 'details' / name / f'seed{seed}')
        if folder.state == REPORTED:
            accuracy = folder.read_evaluation()['accuracy']
            yield {'run': f'results/details/{name}/seed{seed}',
                   **{stream: f'{100 * accuracy[stream]:.4g}' if stream in accuracy else ''
                      for stream in STREAMS}}


def add(new):
    """Writes rows into the table; those of other runs stay."""
    table = {}
    if TABLE.exists():
        with open(TABLE, newline='', encoding='utf-8') as file:
            table = {row['run']: row for row in csv.DictReader(file)}
    table.update((row['run'], row) for row in new)
    TABLE.parent.mkdir(exist_ok=True)
    with atomic(TABLE) as path, open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table[name] for name in sorted(table))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3, 4, 5],
                        help='of the drawings and the runs')
    status = 0
    for seed in parser.parse_args().seeds:
        outcome, results = run(seed)
        status = max(status, outcome.code)
        add(rows(results, seed))
    return status


if __name__ == '__main__':
    sys.exit(main())
