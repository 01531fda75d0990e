"""A mean difference between two arms with its uncertainty, over seeds, over splits, or over both.

Runs that share a seed share its luck, and so do runs that share a split. Taken as so many independent runs they make
every interval too narrow. So what counts is the table of seeds and splits that the runs fill (`estimate`).
"""

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt

from scipy.special import nctdtr, stdtr, stdtrit

LEAST = 3  # values that an interval or a test is made of: with two, Student's factor is 12.7, and s is one difference
# Values that lie no further apart than this part of the metric's size count as equal: records hold float32, so that
# equal counts of images give accuracies up to 2.4e-7 apart; one image of 100,000 is 1e-5.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, over `n` of `unit` ("seeds", "splits", "seeds × splits") on so many `splits`.

    (mean − true mean) / error follows Student's t with `freedom` degrees of freedom. The error is 0 where nothing
    differs: that says nothing of the noise, and so there is no interval. Source: Student (1908), "The probable error
    of a mean", Biometrika 6.
    """

    mean: float
    error: float
    freedom: float
    n: int
    unit: str
    splits: int = 1

    @property
    def known(self) -> bool:
        """Whether the values say how far their mean can be trusted: three and more that are not all equal."""
        return self.n >= LEAST and self.error > 0

    def half_width(self, level: float = 0.95) -> float | None:
        """t(freedom, (1 + level) / 2) · error; None where the values say nothing (`known`)."""
        return self.error * self._quantile(1 - level) if self.known else None

    def interval(self, level: float = 0.95, span: float = inf) -> tuple[float, float] | None:
        """The ends of the interval that holds the true mean with the frequency `level`.

        None where the values say nothing (`known`), and where it would be wider than `span`, the distance between the
        least and the greatest value that is possible.
        """
        half = self.half_width(level)
        return None if half is None or 2 * half > span else (self.mean - half, self.mean + half)

    def p(self) -> float | None:
        """The two-sided p of the test that the true mean is 0; the interval excludes 0 where it is below 1 − level.

        None from fewer than three values. Where all are equal their spread says nothing of the noise, and the signs
        alone count: 2^(1−n) that all n of them agree, 1 where the mean is 0.

        Source: Student (1908); Fisher (1935), "The Design of Experiments", §21, for the signs.
        """
        if self.n < LEAST:
            return None
        if self.mean == 0:
            return 1.0
        return self._tail() if self.error > 0 else 2.0**-self.freedom

    def equivalent(self, margin: float, level: float = 0.95) -> bool | None:
        """Whether two one-sided tests, each at 1 − level, both say that the true mean is within ± margin.

        The same as an interval of the level 1 − 2 (1 − level) within ± margin. None where there is no interval.

        Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15.
        """
        half = self.half_width(2 * level - 1)
        return None if half is None else abs(self.mean) + half < margin

    def detectable(self, alpha: float = 0.05, power: float = 0.8) -> float | None:
        """The least true difference that a test at `alpha` with these units and this spread finds with this power.

        δ with 1 − F(t*; ν, δ/error) + F(−t*; ν, δ/error) = power, F of the noncentral t, t* the test's quantile.
        None where there is no interval.

        Source: Cohen (1988), "Statistical Power Analysis", ch. 2.
        """
        if not self.known:
            return None
        critical = self._quantile(alpha)
        return self.error * root(lambda shift: power_of(shift, critical, self.freedom) - power, 0, 3 * critical + 50)

    def needed(self, alpha: float = 0.05, power: float = 0.8, most: int = 1000) -> int | None:
        """The least n of the same unit with which a test at `alpha` finds the measured difference with this power.

        It takes the measured mean and spread for the true ones. None where there is no interval, where the mean is
        0, and where more than `most` would be needed.
        """
        if not self.known:
            return None
        return units_needed(self.mean / (self.error * sqrt(self.freedom + 1)), alpha, power, most)

    def _quantile(self, alpha: float) -> float:
        return float(-stdtrit(self.freedom, alpha / 2))

    def _tail(self) -> float:
        return 2 * float(stdtr(self.freedom, -abs(self.mean) / self.error))


@dataclass(frozen=True)
class CrossedEstimate(Estimate):
    """The mean of a table of seeds × splits, both drawn at random: y = μ + seed + split + rest.

    With the mean squares A of `seeds`, B of `splits` and E of the rest and their degrees of freedom a, b, e, the
    standard error is √(V / n) with V = A + B − E, the estimate by analysis of variance (which is that by REML where
    no component is negative), and at least A, B and E. The half width is √(H / n),
    H = A t²(a) + B t²(b) − E t²(e), and at least each of A t²(a), B t²(b), E t²(e). It holds the true mean in 95 %
    whatever the variances are (`python scripts/simulate.py crossed`).

    Why not √(V / n) with Student's t and Satterthwaite's degrees of freedom: where it is worst, that holds in 92 to
    95 % on three splits and more, but in 88 % for 20 seeds on two splits, and at 99 % in 93 %. Without the lower
    bounds of V it holds in 71 %, Student's intervals over the means of seeds in as little as 17 %. On two splits the
    interval is wide: two say little of the others.

    Source: Burdick and Graybill (1992), "Confidence Intervals on Variance Components", for such sums of bounds.
    """

    squares: tuple[tuple[float, int], ...] = ()  # A, B, E with a, b, e

    def _quantile(self, alpha: float) -> float:
        ours, theirs, rest = (square * float(stdtrit(f, alpha / 2)) ** 2 for square, f in self.squares)
        return sqrt(max(ours + theirs - rest, ours, theirs, rest) / self.n) / self.error

    def _tail(self) -> float:
        """The level at which the interval ends at 0."""
        away = abs(self.mean) / self.error
        return math.exp(root(lambda log: away - self._quantile(math.exp(log)), -500, 0))

    def needed(self, alpha: float = 0.05, power: float = 0.8, most: int = 1000) -> int | None:
        """The least n, both seeds and splits becoming more by the same factor; see `Estimate.needed`."""
        units = super().needed(alpha, power, most)
        if units is None:
            return None
        n = math.ceil(self.n * (units / (self.freedom + 1)) ** 2)
        return n if n <= most else None


def estimate(values: Mapping[tuple[object, ...], float], scale: float) -> Estimate:
    """The mean of numbers that were measured under seeds and splits, with its uncertainty.

    - One split: over its seeds; what holds on other splits is not known. One seed: over its splits.
    - Each seed on one split only (as where both change together): over the means of splits.
    - All seeds on all splits: `CrossedEstimate`. Where runs are missing, of the seeds and splits that are complete;
      where less than half of the runs would be left, over the means of the fewer of both.

    Args:
        values: at least one; the keys begin with the seed and the split.
        scale: the size of the metric, as 1 for an accuracy: values that are nearer by `ROUNDING` of it are equal.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("An estimate takes at least one value.")
    cells: dict[tuple[object, object], list[float]] = {}
    for (seed, split, *_), value in values.items():
        cells.setdefault((seed, split), []).append(value)
    return _of_table({key: statistics.fmean(found) for key, found in cells.items()}, scale)


