"""How far a mean over seeds can be trusted."""

import statistics
from collections.abc import Sequence

from scipy.special import stdtrit  # scipy.stats has the same quantile and takes a second to import


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None]:
    """The mean and the half width of its Student t interval, t(n−1, (1+level)/2) · s / √n.

    s is the sample's standard deviation (n − 1). Both have the unit of `values`. One value has no
    interval: the half width is None.

    Args:
        values: at least one.
        level: how often such an interval holds the true mean.

    Raises:
        ValueError: there are no values.

    Source: Student (1908), "The probable error of a mean", Biometrika 6.
    """
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return mean, None
    quantile = float(stdtrit(n - 1, (1 + level) / 2))
    return mean, quantile * statistics.stdev(values) / n**0.5
