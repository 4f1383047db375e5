"""The paper's claims as comparisons of runs, tested pair by pair of runs with the same seed."""
from typing import Any, NamedTuple

import numpy
from scipy import stats

from finetune.config.streams import COMPARED

SIGNIFICANT = .05
MARGIN = 2.             # points within which two methods are the same; an image in fifty
ROUNDING = 1e-6         # points; accuracies that differ by less are the same


class Comparison(NamedTuple):
    """Two experiments, whose runs with the same seed are pairs: is the first one better?

    The runs of a pair share what they start from, so that a paired test is due (Student's t). That
    two experiments are the same is tested by two one-sided tests (TOST; Schuirmann, 1987): that
    their difference is above -MARGIN, and below MARGIN.
    """

    claim: str              # letter
    first: str              # what is compared, in words
    second: str
    stream: str             # in words
    samples: Any            # accuracies of both in per cent, two lists in the order of the seeds
    equal: bool             # whether the claim is that there is no difference
    p_corrected: float | None = None     # for the number of comparisons

    @property
    def difference(self):
        """Of the means, in points."""
        return float(numpy.mean(self.samples[0]) - numpy.mean(self.samples[1]))

    @property
    def n_pairs(self):
        """Number of pairs."""
        return len(self.samples[0])

    @property
    def effect(self):
        """The difference in standard deviations of the runs (n - 1), mean of both."""
        deviation = numpy.sqrt(numpy.mean([numpy.var(values, ddof=1) for values in self.samples]))
        return self.difference / deviation if deviation > ROUNDING else numpy.nan

    @property
    def interval(self):
        """95 % interval of the difference."""
        return self._estimate.interval(1 - SIGNIFICANT)

    @property
    def p(self):
        """p-value of what is claimed: of a difference, two-sided, or of the equality."""
        estimate = self._estimate
        if self.equal:
            return float(max(estimate.cdf(-MARGIN), estimate.sf(MARGIN)))
        return float(2 * min(estimate.cdf(0), estimate.sf(0)))

    @property
    def _estimate(self):
        """Student's t-distribution around the difference; its width has a floor, for equal runs."""
        error = max(stats.sem(numpy.subtract(*self.samples)), ROUNDING)
        return stats.t(self.n_pairs - 1, self.difference, error)

    @property
    def verdict(self):
        """Result of the test for the claim."""
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


def compare(results, numbers, dataset):
    """Comparisons of all claims for which a data set has results.

    Their p-values are corrected for the number of all of them (Holm, 1979).

    Args:
        results (finetune.report.results.Results): Our results.
        numbers (finetune.report.published.Published): The experiments of the paper's tables and
            figures.
        dataset (str): The data set.

    Returns:
        dict: Lists of :class:`Comparison` by the letters of the claims, of both streams together
        and of the part stream alone.

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
    """Experiments in other folders than the tables' against those that their configs change.

    Returns:
        dict: By (folder, name), a :class:`Comparison`, corrected for their number in the folder.

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
    """p-values (n,) corrected for their number, so that 5 % of such families have a false one."""
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
    """Standard deviation over the numbers of components, by seed: separate against joint."""
    for stream, words in COMPARED.items():
        joint, separate = ([results.accuracy(dataset, name, stream) for name in names]
                           for names in zip(*_joint(numbers)))
        seeds = sorted(set.intersection(*map(set, joint + separate)))
        samples = [[float(numpy.std([accuracy[seed] for accuracy in line], ddof=1))
                    for seed in seeds] for line in (separate, joint)]
        if seeds:
            yield Comparison('c', 'variation over K: separate', 'variation over K: joint', words,
                             samples, False)
