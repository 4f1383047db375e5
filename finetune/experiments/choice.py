"""Chooses a classifier by its predictions for images that it was not trained on."""
import math
from typing import NamedTuple

import numpy
from scipy import stats

from finetune.progress import aligned

CLEARLY = 2.        # standard errors by which a candidate has to be better than the baseline
CONFIDENCE = .95


class Difference(NamedTuple):
    """Difference of two accuracies on the same images."""

    mean: float
    error: float        # standard error of the mean

    @property
    def is_clear(self) -> bool:
        """Whether the first classifier is clearly better."""
        return self.mean > CLEARLY * self.error

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval, by the normal approximation."""
        half = stats.norm.ppf((1 + CONFIDENCE) / 2) * self.error
        return self.mean - half, self.mean + half

    @property
    def points(self) -> str:
        """The difference in percentage points and its interval, as text."""
        return '{:+.1f} ({:+.1f} to {:+.1f})'.format(
            *(100 * x for x in (self.mean, *self.interval)))


def difference(correct: numpy.ndarray, of_baseline: numpy.ndarray) -> Difference:
    """The :class:`Difference` of two classifiers, paired by image.

    Args:
        correct (numpy.ndarray): (n,), bool: images that the first classifier classifies correctly.
        of_baseline (numpy.ndarray): The same for the second one.

    """
    gains = correct.astype(float) - of_baseline
    return Difference(gains.mean(), gains.std() / math.sqrt(len(gains)))


def choose(correct: dict[str, numpy.ndarray], baseline: str) -> str:
    """Names the candidate with the most correct images among those clearly above the baseline.

    If none is, it is the baseline: a choice of the best one of several equal candidates would
    favour those with luck, and cost time for nothing.

    Args:
        correct (dict of numpy.ndarray): (n,), bool, by candidate: correctly classified images;
            fewer of a candidate that dropped out.
        baseline (str): One of the candidates.

    """
    better = [name for name, own in correct.items() if len(own) == len(correct[baseline])
              and difference(own, correct[baseline]).is_clear]
    return max(better, key=lambda name: correct[name].sum(), default=baseline)


def interval(n_correct: int, n: int) -> tuple[float, float]:
    """95 % confidence interval of an accuracy (Wilson's)."""
    return stats.binomtest(n_correct, n).proportion_ci(CONFIDENCE, 'wilson')


def accuracy(correct: numpy.ndarray) -> str:
    """The accuracy in per cent and its interval, as text.

    Args:
        correct (numpy.ndarray): (n,), bool: which images are classified correctly.

    """
    low, high = interval(int(correct.sum()), len(correct))
    return f'{100 * correct.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f})'


def table(correct: dict[str, numpy.ndarray], titles: dict[str, str]) -> list[str]:
    """Lines of the table of all candidates.

    Args:
        correct (dict of numpy.ndarray): See :func:`choose`.
        titles (dict of str): What the candidates are; the first one is the baseline.

    """
    baseline = next(iter(titles))
    rows = [('', 'images', 'correct', 'plain CNN', 'difference, points')]
    for name, own in correct.items():
        same = correct[baseline][:len(own)]
        rows.append((titles[name], str(len(own)), accuracy(own), *(
            ('', '') if name == baseline else
            (f'{100 * same.mean():.1f} %', difference(own, same).points))))
    return [*aligned(rows), 'on held-out images; "plain CNN": its accuracy on the images of the '
            'row; in brackets: 95 % intervals']


def reason(name: str, correct: dict[str, numpy.ndarray], titles: dict[str, str]) -> str:
    """Says what was chosen, and whether parts or Fisher vectors helped; see :func:`table`."""
    baseline = next(iter(titles))
    if name == baseline:
        return ('Chosen: the plain CNN. Neither parts nor Fisher vectors are clearly better on '
                'these photographs.')
    return (f'Chosen: {titles[name]}, which helps on these photographs: '
            f'{difference(correct[name], correct[baseline]).points} points above the plain CNN.')
