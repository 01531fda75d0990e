"""How far means over seeds can be trusted, and differences between them: functions of numbers.

Intervals are Student's t, not a bootstrap, because of what was measured: how often a nominal 95 % interval holds
the true mean of n differences, in percent, 1,500 samples of each kind, 999 resamples (tests/helpers/coverage.py).

    n = 3 / 5 / 10 / 20   normal              heavy tails (t3)    skewed (exponential)  rounded counts
    Student t             95 / 95 / 96 / 95   96 / 96 / 96 / 97   88 / 88 / 89 / 92     96 / 95 / 96 / 95
    percentile bootstrap  76 / 84 / 92 / 93   74 / 82 / 89 / 93   67 / 78 / 86 / 90     87 / 85 / 94 / 94
    BCa bootstrap         73 / 83 / 91 / 94   71 / 81 / 86 / 90   66 / 80 / 87 / 91     83 / 85 / 93 / 94
    bootstrap-t           100 / 95 / 96 / 95  100 / 95 / 93 / 94  100 / 93 / 94 / 95    99 / 94 / 96 / 95

At the few seeds of a study the first two bootstraps are far too narrow. Bootstrap-t covers, even skewed differences,
but resamples without spread make it endless for many samples of 3, and of 5 where counts repeat. So Student's it is,
which also agrees with the test; it is too narrow where differences are strongly skewed.
"""

import statistics
from collections.abc import Sequence
from itertools import accumulate
from math import exp, inf, isclose, lgamma, sqrt

from scipy.special import chdtrc, nctdtr, ndtr, stdtr, stdtrit  # scipy.stats has the same and takes a second to import

LEAST = 3  # values that an interval or a test is made of: with two, Student's factor is 12.7, and s is one difference


def mean_interval(values: Sequence[float], level: float = 0.95, span: float = inf) -> tuple[float, float | None]:
    """The mean and the half width of its Student t interval, t(n−1, (1+level)/2) · s / √n.

    s is the sample's standard deviation (n − 1). Both have the unit of `values`. The half width is None where an
    interval would say nothing: with fewer than three values, and where it would be wider than `span`.

    Args:
        values: at least one.
        level: how often such an interval holds the true mean.
        span: between the least and the greatest value that is possible.

    Raises:
        ValueError: there are no values.

    Source: Student (1908), "The probable error of a mean", Biometrika 6.
    """
    mean, n = statistics.fmean(values), len(values)
    if n < LEAST:
        return mean, None
    half = float(stdtrit(n - 1, (1 + level) / 2)) * statistics.stdev(values) / n**0.5
    return mean, half if 2 * half <= span else None


def paired_p(differences: Sequence[float]) -> float | None:
    """The two-sided p of the paired t test, P(|T| ≥ |d̄| √n / s) under t(n − 1); None for fewer than two.

    Why not the exact sign-flip test: its least p is 2 / 2ⁿ, 0.06 for 5 seeds, so that with few seeds it can tell
    nothing apart. It does step in where all differences are equal, as counts over a small test set can be: s = 0
    there says nothing of the noise, and the t test's p would be 0. No difference at all has p = 1.

    Source: Student (1908); Fisher (1935), "The Design of Experiments", §21, for the sign flips.
    """
    n = len(differences)
    if n < 2:
        return None
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if mean == 0:
        return 1.0
    if deviation <= 1e-9 * abs(mean):  # equal, to rounding
        return 2.0 ** (1 - n)
    return 2 * float(stdtr(n - 1, -abs(mean) * sqrt(n) / deviation))


def holm(p_values: Sequence[float]) -> list[float]:
    """p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎), p₍₁₎ the smallest of m; in the order they came.

    With p̃ < α taken as a difference, the chance of even one false one among the m comparisons is at most α,
    however they depend on each other. This, and not the rate of false discoveries, because one row is picked.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6.
    """
    m = len(p_values)
    order = sorted(range(m), key=p_values.__getitem__)
    steps = accumulate((min(1.0, (m - i) * p_values[k]) for i, k in enumerate(order)), max)
    corrected = dict(zip(order, steps, strict=True))
    return [corrected[k] for k in range(m)]


