"""The report's tables of pictures of one's own: what helps on them, beside no parts."""
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy

from finetune.config.config import differences
from finetune.document import literal, table
from finetune.experiments.choice import interval
from finetune.names import composed
from finetune.report.claims import Comparison
from finetune.report.own_runs import BASELINE
from finetune.runs import chosen
from finetune.runs.origin import OF_A_RUN

FEW = 3             # with fewer seeds the interval is over test images
NORMAL = 1.96       # quantile of the normal distribution for 95 %
HEADER = ['run', 'config', 'encoding', 'test accuracy', '95 % interval', 'whole image alone',
          'parts alone', 'compared with', 'difference', '95 % interval of it', 'over']


def sections(results):
    """Blocks of Markdown about all collections.

    Args:
        results (finetune.report.results.Results): Our results.

    """
    folders = list(dict.fromkeys(folder for folder, _ in results.collections))
    if folders:
        yield '## Pictures of your own'
        yield ('All finished runs, by their paths in the folder of the collection, with the '
               'settings in which they differ from their config. Test accuracies are in per cent, '
               'as mean ± standard deviation (n - 1), with the number of runs in parentheses; the '
               '95 % interval of the mean is Wilson\'s, over the test images.')
        yield (f'A run is compared with the run of `{BASELINE}`, the plain CNN, in which only '
               'settings are changed that are changed in the same way in the run, too; without '
               'one, with the first run. Both have the same test images. Runs with the same seeds '
               'are paired, and the 95 % intervals of differences are Student\'s over the seeds; '
               f'with fewer than {FEW} such seeds they are over the test images, for the models as '
               'they were trained.')
    for folder in folders:
        yield f'### {literal(Path(folder).name)}'
        if Path(folder, chosen.ANSWER).exists():
            yield (f'`{chosen.ANSWER}` in this folder has the comparison of photographs, on images '
                   'held out of the training images.')
        names = [name for there, name in results.collections if there == folder]
        yield table(HEADER, [_row(results, folder, name, names) for name in names])


def _row(results, folder, name, names):
    runs, base = results.of(folder, name), _baseline(results, folder, name, names)
    return [literal(name), literal(_short(results.own[folder, name].file)),
            runs[0].config.model.encoding, results.summary(folder, name), _interval(runs),
            *(results.summary(folder, name, stream) for stream in ('global', 'parts')),
            *([literal(base), *difference(runs, results.of(folder, base))] if base
              else 4 * [''])]


def _short(file):
    """A config without what all of them share."""
    path = PurePosixPath(file)
    return (str(path.relative_to('configs').with_suffix(''))
            if path.parts[:1] == ('configs',) else file)


def _interval(runs):
    """95 % confidence interval of the mean accuracy, over the test images, as text."""
    if not _have_same_images(runs):
        return ''
    right = numpy.mean([_is_right(run) for run in runs], axis=0)
    low, high = interval(round(right.sum()), len(right))
    return f'{100 * low:.1f} ... {100 * high:.1f}'


def _baseline(results, folder, name, names):
    """Name of the runs that runs are compared with; empty: none.

    Args:
        results (finetune.report.results.Results): Our results.
        folder (str): Folder of the collection.
        name (str): Name of the runs.
        names (list of str): Names of all runs of the collection.

    """
    own = {other: results.own[folder, other] for other in names}
    # The first one has its config's settings, and the name of its config.
    plain = sorted((other for other in names if own[other].is_baseline), key=lambda other: (
        len(own[other].changed), own[other].path.name != BASELINE))
    alike = [other for other in plain or names if _have_same_images(
        [*results.of(folder, name), *results.of(folder, other)])]
    if not plain or name in plain:
        alike = alike[:1]
    else:
        alike = [other for other in alike if set(own[other].changed) <= set(own[name].changed)]
    config = results.of(folder, name)[0].config
    return min((other for other in alike if other != name), default='', key=lambda other: len(
        differences(config, results.of(folder, other)[0].config, OF_A_RUN)))


def difference(runs, others):
    """Difference of two experiments in points, its interval, and over what, as texts.

    Args:
        runs (list of finetune.report.results.Result): Results of an experiment.
        others (list of finetune.report.results.Result): Results of another one. If the test images
            are others, the texts are empty; if no seeds are the same, all runs count.

    """
    if not _have_same_images([*runs, *others]):
        return 3 * ['']
    sides = [{result.seed: result for result in of} for of in (runs, others)]
    seeds = sorted(set.intersection(*map(set, sides)))
    right = [numpy.array([_is_right(of[seed]) for seed in seeds or of], float) for of in sides]
    samples = [100 * of.mean(axis=1) for of in right]
    points = samples[0].mean() - samples[1].mean()
    if len(seeds) >= FEW:
        low, high = Comparison('', '', '', '', samples, False).interval
        return [f'{points:+.1f}', f'{low:+.1f} ... {high:+.1f}', f'{len(seeds)} seeds']
    by_image = 100 * (right[0].mean(axis=0) - right[1].mean(axis=0))
    if len(by_image) < 2:
        return [f'{points:+.1f}', '', '']
    half = NORMAL * by_image.std(ddof=1) / numpy.sqrt(len(by_image))
    return [f'{points:+.1f}', f'{points - half:+.1f} ... {points + half:+.1f}',
            f'{len(by_image)} test images']


def _have_same_images(results):
    """Whether all results are of the same test images, by their names and by their contents."""
    contents = {result.evaluation.get('data', {}).get('test') for result in results} - {None}
    return len(contents) < 2 and len({tuple(sorted(_images(result))) for result in results}) == 1


def _images(result):
    """Names of the test images in one form: in results of earlier versions they are URL-encoded."""
    return [composed(unquote(name, errors='surrogateescape'))
            for name in result.predictions['image']]


def _is_right(result):
    """Whether each test image is classified correctly, in the order of their names, (n,) bool."""
    order = numpy.argsort(_images(result), kind='stable')
    stream = result.predictions[result.config.headline]
    return (stream == result.predictions['label'])[order]
