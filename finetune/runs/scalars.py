"""Scalars of the mixture in a run's log, and their names in reports and plots."""
from typing import NamedTuple


class Scalar(NamedTuple):
    """Names of a scalar."""

    words: str      # in reports
    plot: str       # name of the plot
    label: str      # in the plot's legend


MIXTURE = {
    'main/weight_entropy': Scalar('entropy of the weights', 'weight_entropy', 'of the mixture'),
    'main/var_typical': Scalar('geometric mean of the variances', 'variances', 'geometric mean'),
    'main/var_at_floor': Scalar('share at var_floor', 'variances', 'share at the floor'),
    'main/log_likelihood': Scalar('log likelihood', 'log_likelihood', 'of a training batch'),
}
