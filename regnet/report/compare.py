"""Arms of a study against one of them, on the test split, by paired differences."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb

from ..core.errors import UserError, near
from ..core.metrics import scale_of
from ..core.overrides import Override
from .effect_size import Wins, hedges_g, wins
from .estimate import Estimate, estimate
from .family import ALPHA, corrected, simultaneous
from .protocol import too_short
from .sequential import anytime
from .study import Arm, Pairing, Study, span, technique

POWER = 0.8  # of the difference that a study could have shown
BOUNDED_MARGIN = 0.005  # of accuracy and other metrics that end at 1
MARGIN = 0.02  # of the mean of any other

Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """How much better `arm` is than `baseline` by the study's metric on test. Better is positive, for every metric.

    `gain` is the mean of the differences between runs that share seed and split, `last` the same at the last epoch of
    runs that chose another; both None without such a pair. `family` comparisons are made together, and what is said of
    each holds for all of them at once in 95 % of studies (Bonferroni). Gains within ± `margin` do not matter.

    Where a study was looked at more than once (`Study.anytime`), the estimates hold at any number of looks, and the
    family is that of all pairs of arms: which of them is the best may change from look to look.
    """

    arm: Arm
    baseline: Arm
    metric: str
    gain: Estimate | None
    last: Estimate | None
    margin: float
    family: int = 1

    @property
    def mean(self) -> float | None:
        """The mean gain."""
        return self.gain.mean if self.gain else None

    @cached_property
    def interval(self) -> Interval | None:
        """Of the mean gain, of level 1 - 0.05 / family; None where nothing can be said of the spread."""
        return self._simultaneous(self.gain)

    @cached_property
    def last_interval(self) -> Interval | None:
        """The same of the gain at the last epoch."""
        return self._simultaneous(self.last)

    @property
    def p(self) -> float | None:
        """min(1, family times p) of the test that the gain is 0; None without an interval."""
        found = self.gain.p() if self.gain and self.interval else None
        return None if found is None else corrected(found, self.family)

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0, and so p < 0.05."""
        return excludes_zero(self.interval)

    @property
    def decided(self) -> bool:
        """The same of arms that were both trained long enough: longer training may turn what is found of others."""
        return self.distinguishable and not self.too_short

    @property
    def too_short(self) -> bool:
        """Whether either arm was."""
        return too_short(self.arm) or too_short(self.baseline)

    @property
    def equivalent(self) -> bool:
        """Whether two one-sided tests, each at 0.05 / family, find the gain within the margin."""
        level = simultaneous(self.family)
        return bool(self.gain and self.interval and self.gain.equivalent(self.margin, level))

    @property
    def detectable(self) -> float | None:
        """The least true difference that the test would have found in 80 % of such studies."""
        return self.gain.detectable(ALPHA / self.family, POWER) if self.gain and self.interval else None

    @property
    def effect(self) -> tuple[float, float, float] | None:
        """Hedges' g of the paired gains with its 95 % interval."""
        return hedges_g(self.gain) if self.gain else None

    @property
    def wins(self) -> Wins | None:
        """How many pairs of one run of each arm it wins; None with fewer than three runs of either."""
        better = -scale_of(self.metric).sign
        ours, theirs = (
            [better * value for value in arm.values("test", self.metric)] for arm in (self.arm, self.baseline)
        )
        return wins(ours, theirs)

    @property
    def depends_on_choice(self) -> bool:
        """Whether the last epoch says another thing: decided in one of both only, or the opposite."""
        if self.last is None or self.gain is None or not (self.interval and self.last_interval):
            return False
        ours, theirs = excludes_zero(self.interval), excludes_zero(self.last_interval)
        return ours != theirs or (ours and self.gain.mean * self.last.mean < 0)

    def _simultaneous(self, found: Estimate | None) -> Interval | None:
        return found.interval(simultaneous(self.family), span(self.metric, 2)) if found else None


def excludes_zero(interval: Interval | None) -> bool:
    """Whether all of it is on one side of 0."""
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


def score(arm: Arm, split: str, metric: str) -> Estimate | None:
    """The mean of a metric over the runs of an arm; None without one."""
    values = arm.measured(split, metric)
    return estimate(values, _size(values)) if values else None


def score_interval(found: Estimate, metric: str) -> Interval | None:
    """The 95 % interval of an arm's mean, as far as the metric reaches; None where it would be as wide as that."""
    interval = found.interval(1 - ALPHA, span(metric))
    scale = scale_of(metric)
    return interval and (max(interval[0], scale.low), min(interval[1], scale.high))


def compare(study: Study, baseline: Arm) -> list[Comparison]:
    """Every other arm of the study against `baseline`, in the study's order."""
    near_enough = margin(study, baseline)
    pairs = [_pair(arm, baseline, study, near_enough) for arm in study.arms if arm is not baseline]
    family = comb(study.tried, 2) if study.anytime else sum(pair.interval is not None for pair in pairs)
    return [replace(pair, family=max(1, family)) for pair in pairs]


def margin(study: Study, baseline: Arm) -> float:
    """The study's margin; by default 0.005 of a metric that ends at 1, else 2 % of the baseline's mean on test."""
    if study.margin is not None:
        return study.margin
    if scale_of(study.metric).high == 1:
        return BOUNDED_MARGIN
    found = score(baseline, "test", study.metric)
    return MARGIN * abs(found.mean) if found else 0.0


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


def _pair(arm: Arm, baseline: Arm, study: Study, near_enough: float) -> Comparison:
    metric = study.metric
    gain = _gain(arm.measured("test", metric), baseline.measured("test", metric), study)
    last = _gain(arm.at_last("test", metric), baseline.at_last("test", metric), study)
    return Comparison(arm, baseline, metric, gain, last, near_enough)


def _gain(ours: Mapping[Pairing, float], theirs: Mapping[Pairing, float], study: Study) -> Estimate | None:
    gains = {key: scale_of(study.metric).sign * (theirs[key] - ours[key]) for key in ours if key in theirs}
    if not gains:
        return None
    found = estimate(gains, max(_size(ours), _size(theirs)))
    return anytime(found) if study.anytime else found


def _size(values: Mapping[Pairing, float]) -> float:
    """The scale of rounding: the largest of the values."""
    return max(map(abs, values.values()), default=0.0)
