"""From runs to studies: arms that differ by more than seed and split, compared on the same data."""

import json
import re
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf, isclose
from typing import Any

from ..core.metrics import OF_TASKS, SCALES, SIGNS, Metric, Scale, judged_by, scale_of
from ..core.overrides import Override, written
from ..run.record import RecordedRun, flat
from . import settings as told
from .values import Described, chosen, described

MIN_RESULTS = 3  # of an arm; the mean of fewer may be the luck of single runs

Pairing = tuple[object, ...]  # the seed and the split of a run, and the version of regnet
UNITS = ("seeds", "splits")


@dataclass(frozen=True)
class Arm:
    """Runs that differ by nothing but seed and split (and the name of their study); one run for each of both.

    Args:
        settings: the values of the keys that were given to any run.
        start: the settings of the runs whose weights its own began at (`warm_start`), or the name of one not known.
    """

    label: str
    runs: tuple[RecordedRun, ...]
    settings: Mapping[str, str] = field(default_factory=dict, compare=False)
    start: Mapping[str, str] | str | None = field(default=None, compare=False)

    @cached_property
    def completed(self) -> tuple[RecordedRun, ...]:
        return tuple(run for run in self.runs if run.status == "completed")

    @cached_property
    def _pairings(self) -> dict[Pairing, RecordedRun]:
        """The completed runs: each number that is told of the arm asks for them."""
        return {pairing(run): run for run in self.completed}

    def results(self, metric: str) -> list[RecordedRun]:
        """Those that have the metric on validation: without it a run is no result, however it ended."""
        return [run for run in self.completed if run.metric("val", metric) is not None]

    @property
    def lost(self) -> int:
        """How many of its runs did not complete."""
        return len(self.runs) - len(self.completed)

    def values(self, split: str, name: str | None = None) -> list[float]:
        """One number for each completed run that has it: `values("val", "loss")`, `values("sparsity")`."""
        return list(self.measured(split, name).values())

    def measured(self, split: str, name: str | None = None) -> dict[Pairing, float]:
        """The same numbers under the seed and the split of each run, by which they pair with another arm's."""
        return self.of_runs(lambda run: run.metric(split, name))

    def of_runs(self, number: Callable[[RecordedRun], float | None]) -> dict[Pairing, float]:
        """What `number` gives of each completed run for which it gives something."""
        numbers = ((key, number(run)) for key, run in self._pairings.items())
        return {key: value for key, value in numbers if value is not None}

    def at_last(self, split: str, name: str) -> dict[Pairing, float]:
        """The same of the last epoch, of the runs that chose another by a monitor."""
        chose = ((key, run) for key, run in self._pairings.items() if told.chooses(run))
        numbers = ((key, (run.last.get(split) or {}).get(name)) for key, run in chose)
        return {key: number for key, number in numbers if number is not None}

    def logged(self, name: str) -> dict[Pairing, float]:
        """The same of any metric, by the one name that `record.flat` gives it: `logged("val/nll")`."""
        return self.of_runs(lambda run: flat(run.metrics).get(name))

    @property
    def technique(self) -> str:
        """Its regularizers without their settings: `dropout + l2`."""
        config = next((run.config for run in self.runs if run.config), None)
        return technique(self.settings.get("regularizer"), config)

    @property
    def techniques(self) -> frozenset[str]:
        """The same one by one; none for the unregularized."""
        return frozenset(() if self.technique in ("none", "(default)") else self.technique.split(" + "))

    @property
    def active(self) -> frozenset[str]:
        """Those of them of which no rate or strength was swept to 0."""
        pattern = r"regularizer\.(\w+)\.(.+\.)?(rate|strength)"
        off = {
            match[1] for key, value in self.settings.items() if value == "0" and (match := re.fullmatch(pattern, key))
        }
        return self.techniques - off

    @property
    def seconds(self) -> float | None:
        """Mean wall-clock time of a completed run, which is also that of whatever else the machine did."""
        return _mean(run.seconds for run in self.completed)

    @property
    def operations(self) -> float | None:
        """Mean number of arithmetic operations that a completed run was trained with."""
        return _mean(run.operations for run in self.completed)


