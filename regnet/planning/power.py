"""What difference between two arms the planned seeds can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, stdev

from ..core.errors import UserError
from ..report.compare import ALPHA, find_baseline
from ..report.statistics import LEAST, seeds_needed
from ..report.study import Study, independent, studies
from ..run.record import runs_in

POWER = 0.8
LARGEST = 100.0  # standard deviations: more is told with three seeds


def detectable(n: int, family: int) -> float | None:
    """The least true difference, in standard deviations of the paired differences, that n pairs tell with power 0.8.

    By the two-sided paired t test at 0.05 / m, for m comparisons made together (Bonferroni): the inverse of
    `seeds_needed`. None of fewer than three pairs, of which nothing is tested.

    Source: Cohen (1988), "Statistical Power Analysis", ch. 2.
    """
    if n < LEAST:
        return None
    low, high = 0.0, LARGEST  # not enough, enough
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        needed = seeds_needed(middle, ALPHA / max(1, family), POWER)
        low, high = (middle, high) if needed is None or needed > n else (low, middle)
    return high


@dataclass(frozen=True)
class Spread:
    """The standard deviation of the paired differences of an earlier study, on test: the median over its arms."""

    metric: str
    deviation: float
    pairs: int
    arms: int

    def value(self, deviations: float) -> str:
        """So many standard deviations in the metric's own unit."""
        least = deviations * self.deviation
        return (
            f"{100 * least:.2g} points of {self.metric}"
            if self.metric == "accuracy"
            else f"{least:.2g} of {self.metric}"
        )


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
    if base is None:
        return None
    theirs = base.measured("test", study.metric)
    known: list[Sequence[float]] = []
    for arm in study.arms:
        ours = arm.measured("test", study.metric)
        gains = independent({key: ours[key] - theirs[key] for key in ours if key in theirs})
        if arm is not base and len(gains) >= LEAST:
            known.append(gains)
    if not known:
        return None
    deviation = median(map(stdev, known))
    return Spread(study.metric, deviation, min(map(len, known)), len(known))