def hedges_g(differences: Sequence[float]) -> float | None:
    """J · d̄ / s, Cohen's d_z of paired differences, times J = Γ(ν/2) / (√(ν/2) Γ((ν−1)/2)), ν = n − 1.

    J takes the bias of few samples out. None where there is no spread to measure by, or fewer than three.

    Source: Hedges (1981), "Distribution theory for Glass's estimator of effect size", J. Educ. Stat. 6, eq. 6e.
    """
    n = len(differences)
    if n < 3:
        return None
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if deviation <= 1e-9 * abs(mean):
        return 0.0 if mean == 0 else None
    half = (n - 1) / 2
    return exp(lgamma(half) - lgamma(half - 0.5)) / sqrt(half) * mean / deviation


def probability_of_improvement(values: Sequence[float], others: Sequence[float]) -> float:
    """P(X > Y) + ½ P(X = Y) over all pairs of one of `values` and one of `others`: Mann-Whitney's U / (n m).

    Source: Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice", §4.3.
    """
    wins = sum((x > y) + (x == y) / 2 for x in values for y in others)
    return wins / (len(values) * len(others))


def seeds_needed(effect: float, alpha: float = 0.05, power: float = 0.8, most: int = 1000) -> int | None:
    """The least n ≥ 2 with which a paired t test at `alpha` finds the true effect d_z = δ/σ with this power.

    1 − F(t*; n−1, δ√n/σ) + F(−t*; n−1, δ√n/σ) ≥ power, F of the noncentral t and t* the test's quantile.
    None where more than `most` are needed.

    Source: Cohen (1988), "Statistical Power Analysis", ch. 2.
    """

    def enough(n: int) -> bool:
        critical, shift = float(stdtrit(n - 1, 1 - alpha / 2)), abs(effect) * sqrt(n)
        if shift > critical + 5:  # power 0.99 and more, and scipy's noncentral t soon gives nan
            return True
        return bool(1 - nctdtr(n - 1, shift, critical) + nctdtr(n - 1, shift, -critical) >= power)

    if not enough(most):
        return None
    low, high = 1, most  # not enough, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def ranks(values: Sequence[float]) -> list[float]:
    """1 for the smallest; equal values share the mean of their places."""
    return [sum(y < x for y in values) + (sum(y == x for y in values) + 1) / 2 for x in values]


def friedman_p(table: Sequence[Sequence[float]]) -> float:
    """The p of Friedman's χ² = 12 N / (k (k+1)) · Σⱼ (R̄ⱼ − (k+1)/2)² / C with k − 1 degrees of freedom.

    R̄ⱼ is the mean rank of column j over the N rows (data sets); C = 1 − Σ (t³ − t) / (N (k³ − k)) over ties of t.

    Args:
        table: one row for each data set, one number for each of the k ≥ 2 compared.

    Source: Friedman (1937), J. Am. Stat. Assoc. 32; Demšar (2006), §3.2.2.
    """
    n, k = len(table), len(table[0])
    means = [statistics.fmean(column) for column in zip(*map(ranks, table), strict=True)]
    # Σ (t³ − t) over the groups of ties is Σ (t² − 1) over their members.
    ties = sum(row.count(value) ** 2 - 1 for row in map(list, table) for value in row)
    correction = 1 - ties / (n * (k**3 - k))
    if isclose(correction, 0, abs_tol=1e-12):
        return 1.0  # every row all equal
    statistic = 12 * n / (k * (k + 1)) * sum((mean - (k + 1) / 2) ** 2 for mean in means)
    return float(chdtrc(k - 1, statistic / correction))


def control_p(means: Sequence[float], control: float, data_sets: int) -> list[float]:
    """For each mean rank Rᵢ over N data sets: Holm's p of z = (Rᵢ − R₀) / √(k (k+1) / (6 N)), two-sided.

    R₀ is the mean rank of the control, k the number compared, the control included.

    Source: Demšar (2006), "Statistical comparisons of classifiers over multiple data sets", JMLR 7, §3.2.2.
    """
    k = len(means) + 1
    error = sqrt(k * (k + 1) / (6 * data_sets))
    return holm([2 * float(ndtr(-abs(mean - control) / error)) for mean in means])
