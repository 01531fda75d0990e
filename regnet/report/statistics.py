"""Arms on several data sets by their ranks: functions of numbers."""

import statistics
from collections.abc import Sequence
from itertools import accumulate
from math import isclose, sqrt

from scipy.special import chdtrc, ndtr


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
