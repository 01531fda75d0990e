"""From runs to studies: arms that differ by more than the seed, compared on the same data."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from regnet.runs import Run

METRICS = {"accuracy": -1, "rmse": +1, "loss": +1}  # the sign that makes less better, in order of preference


@dataclass(frozen=True)
class Arm:
    """Runs that differ by nothing but the seed; one run for each seed."""

    label: str
    runs: tuple[Run, ...]

    @property
    def completed(self) -> list[Run]:
        return [run for run in self.runs if run.status == "completed"]

    def values(self, split: str, name: str | None = None) -> list[float]:
        """One number for each completed run that has it: `values("val", "loss")`, `values("sparsity")`."""
        numbers = (run.metric(split, name) for run in self.completed)
        return [number for number in numbers if number is not None]


@dataclass(frozen=True)
class Study:
    """Arms on the same data, best validation first; `common` are the overrides that all of them share."""

    common: tuple[str, ...]
    metric: str
    arms: tuple[Arm, ...]

    def best(self) -> Arm | None:
        """The arm with the best mean validation metric; None where no arm has one.

        Accuracy: higher is better; rmse and loss: lower. Equal means are parted by the lower mean
        validation loss. The test split plays no part: it would then no longer be a test.
        """
        candidates = [arm for arm in self.arms if arm.values("val", self.metric)]
        return min(candidates, key=_by_validation(self.metric), default=None)


def studies(runs: Iterable[Run]) -> list[Study]:
    """Group runs by everything but the seed; one study for each set of `data` overrides.

    Scores on different data cannot be compared, so a sweep over `data=` or `data.train_size=` gives
    several studies. Damaged records are left out, since nothing is known of them. Where a seed was run
    twice with the same overrides, the newest completed run stands for it: a copy is no new evidence.
    """
    on_data: dict[frozenset, dict[frozenset, list[Run]]] = {}
    for run in runs:
        if run.status != "damaged":
            same = frozenset(settings(run).items())
            data = frozenset(item for item in same if _changes_data(item[0]))
            on_data.setdefault(data, {}).setdefault(same, []).append(run)
    return [_study(groups) for groups in on_data.values()]


def technique(regularizer: str | None, config: dict | None) -> str:
    """`none`, `l2`, `dropout + l2`: by the value of the `regularizer` override, else by the config's keys."""
    if regularizer is not None:
        names = [name.strip() for name in regularizer.strip("[]").split(",") if name.strip()]
    elif config:
        names = list(config.get("regularizer") or {})
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


def settings(run: Run) -> dict[str, str]:
    """The overrides of a run, `++l2.strength=1` as {"l2.strength": "1"}, without the seed."""
    pairs = (override.lstrip("+").partition("=") for override in run.overrides)
    return {key: value for key, _, value in pairs if key != "seed"}


def _study(groups: dict[frozenset, list[Run]]) -> Study:
    runs = [run for group in groups.values() for run in group]
    metric = next((name for name in METRICS if any(run.metric("val", name) is not None for run in runs)), "loss")
    common = frozenset.intersection(*groups)
    varying = {key: None for group in groups.values() for key in settings(group[0])}
    varying = [key for key in varying if key not in dict(common) and key != "regularizer"]
    names = short_keys(varying)

    def arm(group: list[Run]) -> Arm:
        own = settings(group[0])
        config = next((run.config for run in group if run.config), None)
        words = [technique(own.get("regularizer"), config)]
        words += [f"{names[key]}={own[key]}" for key in varying if key in own]
        return Arm(" ".join(words), _one_per_seed(group))

    arms = sorted(map(arm, groups.values()), key=_by_validation(metric))
    shared = [f"{key}={value}" for key, value in settings(runs[0]).items() if (key, value) in common]
    return Study(tuple(shared), metric, tuple(arms))


def _by_validation(metric: str) -> Callable[[Arm], tuple[float, float]]:
    def mean(values: Sequence[float], sign: int = 1) -> float:
        return sign * statistics.fmean(values) if values else float("inf")

    return lambda arm: (mean(arm.values("val", metric), METRICS[metric]), mean(arm.values("val", "loss")))


def _one_per_seed(group: list[Run]) -> tuple[Run, ...]:
    chosen: dict[object, Run] = {}
    for run in sorted(group, key=lambda run: (run.status == "completed", run.started)):
        chosen[run.folder if run.seed is None else run.seed] = run
    kept = {run.folder for run in chosen.values()}
    return tuple(run for run in group if run.folder in kept)


def _changes_data(key: str) -> bool:
    return key == "data" or (key.startswith("data.") and key != "data.batch_size")