@dataclass(frozen=True)
class Study:
    """Arms on the same data, the best first; `common` are the settings that all of them share.

    `metric` is what they are ranked by, `others` what is told of them besides, under the names of `record.flat`.
    `margin` is the difference below which two are as good, in the metric's unit, None for the default; `anytime` asks
    for intervals that hold however often the study was looked at. `tried` is the number of arms of which these are.
    `against` is a metric beside which arms are seen by their own.
    """

    common: tuple[str, ...]
    metric: str
    arms: tuple[Arm, ...]
    others: tuple[str, ...] = ()
    margin: float | None = None
    anytime: bool = False
    tried: int = 0
    against: Metric | None = None

    def best(self) -> Arm | None:
        """The arm with the best mean validation metric; None where no arm has one.

        Accuracy: higher is better; rmse and loss: lower. Equal means are parted by the lower mean
        validation loss. An arm of which some runs did not complete comes after all that did as a whole: the
        mean of those that survived is too good. After both comes one with a single result or two, at most half as
        many as another arm has: so a search leaves the trials that it gives up after their first seed, and the best
        of many single runs is lucky. Three count, however many another arm has, as a baseline of earlier studies.
        The test split plays no part: it would then no longer be a test.
        """
        return next((arm for arm in self.arms if arm.values("val", self.metric)), None)

    @property
    def ties(self) -> tuple[Arm, ...]:
        """All arms with the best mean validation metric, to rounding, and as many results: `best` and its equals."""
        best = self.best()
        if best is None:
            return ()
        most, least = self._most, cost(best, self.metric)
        return tuple(
            arm
            for arm in self.arms
            if _footing(arm, self.metric, most) == _footing(best, self.metric, most)
            and isclose(cost(arm, self.metric), least, rel_tol=1e-9, abs_tol=1e-12)
        )

    @property
    def _most(self) -> int:
        return max(len(arm.values("val", self.metric)) for arm in self.arms)

    def tuned(self, *kept: Arm) -> "Study":
        """Of each technique the arm that validation chooses, as `best` does among all; and those in `kept`.

        Each technique is then seen at its own best settings, and a comparison of techniques pays in its
        correction for their number only, not for that of all settings tried. That is right as far as test does not
        share the luck of validation. It does where runs themselves are lucky: with correlations of 0.3 to 0.9 between
        the two over seeds (as in studies on digits), five seeds, and settings of one technique that do nothing, the
        best of 20 is called different in 6 to 13 % of studies instead of 5, that of 50 in 6 to 18 %.
        """
        first = {arm.technique: arm for arm in reversed(self.arms)}
        return replace(self, arms=tuple(arm for arm in self.arms if first[arm.technique] is arm or arm in kept))


def studies(runs: Iterable[RecordedRun], metric: str | None = None) -> list[Study]:
    """Group runs by their values; one study for each data that they were trained and measured on.

    Arms are ranked by `metric` where runs have it on validation; else by that of the task, or that by which all runs
    chose their epochs.

    Scores on different data cannot be compared, so a sweep over `data=` or `data.train_size=` gives
    several studies. Damaged records are left out, since nothing is known of them. An unfinished run has no
    config yet, and goes where the overrides of its data are the same. Where a seed was run twice with the
    same values, the newest completed run stands for it: a copy is no new evidence.
    """
    on_data: dict[str, dict[str, list[Described]]] = {}
    for run in described(run for run in runs if run.status != "damaged").values():
        on_data.setdefault(run.data, {}).setdefault(run.values, []).append(run)
    return [_study(list(groups.values()), metric) for groups in on_data.values()]


