"""Estimates that hold however often one looks: a confidence sequence for the mean of normal differences.

An interval of Student's misses the true mean in 5 % of studies if one looks once. Whoever adds seeds until something is
found looks often, and finds something in far more. A confidence sequence is a chain of intervals, one for each number
of seeds, all of which hold the true mean at once with the frequency 1 − α. So seeds may be added for any reason, and
as often as one likes.

It is the t test's mixture of likelihood ratios: under the prior g ~ N(0, `PRIOR`) for the effect δ/σ and the right Haar
prior for σ, the Bayes factor against δ = 0 with t = mean / error from n values, ν = n − 1, is

    B = (1 + n g)^(−1/2) · [(1 + t²/ν) / (1 + t²/((1 + n g) ν))]^((ν + 1)/2),

which under δ = 0 exceeds 1/α at any n with a frequency of at most α, whatever σ is (Ville's inequality). Alpha spending
(Lan & DeMets 1983) needs fewer seeds, but all looks planned in advance: it does not hold for who goes on after the last
of them.

Source: Lai (1976), "On confidence sequences", Ann. Statist. 4; Wang & Ramdas (2024), "Anytime-valid t-tests and
confidence sequences for Gaussian means with unknown variance", Sequential Analysis 43.
"""

from dataclasses import dataclass
from math import exp, inf, isinf, log, log1p, sqrt

from .estimate import LEAST, Estimate, power_of

PRIOR = 1.0  # the variance g of δ/σ, with the weight of one difference (Kass & Wasserman 1995): tightest where δ ≈ σ


@dataclass(frozen=True)
class AnytimeEstimate(Estimate):
    """An estimate over seeds whose intervals and p hold at all numbers of seeds at once.

    (mean − true mean) / error is compared with `critical` in the place of Student's quantile.
    """

    def half_width(self, level: float = 0.95) -> float | None:
        """`critical(n, 1 − level)` times the error; None also where so few seeds decide nothing, whatever they are."""
        half = super().half_width(level)
        return None if half is None or isinf(half) else half

    def detectable(self, alpha: float = 0.05, power: float = 0.8) -> float | None:
        """The least true difference that this one look finds with this power; None also where it can find none."""
        return None if isinf(self._quantile(alpha)) else super().detectable(alpha, power)

    def needed(self, alpha: float = 0.05, power: float = 0.8, most: int = 1000) -> int | None:
        """The least n that decides with this power, the measured mean and spread taken for the true ones."""
        if not self.known:
            return None
        effect = abs(self.mean) / (self.error * sqrt(self.n))
        found = (
            n
            for n in range(LEAST, most + 1)
            if not isinf(least := critical(n, alpha)) and power_of(effect * sqrt(n), least, n - 1) >= power
        )
        return next(found, None)

    def _quantile(self, alpha: float) -> float:
        return critical(self.n, alpha)

    def _tail(self) -> float:
        return min(1.0, exp(-log_bayes_factor(self.mean / self.error, self.n)))


def anytime(found: Estimate) -> Estimate:
    """The same mean with intervals that hold at any number of looks.

    Seeds and splits that cross have none: then nothing is said of the spread.
    """
    one_way = found.freedom == found.n - 1
    return AnytimeEstimate(found.mean, found.error if one_way else 0.0, found.n - 1, found.n, found.unit, found.splits)


def log_bayes_factor(t: float, n: int) -> float:
    """ln B of the module's formula."""
    shrunk, freedom = 1 + n * PRIOR, n - 1
    return (n * (log1p(t * t / freedom) - log1p(t * t / (shrunk * freedom))) - log(shrunk)) / 2


def critical(n: int, alpha: float) -> float:
    """The |t| at which B is 1/α; infinite where n values cannot reach it.

    t² = ν (K − 1) / (1 − K / (1 + n g)),  K = (√(1 + n g) / α)^(2/n), if K < 1 + n g.
    """
    shrunk = 1 + n * PRIOR
    ratio = exp((log(shrunk) - 2 * log(alpha)) / n)
    return inf if ratio >= shrunk else sqrt((n - 1) * (ratio - 1) / (1 - ratio / shrunk))
