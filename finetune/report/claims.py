"""The paper's claims as comparisons of runs, each with Welch's t-test."""
from typing import Any, NamedTuple
import warnings

import numpy
from scipy import stats

SIGNIFICANT = .05
ROUNDING = 1e-6         # points; accuracies that differ by less are the same
STREAMS = {'both': 'both streams', 'parts': 'part stream alone'}


class Comparison(NamedTuple):
    """Two experiments: is the first one better?"""

    claim: str              # letter
    first: str              # what is compared, in words
    second: str
    stream: str             # in words
    samples: Any            # accuracies of both in per cent, two lists
    equal: bool             # whether the claim is that there is no difference

    @property
    def difference(self):
        """Of the means, in points."""
        return numpy.mean(self.samples[0]) - numpy.mean(self.samples[1])

    @property
    def test(self):
        """p-value and 95 % interval of the difference; ``None`` if there is a single run of one,
        or neither varies."""
        if min(map(len, self.samples)) < 2 or max(map(numpy.ptp, self.samples)) < ROUNDING:
            return None
        with warnings.catch_warnings():     # of runs that agree on the number of errors
            warnings.filterwarnings('ignore', 'Precision loss', RuntimeWarning)
            result = stats.ttest_ind(*self.samples, equal_var=False)
        return float(result.pvalue), tuple(result.confidence_interval(.95))

    @property
    def verdict(self):
        """Result of the test for the claim."""
        if self.test is None:
            return 'too few runs'
        if self.test[0] >= SIGNIFICANT:
            return 'holds: no difference found' if self.equal else 'not shown'
        if self.equal:
            return 'does not hold: they differ'
        return 'holds' if self.difference > 0 else 'the opposite holds'


class Claim(NamedTuple):
    """A claim of the paper and the pairs of experiments that it is about."""

    letter: str
    text: str
    equal: bool
    pairs: Any      # function of the published numbers: pairs of names


def _shuffled(numbers):
    return [('gt_fve_shuffled', 'gt_gap_shuffled'),
            ('gt_fve_shuffled_once', 'gt_gap_shuffled_once')]


def _same(numbers):
    return [('gt_fve_shuffled', 'gt_fve'), ('gt_fve_shuffled', 'gt_fve_ordered'),
            ('gt_fve', 'gt_fve_ordered')]


def _joint(numbers):
    return _lines(numbers, 'joint', 'separate')


def _parts(numbers):
    pairs = []
    for fve, gap in (('cs_parts_fve', 'cs_parts_gap'), ('gt2_fve_shuffled', 'gt2_gap_shuffled'),
                     ('grid_fve', 'grid_gap')):
        pairs += [(fve, gap), (gap, 'no_parts'), (fve, 'no_parts')]
    return [*pairs, ('global_fve', 'no_parts')]


def _learned(numbers):
    return [('gt_fve', 'gt_gradient_fve'), ('cs_parts_fve', 'cs_parts_gradient_fve'),
            ('gt2_fve_shuffled', 'gt2_gradient_fve_shuffled'),
            *_lines(numbers, 'joint', 'joint by gradient')]


def _lines(numbers, *lines):
    """Pairs of names with equal numbers of components in Fig. 3."""
    return list(zip(*(numbers.figure['lines'][line].values() for line in lines)))


CLAIMS = [
    Claim('a', 'with shuffled parts FVE is better than GAP (Table 1)', False, _shuffled),
    Claim('b', 'FVE is the same with shuffled, only visible and ordered parts (Table 1)', True,
          _same),
    Claim('c', 'joint learning is better than the conventional pipeline for every number of '
               'components, and varies less with it (Fig. 3)', False, _joint),
    Claim('d', 'parts are better than no parts, and FVE on them better than GAP (Table 2)', False,
          _parts),
    Claim('e', 'a mixture learned by EM is better than one learned by back-propagation '
               '(Sect. 2.1)', False, _learned),
]


def compare(claim, results, numbers, dataset):
    """Comparisons of a claim for which a data set has results.

    Args:
        claim (Claim): The claim.
        results (finetune.report.results.Results): Our results.
        numbers (finetune.published.Published): The experiments of the paper's tables and figures.
        dataset (str): The data set.

    Returns:
        list of Comparison: Of both streams together and of the part stream alone.

    """
    comparisons = []
    for first, second in claim.pairs(numbers):
        for stream, words in STREAMS.items():
            samples = [list(results.accuracy(dataset, name, stream).values())
                       for name in (first, second)]
            if all(samples):
                comparisons.append(Comparison(
                    claim.letter, first, second, words, samples, claim.equal))
    if claim.letter == 'c':
        comparisons += _variations(results, numbers, dataset)
    return comparisons


def _variations(results, numbers, dataset):
    """Standard deviation over the numbers of components, by seed: separate against joint."""
    for stream, words in STREAMS.items():
        joint, separate = ([results.accuracy(dataset, name, stream) for name in names]
                           for names in zip(*_joint(numbers)))
        seeds = sorted(set.intersection(*map(set, joint + separate)))
        samples = [[float(numpy.std([accuracy[seed] for accuracy in line], ddof=1))
                    for seed in seeds] for line in (separate, joint)]
        if seeds:
            yield Comparison('c', 'variation over K: separate', 'variation over K: joint', words,
                             samples, False)
