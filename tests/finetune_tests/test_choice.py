"""The choice of a classifier by held-out images, and the file that names the chosen run."""
import math

import fve_layer  # noqa: F401  (before Chainer)
import numpy
import pytest

from finetune.errors import InputError
from finetune.experiments.choice import choose, difference, interval
from finetune.runs import chosen
from finetune.runs.folder import RunFolder


def correct(n_both, n_own, n_baseline, n_neither):
    """Correct images of a candidate and of the baseline, from the four counts of a paired table."""
    counts = n_both, n_own, n_baseline, n_neither
    own, baseline = (numpy.repeat(column, counts) for column in (
        [True, True, False, False], [True, False, True, False]))
    return own, baseline


@pytest.mark.parametrize('counts', [(50, 9, 3, 38), (10, 0, 7, 0), (400, 41, 40, 119)])
def test_difference_is_that_of_paired_proportions(counts):
    n, (_, b, c, _) = sum(counts), counts
    gain = difference(*correct(*counts))
    assert gain.mean == pytest.approx((b - c) / n)
    assert gain.error == pytest.approx(math.sqrt(b + c - (b - c) ** 2 / n) / n)
    low, high = gain.interval
    assert (high - low) / 2 == pytest.approx(1.959964 * gain.error)


def test_equal_predictions_are_no_gain():
    gain = difference(*correct(30, 0, 0, 12))
    assert gain == (0, 0) and not gain.is_clear


def choice_of(*candidates):
    """Chooses among candidates by their paired tables with the baseline."""
    tables = [correct(*counts) for counts in candidates]
    baseline = tables[0][1]
    return choose({'plain': baseline, **{f'candidate {i}': own for i, (own, _)
                                         in enumerate(tables)}}, 'plain')


@pytest.mark.parametrize('candidates, name', [
    ([(60, 10, 8, 42)], 'plain'),                           # above, but not clearly
    ([(60, 16, 5, 39)], 'candidate 0'),
    ([(60, 5, 16, 39)], 'plain'),                           # clearly below
    ([(60, 16, 5, 39), (60, 18, 5, 37)], 'candidate 1'),    # the better one of two clear ones
    ([(70, 20, 0, 10), (70, 25, 0, 5), (70, 30, 0, 0)], 'candidate 2'),
])
def test_choice(candidates, name):
    assert choice_of(*candidates) == name


def test_equal_candidates_are_rarely_chosen():
    """Four candidates as good as the baseline, many times: the baseline stays in most."""
    random = numpy.random.RandomState(0)
    names = []
    for _ in range(300):
        shared = random.rand(600) < .8
        names.append(choose({name: numpy.where(random.rand(600) < .1, random.rand(600) < .8, shared)
                             for name in 'abcde'}, 'a'))
    assert names.count('a') > .85 * len(names)


@pytest.mark.parametrize('n_correct, n', [(0, 10), (10, 10), (7, 10), (500, 600)])
def test_interval_is_wilsons(n_correct, n):
    z, p = 1.959964, n_correct / n
    centre = (p + z ** 2 / (2 * n)) / (1 + z ** 2 / n)
    half = z / (1 + z ** 2 / n) * math.sqrt(p * (1 - p) / n + z ** 2 / (4 * n ** 2))
    assert interval(n_correct, n) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_chosen_run(tmp_path):
    run = RunFolder(tmp_path / 'photos' / 'no_parts')
    chosen.write(tmp_path, run, {'candidate': 'no_parts'})
    assert chosen.find_run(tmp_path).path == run.path
    assert chosen.find_run(run.path).path == run.path


@pytest.mark.parametrize('text', ['', '[]', 'run: 3', 'run: /etc', 'run: ../other', '{', 'ran: a'])
def test_damaged_choice(text, tmp_path):
    (tmp_path / chosen.FILE).write_text(text)
    with pytest.raises(InputError, match='chosen.yml: does not name a run'):
        chosen.find_run(tmp_path)
