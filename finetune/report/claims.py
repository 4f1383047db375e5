"""The paper's claims as comparisons of experiments, tested on pairs of runs with equal seeds."""
from typing import Any, NamedTuple

import numpy
from scipy import stats

from finetune.config.streams import COMPARED

SIGNIFICANT = .05
MARGIN = 2.             # points; methods that differ by less count as the same
ROUNDING = 1e-6         # points; accuracies that differ by less are equal


class Comparison(NamedTuple):
    """A test whether the first of two experiments is better.

    Runs with the same seed start from the same weights, so that a paired t-test (Student) applies.
    Equality is tested by two one-sided tests (TOST; Schuirmann, 1987): the difference is above
    -MARGIN and below MARGIN.
    """

    claim: str              # letter
    first: str              # name of an experiment, or words
    second: str
    stream: str             # in words
    samples: Any            # accuracies in per cent: two lists in the order of the seeds
    equal: bool             # whether the claim is that there is no difference
    p_corrected: float | None = None     # corrected for the number of comparisons

    @property
    def difference(self):
        """Difference of the means, in points."""
        return float(numpy.mean(self.samples[0]) - numpy.mean(self.samples[1]))

    @property
    def n_pairs(self):
        return len(self.samples[0])

    @property
    def effect(self):
        """The difference divided by the pooled standard deviation (n - 1) of the runs."""
        deviation = numpy.sqrt(numpy.mean([numpy.var(values, ddof=1) for values in self.samples]))
        return self.difference / deviation if deviation > ROUNDING else numpy.nan

    @property
    def interval(self):
        """95 % confidence interval of the difference."""
        return self._estimate.interval(1 - SIGNIFICANT)

    @property
    def p(self):
        """p-value of the claim: of a difference (two-sided), or of equality."""
        estimate = self._estimate
        if self.equal:
            return float(max(estimate.cdf(-MARGIN), estimate.sf(MARGIN)))
        return float(2 * min(estimate.cdf(0), estimate.sf(0)))

    @property
    def _estimate(self):
        """Student's t-distribution around the difference; a minimal width allows equal runs."""
        error = max(stats.sem(numpy.subtract(*self.samples)), ROUNDING)
        return stats.t(self.n_pairs - 1, self.difference, error)

    @property
    def verdict(self):
        if self.n_pairs < 2:
            return 'too few runs'
        low, high = self.interval
        if self.equal and max(low, -high) > MARGIN:
            return f'does not hold: they differ by more than {MARGIN:g} points'
        if self.p_corrected >= SIGNIFICANT:
            return 'not shown'
        if self.equal:
            return f'holds: the same within {MARGIN:g} points'
        return 'holds' if self.difference > 0 else 'the opposite holds'


class Claim(NamedTuple):
    """A claim of the paper and the pairs of experiments that test it."""

    letter: str
    text: str
    equal: bool
    pairs: Any      # function that makes pairs of names from the published numbers


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
    """Pairs of names on two lines of Fig. 3 with equal numbers of components."""
    first, *others = (numbers.figure['lines'][line] for line in lines)
    return [(first[k], *(other[k] for other in others)) for k in first]


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


def compare(results, numbers, dataset):
    """Comparisons for all claims on a data set, with p-values corrected for their number (Holm).

    Args:
        results (finetune.report.results.Results): Our results.
        numbers (finetune.report.published.Published): The published numbers.
        dataset (str): Name of the data set.

    Returns:
        dict: By letter of the claim, a list of :class:`Comparison` for both streams together and
        for the part stream alone.

    """
    comparisons = [comparison for claim in CLAIMS
                   for comparison in _of_claim(claim, results, numbers, dataset)]
    tested = [comparison for comparison in comparisons if comparison.n_pairs > 1]
    corrected = iter(holm([comparison.p for comparison in tested]))
    by_letter = {claim.letter: [] for claim in CLAIMS}
    for comparison in comparisons:
        if comparison.n_pairs > 1:
            comparison = comparison._replace(p_corrected=next(corrected))
        by_letter[comparison.claim].append(comparison)
    return by_letter


def against_bases(results, stream='both'):
    """Compares experiments outside the tables' folders with the ``base`` of their configs.

    Returns:
        dict: By (folder, name), a :class:`Comparison`, corrected for the number in its folder.

    """
    comparisons = {}
    for (folder, name), base in results.bases.items():
        sides = [results.accuracy(*key, stream) for key in ((folder, name), base)]
        seeds = sorted(set.intersection(*map(set, sides)))
        if folder in {other for other, _ in results.others} and len(seeds) > 1:
            samples = [[of_seed[seed] for seed in seeds] for of_seed in sides]
            comparisons[folder, name] = Comparison('', name, base[1], COMPARED[stream], samples,
                                                   False)
    for folder in {folder for folder, _ in comparisons}:
        of_folder = {key: one for key, one in comparisons.items() if key[0] == folder}
        for (key, one), p in zip(of_folder.items(), holm([one.p for one in of_folder.values()])):
            comparisons[key] = one._replace(p_corrected=p)
    return comparisons


def holm(p_values):
    """p-values (n,) corrected for their number (Holm, 1979)."""
    p_values = numpy.asarray(p_values, float)
    order = numpy.argsort(p_values)
    factors = numpy.arange(len(order), 0, -1)
    corrected = numpy.empty(len(order))
    corrected[order] = numpy.maximum.accumulate(p_values[order] * factors).clip(max=1)
    return corrected.tolist()


def _of_claim(claim, results, numbers, dataset):
    for first, second in claim.pairs(numbers):
        for stream, words in COMPARED.items():
            accuracies = [results.accuracy(dataset, name, stream) for name in (first, second)]
            seeds = sorted(set.intersection(*map(set, accuracies)))
            if seeds:
                samples = [[of_seed[seed] for seed in seeds] for of_seed in accuracies]
                yield Comparison(claim.letter, first, second, words, samples, claim.equal)
    if claim.letter == 'c':
        yield from _variations(results, numbers, dataset)


def _variations(results, numbers, dataset):
    """Compares standard deviations over the numbers of components: separate, joint."""
    for stream, words in COMPARED.items():
        joint, separate = ([results.accuracy(dataset, name, stream) for name in names]
                           for names in zip(*_joint(numbers)))
        seeds = sorted(set.intersection(*map(set, joint + separate)))
        samples = [[float(numpy.std([accuracy[seed] for accuracy in line], ddof=1))
                    for seed in seeds] for line in (separate, joint)]
        if seeds:
            yield Comparison('c', 'variation over K: separate', 'variation over K: joint', words,
                             samples, False)
