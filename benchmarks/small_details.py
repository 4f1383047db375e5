"""Whether parts help where the whole image has lost the details that tell classes apart.

    python benchmarks/small_details.py                  # about an hour
    python benchmarks/small_details.py --seeds 1 2

Draws minibirds of 448 pixels (data/small_details), five times with other species, and trains
linear classifiers on EfficientNet-Lite0 as it is: of the whole image in 128, 224 or 448 pixels,
and of crops of 128 pixels, which are cut from the picture at its full size, beside it. Writes
``small_details.md`` into ``results/benchmarks``: mean test accuracies, differences from no parts
and from GAP of found parts in the same size, and their 95 % intervals over the drawings. The same
command resumes an interrupted one.

The detector's settings and the number of epochs were chosen on validation images of seed 0.
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
from pathlib import Path

import numpy
from scipy import stats

from finetune.config.config import read_config
from finetune.config.project import HERE
from finetune.experiments import experiment
from finetune.files import write_text
from finetune.runs.folder import REPORTED, RunFolder

DRAWING = '{{size: 448, n_species: 10, n_train: 30, n_test: 20, seed: {}}}'
OF_ALL = ['data.dataset=minibirds', 'training.epochs=40', 'training.evaluate_every=40']
DETECTOR = ['data.box_frame=320', 'detector.input_size=320', 'detector.sigma=13',
            'detector.smallest_box=48']
# Name: config in configs/photos/, and its own settings.
ROWS = {
    'no parts': ('no_parts', []),
    'GAP of found parts': ('cs_parts_gap', DETECTOR),
    'FVE of found parts': ('cs_parts_fve', DETECTOR),
    'FVE of the whole image': ('global_fve', []),
    'FVE of four tiles': ('grid_fve', []),
    'FVE of annotated parts': ('cs_parts_fve', ['data.parts=GT']),
}
OF_TRAIN = {        # with the detector of `train PHOTOS`
    'GAP of parts found in 224 pixels': ('cs_parts_gap', ['data.boxes=CS_parts_224']),
    'FVE of parts found in 224 pixels': ('cs_parts_fve', ['data.boxes=CS_parts_224']),
}
BASELINES = 'no parts', 'GAP of found parts'
OF_LARGE = *BASELINES, 'FVE of found parts', 'FVE of annotated parts'
RUNS = [*((128, row) for row in ROWS), *((224, row) for row in (*OF_LARGE, *OF_TRAIN)),
        *((448, row) for row in OF_LARGE)]
RESULTS = Path('results/small_details')
OUTPUT = Path('results/benchmarks/small_details.md')


def accuracy_of(seed, size, row):
    """Test accuracy in per cent of a classifier, which is trained unless it has been."""
    config, own = {**ROWS, **OF_TRAIN}[row]
    folder = RESULTS / f'seed{seed}' / f'{size} {row}'
    path, overrides = f'configs/photos/{config}.yml', [
        *OF_ALL, f'data.root=data/small_details/seed{seed}', f'data.input_size={size}',
        f'data.drawing={DRAWING.format(seed)}', *own]
    if (RunFolder(folder).state != REPORTED
            or RunFolder(folder).differences(read_config(path, overrides))):
        experiment.run(path, overrides, folder, HERE, is_told=False)
    return 100 * RunFolder(folder).read_evaluation()['accuracy']['both']


def interval(values):
    """A mean and half of its 95 % interval (Student's t), as text."""
    mean = f'{numpy.mean(values):+.1f}'
    if len(values) < 2:
        return mean
    return f'{mean} ± {stats.t.ppf(.975, len(values) - 1) * stats.sem(values):.1f}'


def table(accuracies):
    """Lines of the table of ``{(size, row): accuracies by seed}``."""
    lines = ['| whole image, pixels | classifier | n | test accuracy, % | '
             + ' | '.join(f'minus {name}' for name in BASELINES) + ' |', '|---' * 6 + '|']
    for (size, row), values in accuracies.items():
        gains = ['' if row == name or (size, name) not in accuracies else
                 interval(numpy.subtract(values, accuracies[size, name])) for name in BASELINES]
        deviation = f' ± {numpy.std(values, ddof=1):.1f}' if len(values) > 1 else ''
        lines.append(f'| {size} | {row} | {len(values)} | {numpy.mean(values):.1f}{deviation} | '
                     f'{" | ".join(gains)} |')
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3, 4, 5],
                        help='of the drawings')
    options = parser.parse_args()
    accuracies = {}
    for size, row in RUNS:
        accuracies[size, row] = [accuracy_of(seed, size, row) for seed in options.seeds]
        write_text(OUTPUT, '\n'.join([*table(accuracies), '']))
    print(OUTPUT.read_text())


if __name__ == '__main__':
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    main()