def technique(regularizer: str | None, config: Mapping[str, Any] | None) -> str:
    """`none`, `l2`, `dropout + l2`: by the value of the `regularizer` override, else by what the config chooses."""
    if regularizer is not None:
        listed = map(str.strip, regularizer.strip("[]").split(","))
        names = [name for name in listed if name not in ("", "none")]
    elif config:
        names = chosen(config)
    else:
        return "(default)"
    return " + ".join(names) or "none"


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """The fewest last parts of each dotted key that no other key shares: `optimizer.lr` ─► `lr`."""
    keys = list(keys)

    def tail(key: str, parts: int) -> str:
        return ".".join(key.split(".")[-parts:])

    def shortest(key: str) -> str:
        others = [other for other in keys if other != key]
        lengths = range(1, key.count(".") + 1)
        alone = (n for n in lengths if all(tail(other, n) != tail(key, n) for other in others))
        return tail(key, next(alone, key.count(".") + 1))

    return {key: shortest(key) for key in keys}


def varying(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all, as far as they have them."""
    keys = dict.fromkeys(key for one in mappings for key in one)
    return [key for key in keys if len({json.dumps(one.get(key)) for one in mappings}) > 1]


def pairing(run: RecordedRun) -> Pairing:
    """The seed and `data.split_seed` of a run, and regnet's version: two that share these differ by their arms alone.

    Of another version the numbers may differ for its own sake; what knows no version is taken for one of its own.
    """
    config = run.config.get("data") or {}
    if (split := config.get("split_seed")) is None:
        given = {one.key: one.value for one in map(Override.guess, run.overrides)}
        split = config.get("split_seed", given.get("data.split_seed", 0))
    return run.folder if run.seed is None else run.seed, written(split), run.version


def unit(pairings: Collection[Pairing]) -> str:
    """What `independent` counts: "splits" where there are as many as seeds or more, else "seeds"."""
    seeds, splits = (len({pairing[part] for pairing in pairings}) for part in (0, 1))
    return UNITS[splits >= seeds]


def independent(values: Mapping[Pairing, float]) -> list[float]:
    """One number for each seed, or for each split where there are at least as many: means over the other.

    Runs of one split share its luck, and runs of one seed theirs. Taken as so many independent runs they
    would make every interval too narrow.
    """
    factor = UNITS.index(unit(values))
    groups: dict[object, list[float]] = {}
    for key, value in values.items():
        groups.setdefault(key[factor], []).append(value)
    return [statistics.fmean(group) for group in groups.values()]


def cost(arm: Arm, metric: str) -> float:
    """The mean on validation over `independent` runs as something to minimize; infinite without a result."""
    values = independent(arm.measured("val", metric))
    return scale_of(metric).sign * statistics.fmean(values) if values else float("inf")


def span(metric: str, terms: int = 1) -> float:
    """Between the least and the greatest value of a sum of so many values of the metric, each added or subtracted."""
    return terms * scale_of(metric).span


def _study(groups: list[list[Described]], asked: str | None) -> Study:
    runs = [one.run for group in groups for one in group]
    metric = _metric(runs, asked)
    given = frozenset().union(*(one.given for group in groups for one in group))
    settings = [_merged(group, given) for group in groups]
    common = frozenset.intersection(*(frozenset(own.items()) for own in settings))
    arms = [
        Arm(label, _one_per_pairing([one.run for one in group]), own, group[0].start)
        for label, group, own in zip(_labels(groups, settings), groups, settings, strict=True)
    ]
    most = max(len(arm.values("val", metric)) for arm in arms)
    arms.sort(key=_by_validation(metric, most))
    shared = [f"{key}={value}" for key, value in settings[0].items() if (key, value) in common]
    margins = {told.margin(run) for run in runs if run.config}
    margin = margins.pop() if len(margins) == 1 else None
    looked = any(map(told.anytime, runs))
    return Study(tuple(shared), metric, tuple(arms), margin=margin, anytime=looked, tried=len(arms))


def _metric(runs: Sequence[RecordedRun], asked: str | None) -> str:
    """The one that was asked for; the task's own, or another by which all runs chose their epochs.

    Not the loss, by which earlier versions chose unasked.
    """
    scales = scales_of(runs)
    known = {name for run in runs for name in scales if run.metric("val", name) is not None}
    if asked in known:
        return Metric(asked, scales[asked])
    shared = {told.monitor(run) for run in runs if run.config}
    wanted = [name for name in scales if name not in OF_TASKS and shared == {f"val/{name}"}]
    found = next((name for name in wanted if name in known), judged_by(known))
    return Metric(found, scales[found])


def scales_of(runs: Iterable[RecordedRun]) -> dict[str, Scale]:
    """Of the metrics that every run has, that measures declare, and by which runs chose their epochs."""
    declared: dict[str, Scale] = {}
    for run in runs:
        for measure in run.measures.values():
            for name, (better, low, high) in measure["scales"].items():
                declared.setdefault(name, Scale(better, -inf if low is None else low, inf if high is None else high))
        watched, mode = told.monitor(run), run.config.get("mode")
        if watched and watched.startswith("val/") and mode in SIGNS:
            declared.setdefault(watched.removeprefix("val/"), Scale(str(mode)))
    return {**declared, **SCALES}


def _merged(group: Sequence[Described], given: Collection[str]) -> dict[str, str]:
    """What is known of the settings of an arm, of the keys that are given in its study."""
    found: dict[str, str] = {}
    for one in sorted(group, key=lambda one: not one.run.config):
        found = one.settings | found
    return {key: found[key] for one in group for key in one.settings if key in given}


def _labels(groups: Sequence[Sequence[Described]], settings: Sequence[Mapping[str, str]]) -> list[str]:
    """The technique of each arm, and the settings in which arms differ.

    Where two would have one label they differ in what was given to no run, as when a config file was changed: then
    also what differs there.
    """
    names = short_keys(key for key in varying(settings) if key != "regularizer")
    labels = []
    for group, own in zip(groups, settings, strict=True):
        config = next((one.run.config for one in group if one.run.config), None)
        words = [f"{name}={own[key]}" for key, name in names.items() if key in own]
        labels.append(" ".join([technique(own.get("regularizer"), config), *words]))
    labels = _apart(labels, lambda place: _beginning(groups[place][0], names))
    for label in [label for label, count in Counter(labels).items() if count > 1]:
        alike = [place for place, other in enumerate(labels) if other == label]
        values = [json.loads(groups[place][0].values) for place in alike]
        keys = [key for key in varying(values) if key != "warm_start"]
        for number, (place, own) in enumerate(zip(alike, values, strict=True)):
            words = [f"{key}={written(own[key])}" for key in keys if key in own]
            labels[place] = " ".join([label, *words] if len(words) in (1, 2, 3) else [label, f"({number + 1})"])
    return labels


def _apart(labels: Sequence[str], words: Callable[[int], str]) -> list[str]:
    """The labels, with more words where two are the same."""
    counts = Counter(labels)
    return [f"{label} {words(place)}".strip() if counts[label] > 1 else label for place, label in enumerate(labels)]


def _beginning(one: Described, names: Mapping[str, str]) -> str:
    """At which run it began, by what sets the two apart: `from strength=0.1`."""
    if one.start is None or isinstance(one.start, str):
        return f"from {one.start}" if one.start else ""
    start, own = one.start, one.settings
    words = [f"{name}={start[key]}" for key, name in names.items() if key in start and start[key] != own.get(key)]
    if start.get("regularizer") != own.get("regularizer"):
        words.insert(0, technique(start.get("regularizer"), None))
    return f"from {' '.join(words) or 'the same'}"


def _by_validation(metric: str, most: int) -> Callable[[Arm], tuple[bool, bool, float, float]]:
    def key(arm: Arm) -> tuple[bool, bool, float, float]:
        return *_footing(arm, metric, most), cost(arm, metric), cost(arm, "loss")

    return key


def _footing(arm: Arm, metric: str, most: int) -> tuple[bool, bool]:
    """Whether it has few results, `most` being the most of an arm, and whether it lost some."""
    count = len(arm.values("val", metric))
    return count < MIN_RESULTS and 2 * count <= most, count < len(arm.runs)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _one_per_pairing(group: list[RecordedRun]) -> tuple[RecordedRun, ...]:
    chosen: dict[object, RecordedRun] = {}
    for run in sorted(group, key=lambda run: (run.status == "completed", run.started)):
        chosen[pairing(run)] = run
    kept = {run.folder for run in chosen.values()}
    return tuple(run for run in group if run.folder in kept)
