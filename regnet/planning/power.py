"""What difference between two arms the planned runs can tell."""

from collections.abc import Collection
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import median

from ..core.errors import UserError
from ..report.compare import POWER, compare, find_baseline
from ..report.estimate import LEAST, Estimate
from ..report.family import ALPHA
from ..report.study import Study, studies
from ..run.record import runs_in


def detectable(pairs: Collection[tuple[object, ...]], family: int) -> float | None:
    """The least true difference, in standard deviations of the paired differences, that is told with power 0.8.

    By the two-sided paired t test at 0.05 / m for m comparisons made together (Bonferroni), see `Estimate.detectable`.
    Of seeds x splits it counts the fewer of both, which is the worst case: that these are all the differences come
    from. None of fewer than three pairs, of which nothing is tested.

    Args:
        pairs: seed and split of each run of an arm.
        family: m.
    """
    counts = [len(set(part)) for part in zip(*pairs, strict=True)]
    units = min(counts) if min(counts) > 1 else max(counts)
    if units < 2:
        return None
    planned = Estimate(0.0, 1 / sqrt(units), units - 1, len(set(pairs)), "runs")
    return planned.detectable(ALPHA / max(1, family), POWER)


@dataclass(frozen=True)
class Spread:
    """The standard deviation of the paired differences of an earlier study, on test: the median over its arms."""

    metric: str
    deviation: float
    arms: int

    def value(self, deviations: float) -> str:
        """So many standard deviations in the metric's own unit."""
        least = deviations * self.deviation
        return f"{100 * least:.2g} points of accuracy" if self.metric == "accuracy" else f"{least:.2g} of {self.metric}"


def spread(folder: str) -> list[Spread]:
    """Of each study in `folder`: one for each data that its runs have.

    Raises:
        UserError: it holds no two arms with three pairs of runs that share seed and split.
    """
    found = [one for study in studies(runs_in([Path(folder)])) if (one := _spread(study))]
    if not found:
        raise UserError(f"from={folder} tells no spread: it has no two arms with {LEAST} seeds or splits in common")
    return found


def _spread(study: Study) -> Spread | None:
    base = find_baseline(study) or study.best()
    gains = [pair.gain for pair in compare(study, base)] if base else []
    known = [gain.error * sqrt(gain.freedom + 1) for gain in gains if gain and gain.known]
    return Spread(study.metric, median(known), len(known)) if known else None