def _of_table(table: Mapping[tuple[object, object], float], scale: float) -> Estimate:
    seeds, splits = ({key[factor] for key in table} for factor in (0, 1))
    if len(seeds) == 1 or len(splits) == 1:
        return over(list(table.values()), scale, "seeds" if len(splits) == 1 else "splits", len(splits))
    if len(table) == len(seeds):
        return over(_means(table, 1), scale, "splits", len(splits))
    if len(table) == len(splits):
        return over(_means(table, 0), scale, "seeds", len(splits))
    whole = _complete(table)
    if 2 * len(whole) < len(table):
        factor = int(len(splits) <= len(seeds))
        return over(_means(table, factor), scale, ("seeds", "splits")[factor], len(splits))
    if len(whole) < len(table):
        return _of_table(whole, scale)
    return _crossed(table, scale)


def over(values: Sequence[float], scale: float, unit: str, splits: int = 1) -> Estimate:
    """The mean of independent values with its standard error s / √n.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("An estimate takes at least one value.")
    n, mean = len(values), statistics.fmean(values)
    if _equal(values, scale):
        return Estimate(_rounded(mean, scale), 0.0, n - 1, n, unit, splits)
    return Estimate(mean, statistics.stdev(values) / sqrt(n), n - 1, n, unit, splits)


def units_needed(effect: float, alpha: float = 0.05, power: float = 0.8, most: int = 1000) -> int | None:
    """The least n ≥ 3 with which a paired t test at `alpha` finds the true effect d_z = δ/σ with this power.

    1 − F(t*; n−1, δ√n/σ) + F(−t*; n−1, δ√n/σ) ≥ power, F of the noncentral t and t* the test's quantile.
    None where more than `most` are needed.

    Source: Cohen (1988), "Statistical Power Analysis", ch. 2.
    """

    def enough(n: int) -> bool:
        return power_of(abs(effect) * sqrt(n), float(-stdtrit(n - 1, alpha / 2)), n - 1) >= power

    if not enough(most):
        return None
    low, high = LEAST - 1, most  # not enough, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def power_of(shift: float, critical: float, freedom: float) -> float:
    """P(|T| ≥ critical), T of the noncentral t."""
    above, below = (float(nctdtr(freedom, shift, at)) for at in (critical, -critical))
    return 1 - (0 if math.isnan(above) else above) + (0 if math.isnan(below) else below)  # nan where it is next to 0


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where an increasing function passes 0, by bisection."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return high


def _crossed(table: Mapping[tuple[object, object], float], scale: float) -> Estimate:
    """The mean of a complete table by the analysis of variance with two random factors and one value for each cell."""
    n, mean = len(table), statistics.fmean(table.values())
    means = [{key: statistics.fmean(group) for key, group in _groups(table, factor).items()} for factor in (0, 1)]
    seeds, splits = map(len, means)
    if _equal(list(table.values()), scale):
        return Estimate(_rounded(mean, scale), 0.0, min(seeds, splits) - 1, n, "seeds × splits", splits)
    ours, theirs = (n / len(group) * sum((m - mean) ** 2 for m in group.values()) / (len(group) - 1) for group in means)
    rests = (value - means[0][seed] - means[1][split] + mean for (seed, split), value in table.items())
    degrees = (seeds - 1, splits - 1, (seeds - 1) * (splits - 1))
    rest = sum(value**2 for value in rests) / degrees[2]
    variance = max(ours + theirs - rest, ours, theirs, rest)
    freedom = (ours + theirs) / (ours / degrees[0] + theirs / degrees[1]) if ours + theirs else min(degrees)
    squares = tuple(zip((ours, theirs, rest), degrees, strict=True))
    return CrossedEstimate(mean, sqrt(variance / n), freedom, n, "seeds × splits", splits, squares)


def _complete(table: Mapping[tuple[object, object], float]) -> dict[tuple[object, object], float]:
    """The part in which no cell is missing: the seed or split that misses most goes first."""
    kept = dict(table)
    while len(kept) < math.prod(len({key[factor] for key in kept}) for factor in (0, 1)):
        shares = {
            (factor, name): len(group) / len({key[1 - factor] for key in kept})
            for factor in (0, 1)
            for name, group in _groups(kept, factor).items()
        }
        factor, name = min(shares, key=shares.__getitem__)
        kept = {key: value for key, value in kept.items() if key[factor] != name}
    return kept


def _means(table: Mapping[tuple[object, object], float], factor: int) -> list[float]:
    return [statistics.fmean(group) for group in _groups(table, factor).values()]


def _groups(table: Mapping[tuple[object, object], float], factor: int) -> dict[object, list[float]]:
    groups: dict[object, list[float]] = {}
    for key, value in table.items():
        groups.setdefault(key[factor], []).append(value)
    return groups


def _equal(values: Collection[float], scale: float) -> bool:
    return max(values) - min(values) <= ROUNDING * scale


def _rounded(mean: float, scale: float) -> float:
    return 0.0 if abs(mean) <= ROUNDING * scale else mean
