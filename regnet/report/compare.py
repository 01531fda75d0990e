"""Arms of a study against one of them, on the test split, by paired differences."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..core.errors import UserError, near
from ..core.overrides import Override
from .statistics import LEAST, hedges_g, holm, mean_interval, paired_p, probability_of_improvement
from .study import METRICS, Arm, Pairing, Study, independent, span, technique, unit

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """How much better `arm` is than `baseline` by the study's metric on test. Better is positive, for every metric.

    `gains` holds one difference for each independent pair of runs that share seed and split (see
    `study.independent`), of as many `unit`: "seeds" or "splits". `p` is that of the paired t test, corrected (Holm)
    for the `family` comparisons made together; None where fewer than three pairs are there.
    """

    arm: Arm
    baseline: Arm
    metric: str
    gains: tuple[float, ...]
    unit: str
    p: float | None
    family: int

    @property
    def n(self) -> int:
        return len(self.gains)

    @cached_property
    def interval(self) -> tuple[float, float | None] | None:
        """The mean gain and the half width of its 95 % interval (`mean_interval`); None without a pair."""
        return mean_interval(self.gains, span=span(self.metric, 2)) if self.gains else None

    @property
    def distinguishable(self) -> bool:
        """Whether the corrected p is below 0.05."""
        return self.p is not None and self.p < ALPHA

    @property
    def effect(self) -> float | None:
        """Hedges' g of the paired gains: how many of their standard deviations."""
        return hedges_g(self.gains)

    @property
    def improvement(self) -> float | None:
        """The probability that a run of `arm` is better than any one of `baseline`, ties ½; None without runs."""
        sign = METRICS[self.metric]
        ours, theirs = (
            [-sign * value for value in arm.values("test", self.metric)] for arm in (self.arm, self.baseline)
        )
        return probability_of_improvement(ours, theirs) if ours and theirs else None


def compare(study: Study, baseline: Arm) -> list[Comparison]:
    """Every other arm of the study against `baseline`, in the study's order."""
    others = [arm for arm in study.arms if arm is not baseline]
    differences = [_differences(arm, baseline, study.metric) for arm in others]
    gains = list(map(independent, differences))
    tested = {index: paired_p(pairs) for index, pairs in enumerate(gains) if len(pairs) >= LEAST}
    known = {index: p for index, p in tested.items() if p is not None}
    corrected = dict(zip(known, holm(list(known.values())), strict=True))
    return [
        Comparison(arm, baseline, study.metric, tuple(gains[index]), unit(found), corrected.get(index), len(known))
        for index, (arm, found) in enumerate(zip(others, differences, strict=True))
    ]


def find_baseline(study: Study, name: str | None = None) -> Arm | None:
    """The arm called `name`, by its label or its technique; without a name, the unregularized one.

    Where several arms are meant, as `none` with several learning rates, it is the one that validation chooses:
    a gain over a badly tuned baseline is none. Where no arm is unregularized, the one of which every swept rate and
    strength is 0. None if the study has no such arm. Without a name, an arm of which nothing differs but other
    settings is no baseline, so a study of `none` alone has none.
    """
    if name is not None:
        wanted = technique(name, None)
        words = (Override.guess(word) if "=" in word else None for word in name.split(" "))
        texts = (f"{o.key}={o.spelled}" if o else word for o, word in zip(words, name.split(" "), strict=True))
        label = " ".join(texts)
        labelled = [arm for arm in study.arms if arm.label in (name, label)]
        return next(iter(labelled or [arm for arm in study.arms if arm.technique == wanted]), None)
    plain = [arm for arm in study.arms if not arm.techniques] or list(filter(_switched_off, study.arms))
    return plain[0] if plain and len(plain) < len(study.arms) else None


def _switched_off(arm: Arm) -> bool:
    own = arm.settings.items()
    swept = [value for key, value in own if re.fullmatch(r"regularizer\..*\.(rate|strength)", key)]
    return bool(swept) and set(swept) == {"0"}


def check_baseline(compared: Sequence[Study], name: str) -> None:
    """Raise if no study has the baseline.

    Raises:
        UserError: it is not among the runs.
    """
    if any(find_baseline(study, name) for study in compared):
        return
    labels = list(dict.fromkeys(arm.label for study in compared for arm in study.arms))
    listed = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
    raise UserError(f"--baseline {name} is not among the runs{near(name, labels) or '.'} There are: {listed}.")


def _differences(arm: Arm, baseline: Arm, metric: str) -> dict[Pairing, float]:
    ours, theirs = arm.measured("test", metric), baseline.measured("test", metric)
    return {key: METRICS[metric] * (theirs[key] - ours[key]) for key in ours if key in theirs}
