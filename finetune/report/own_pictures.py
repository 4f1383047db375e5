"""The report's tables of pictures of one's own: what helps on them, beside no parts."""
from pathlib import Path
from urllib.parse import unquote

import numpy

from finetune.document import literal, table
from finetune.names import composed
from finetune.report.claims import Comparison

BASELINE = 'no_parts'
FEW = 3             # with fewer seeds the interval is over test images
NORMAL = 1.96       # quantile of the normal distribution for 95 %


def sections(results):
    """Blocks of Markdown about all collections.

    Args:
        results (finetune.report.results.Results): Our results.

    """
    folders = list(dict.fromkeys(folder for folder, _ in results.collections))
    if folders:
        yield '## Pictures of your own'
        yield (f'Differences are from `{BASELINE}` of the same folder of configs, trained with the '
               'same settings of the command line on the same pictures, in runs with the same '
               'seeds. Their 95 % intervals are Student\'s over the seeds; with fewer than '
               f'{FEW} seeds they are over the test images, for the models as they were trained.')
    for folder in folders:
        yield f'### {literal(Path(folder).name)}'
        names = [name for there, name in results.collections if there == folder]
        rows = [_row(results, folder, name, names) for name in names]
        yield table(['run', 'encoding', 'ours', 'whole image alone', 'parts alone',
                     'difference from no parts', '95 % interval', 'over'], rows)


def _row(results, folder, name, names):
    config = results.of(folder, name)[0].config
    base = _baseline(name, names)
    return [literal(name), config.model.encoding, results.summary(folder, name),
            *(results.summary(folder, name, stream) for stream in ('global', 'parts')),
            *(difference(results.of(folder, name), results.of(folder, base)) if base
              else 3 * [''])]


def _baseline(name, names):
    """Name of the experiment that a row is compared with; empty: none."""
    experiment, bracket, given = name.partition(' (')
    base = str(Path(experiment).with_name(BASELINE))
    found = base + bracket + given
    return found if found in names and found != name else ''


def difference(runs, others):
    """Difference of two experiments in points, its interval, and over what, as texts.

    Args:
        runs (list of finetune.report.results.Result): Results of an experiment.
        others (list of finetune.report.results.Result): Results of another one, on the same
            pictures.

    """
    first, second = ({result.seed: result for result in of} for of in (runs, others))
    seeds = sorted(first.keys() & second.keys())
    if len({tuple(sorted(_images(of[seed])))
            for of in (first, second) for seed in seeds}) != 1:     # no seeds, or other pictures
        return 3 * ['']
    right = numpy.array([[_is_right(of[seed]) for seed in seeds] for of in (first, second)], float)
    samples = 100 * right.mean(axis=2)      # (2, seeds)
    points = samples[0].mean() - samples[1].mean()
    if len(seeds) >= FEW:
        low, high = Comparison('', '', '', '', samples, False).interval
        return [f'{points:+.1f}', f'{low:+.1f} ... {high:+.1f}', f'{len(seeds)} seeds']
    by_image = 100 * (right[0] - right[1]).mean(axis=0)
    if len(by_image) < 2:
        return [f'{points:+.1f}', '', '']
    half = NORMAL * by_image.std(ddof=1) / numpy.sqrt(len(by_image))
    return [f'{points:+.1f}', f'{points - half:+.1f} ... {points + half:+.1f}',
            f'{len(by_image)} test images']


def _images(result):
    """Names of the test images in one form: in results of earlier versions they are URL-encoded."""
    return [composed(unquote(name, errors='surrogateescape'))
            for name in result.predictions['image']]


def _is_right(result):
    """Whether each test image is classified correctly, in the order of their names, (n,) bool."""
    order = numpy.argsort(_images(result), kind='stable')
    stream = result.predictions[result.config.headline]
    return (stream == result.predictions['label'])[order]
