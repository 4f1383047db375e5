"""Where the parts are that a pre-trained CNN finds on large pictures with small details.

    python benchmarks/found_parts.py              # about a quarter of an hour on two busy cores
    python benchmarks/found_parts.py --seed 2 --features selected all

Draws minibirds of 448 pixels (data/minibirds_448), finds their parts with EfficientNet-Lite0 as it
is and several choices of features, with and without folds, and writes ``found_parts.md`` into
``results/benchmarks``. The same command resumes an interrupted one. Boxes that are there stay.

- pointing: share of boxes whose centre is at most 8 % of the image's side away from a visible
  annotated point;
- covered: share of visible points of body parts that tell the species from its sisters, inside a
  box; area: the boxes' share of the image, which random places would cover;
- IoU: of each such part, a square of 20 % of the image's side, and the box that overlaps it most.

The settings of the detector were chosen on the drawing of seed 0.
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
from dataclasses import replace
from pathlib import Path

import chainer
from chainercv.utils import bbox_iou
import numpy

from finetune.config.settings import Config, Data, Detector
from finetune.data import readers
from finetune.data.minibirds.species import make_species, PATTERNS
from finetune.parts.kind import load, parts_of
from finetune.parts.points import point_boxes
from finetune.weights import packaged

SIZE, NEAR, PART = 448, .08, .2
DRAWING = {'n_species': 10, 'n_train': 12, 'n_test': 6, 'size': SIZE}
CNN = 'efficientnet_lite0'
DETECTOR = Detector(cnn=CNN, input_size=320, svm_c=1, sigma=13, gamma=2, columns='position',
                    smallest_box=48)
FOLDS = {'all': (0,)}       # of the choices of features without classes
MEASURES = 'pointing', 'covered', 'area', 'IoU'
OUTPUT = Path('results/benchmarks/found_parts.md')
CPU = chainer.get_device('@numpy')


def config_of(seed, features, folds):
    """Settings of one search; boxes of each are in a folder of their own."""
    settings = replace(DETECTOR, features=features, folds=folds)
    data = Data(dataset='minibirds', drawing={**DRAWING, 'seed': seed}, parts='CS_PARTS',
                root=f'data/minibirds_448/seed{seed}', interpolation='bicubic',
                boxes=f'{features}_{folds}', box_frame=settings.input_size)
    return Config(data=data, detector=settings)


def found(config):
    """The data set with parts, which are found unless they are there."""
    parts = parts_of(config)
    if parts.to_be_found:
        parts.find(readers.load(config), packaged.path_of(CNN, config.project), CPU)
    return load(config)


def telling(seed, part_names):
    """Which annotated parts (n_species, P) tell a species from a sister."""
    species = make_species(DRAWING['n_species'], False, seed)
    rows = []
    for one in species:
        slots = [differing(one, other) for other in species if other is not one]
        slots = set().union(*(some for some in slots if len(some) <= 3))
        rows.append([any(slot in name.split() for slot in slots) for name in part_names])
    return numpy.array(rows)


def differing(one, other):
    return {slot for slot in PATTERNS if one.details[slot] != other.details[slot]}


def measure(boxes, points, visible, is_telling):
    """The measures of an image; NaN without visible parts that tell species apart."""
    if not is_telling.any():
        return [numpy.nan] * len(MEASURES)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = numpy.linalg.norm(centres[:, None] - points[visible], axis=2)
    inside = (boxes[:, None, :2] <= points) & (points < boxes[:, None, 2:])
    covered = numpy.zeros((SIZE, SIZE), bool)
    for y_min, x_min, y_max, x_max in boxes.astype(int):
        covered[y_min:y_max, x_min:x_max] = True
    annotated = point_boxes(points, visible, (SIZE, SIZE), PART)[is_telling]
    return [(distances.min(axis=1) < NEAR * SIZE).mean(),
            inside.all(axis=2).any(axis=0)[is_telling].mean(), covered.mean(),
            bbox_iou(annotated, boxes).max(axis=1).mean()]


def elsewhere(boxes, random):
    """Boxes of the same sizes at random places."""
    extent = boxes[:, 2:] - boxes[:, :2]
    low = random.uniform(size=extent.shape) * (SIZE - extent)
    return numpy.concatenate([low, low + extent], axis=1)


def measures_of(data_set, annotated, tells, at_random=False):
    """Measures (n, 4) of the training and of the test images."""
    random, of_splits = numpy.random.RandomState(0), {}
    for split in 'train', 'test':
        records, truth = getattr(data_set, split), getattr(annotated, split)
        rows = []
        for record, true in zip(records, truth):
            boxes = data_set.parts.boxes(record.locations, record.visible, (SIZE, SIZE))
            rows.append(measure(elsewhere(boxes, random) if at_random else boxes, true.locations,
                                true.visible, tells[true.label] & true.visible))
        of_splits[split] = numpy.array(rows)
    return of_splits


def interval(values):
    """Mean and half of its 95 % interval over images."""
    values = values[numpy.isfinite(values)]
    return f'{values.mean():.3f} ± {1.96 * values.std(ddof=1) / len(values) ** .5:.3f}'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=1, help='of the drawing')
    parser.add_argument('--features', nargs='+', default=['selected', 'positive', 'all'])
    options = parser.parse_args()
    rows, annotated = {}, None
    for features in options.features:
        for folds in FOLDS.get(features, (0, 5)):
            config = config_of(options.seed, features, folds)
            data_set = found(config)
            if annotated is None:
                annotated = load(Config(data=replace(config.data, parts='GT')))
                tells = telling(options.seed, annotated.part_names)
            rows[features, folds] = measures_of(data_set, annotated, tells)
            rows.setdefault(('random places', 0),
                            measures_of(data_set, annotated, tells, at_random=True))
    lines = ['| features | folds | images | ' + ' | '.join(MEASURES) + ' |',
             '|---' * (3 + len(MEASURES)) + '|']
    for (features, folds), of_splits in rows.items():
        for split, values in of_splits.items():
            lines.append(f'| {features} | {folds} | {split} | '
                         + ' | '.join(map(interval, values.T)) + ' |')
    for features in options.features:
        if (features, 5) in rows:
            change = rows[features, 5]['train'] - rows[features, 0]['train']
            lines.append(f'\n{features}, training images, folds minus none: ' + ', '.join(
                f'{name} {interval(values)}' for name, values in zip(MEASURES, change.T)))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
