"""Where the found parts of configs/details are, on the drawings of benchmarks/study.py.

    python benchmarks/details_parts.py                  # after the study; a minute
    python benchmarks/details_parts.py --seeds 1 2

Writes the measures of :mod:`found_parts` into ``docs/report_pretrained_cnn/parts.csv``, whose other
rows stay: means over the training and over the test images of a drawing. Drawings whose parts have
not been found yet are left out.
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
from pathlib import Path

from finetune.config.config import read_config
from finetune.config.project import HERE
from finetune.parts.kind import load, parts_of
from found_parts import MEASURES, measures_of, telling
import numpy
from study import add, SEEDS

TABLE = Path('docs/report_pretrained_cnn/parts.csv')
CONFIGS = 'cs_parts_fve', 'cs_parts_tight_fve', 'cs_parts_imagenet_fve', 'cs_parts_folds_fve'


def config_of(name, seed, *overrides):
    return read_config(f'configs/details/{name}.yml', [
        f'data.root=data/details/seed{seed}', f'data.drawing.seed={seed}', *overrides],
        HERE.with_results(f'results/details/drawing{seed}'))


def rows(seed):
    """A row for each config and split; boxes at random places have the sizes of the first's."""
    annotated = load(config_of('gt_fve', seed))
    tells = telling(seed, annotated.part_names)
    for name in CONFIGS:
        config = config_of(name, seed)
        if parts_of(config).to_be_found:
            print(f'{name}, drawing {seed}: left out, as its parts have not been found')
            continue
        data_set = load(config)
        yield from of_splits(name, seed, measures_of(data_set, annotated, tells))
        if name == CONFIGS[0]:
            yield from of_splits('random_places', seed,
                                 measures_of(data_set, annotated, tells, at_random=True))


def of_splits(name, seed, values_of):
    for split, values in values_of.items():
        means = numpy.nanmean(values, axis=0)
        yield {'run': f'results/details/{name}/{split}/seed{seed}',
               **{measure: f'{100 * mean:.4g}' for measure, mean in zip(MEASURES, means)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=SEEDS, help='of the drawings')
    for seed in parser.parse_args().seeds:
        add(rows(seed), TABLE, MEASURES)


if __name__ == '__main__':
    main()
