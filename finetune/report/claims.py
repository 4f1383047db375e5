"""The paper's claims as comparisons of runs, each with Welch's t-test."""
from typing import Any, NamedTuple
import warnings

import numpy
from scipy import stats

SIGNIFICANT = .05
ROUNDING = 1e-6         # points; accuracies that differ by less are the same
COMPONENTS = 1, 2, 5, 10, 20, 50        # Fig. 3
STREAMS = {'accuracy': 'both streams', 'accuracy_parts': 'part stream alone'}


class Comparison(NamedTuple):
    """Two experiments: is the first one better?"""

    claim: str              # letter
    first: str              # what is compared, in words
    second: str
    stream: str             # in words
    samples: Any            # accuracies of either in per cent, two lists
    equal: bool             # whether the claim is that there is no difference

    @property
    def difference(self):
        """Of the means, in points."""
        return numpy.mean(self.samples[0]) - numpy.mean(self.samples[1])

    @property
    def test(self):
        """p-value and 95 % interval of the difference; ``None`` if one of them has a single run,
        or neither varies."""
        if min(map(len, self.samples)) < 2 or max(map(numpy.ptp, self.samples)) < ROUNDING:
            return None
        with warnings.catch_warnings():     # of runs that agree on the number of errors
            warnings.filterwarnings('ignore', 'Precision loss', RuntimeWarning)
            result = stats.ttest_ind(*self.samples, equal_var=False)
        return float(result.pvalue), tuple(result.confidence_interval(.95))

    @property
    def verdict(self):
        """What the test says of the claim."""
        if self.test is None:
            return 'too few runs'
        if self.test[0] >= SIGNIFICANT:
            return 'holds: no difference found' if self.equal else 'not shown'
        if self.equal:
            return 'does not hold: they differ'
        return 'holds' if self.difference > 0 else 'the opposite holds'


class Claim(NamedTuple):
    """A claim of the paper and the pairs of runs that it is about."""

    letter: str
    text: str
    equal: bool
    pairs: Any              # function of a data set that gives pairs of run names


def _shuffled(dataset):
    return [('gt_fve_shuffled', 'gt_gap_shuffled'), ('gt2_fve_shuffled', 'gt2_gap_shuffled')]


def _same(dataset):
    return [('gt_fve_shuffled', 'gt_fve'), ('gt_fve_shuffled', 'gt_fve_ordered'),
            ('gt_fve', 'gt_fve_ordered')]


def _joint(dataset):
    return [(_with(k, 'gt2_fve'), f'gt2_separate_k{k}') for k in COMPONENTS]


def _parts(dataset):
    fve, gap = (('gt2_fve_shuffled', 'gt2_gap_shuffled') if dataset == 'minibirds'
                else ('cs_parts_fve', 'cs_parts_gap'))
    return [(fve, gap), (gap, 'no_parts'), (fve, 'no_parts')]


def _learned(dataset):
    return [('gt_fve', 'gt_gradient_fve'), ('cs_parts_fve', 'cs_parts_gradient_fve'),
            *((_with(k, 'gt2_fve'), _with(k, 'gt2_gradient_fve')) for k in COMPONENTS)]


def _with(n_components, name):
    return name if n_components == 1 else f'{name}_k{n_components}'


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


def compare(claim, runs, dataset):
    """Comparisons of a claim for which a data set has runs."""
    found = []
    for first, second in claim.pairs(dataset):
        for stream, words in STREAMS.items():
            samples = [list(runs.accuracy(dataset, name, stream).values())
                       for name in (first, second)]
            if all(samples):
                found.append(Comparison(claim.letter, first, second, words, samples, claim.equal))
    if claim.letter == 'c':
        found += _variations(runs, dataset)
    return found


def _variations(runs, dataset):
    """Standard deviation over the numbers of components, seed by seed: separate against joint."""
    for stream, words in STREAMS.items():
        joint, separate = ([runs.accuracy(dataset, name, stream) for name in names]
                           for names in zip(*_joint(dataset)))
        seeds = sorted(set.intersection(*map(set, joint + separate)))
        samples = [[float(numpy.std([accuracy[seed] for accuracy in line], ddof=1))
                    for seed in seeds] for line in (separate, joint)]
        if seeds:
            yield Comparison('c', 'variation over K: separate', 'variation over K: joint', words,
                             samples, False)
