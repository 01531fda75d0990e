"""From runs to studies: arms that differ by more than the seed, compared on the same data."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..runs import Run

METRICS = {"accuracy": -1, "rmse": +1, "loss": +1}  # the sign that makes less better, in order of preference
APART = {"seed", "study", "warm_start"}  # the keys in which the runs of one arm may differ
FEEDING = {"augment", "batch_size", "eval_batch_size", "num_workers", "seed"}  # of `data`: how they are used
FILLED_IN = {"shape", "classes", "num_classes", "num_outputs", "schema"}  # not yet there where a run failed early


@dataclass(frozen=True)
class Arm:
    """Runs that differ by nothing but the seed (and the name of their study); one run for each seed."""

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
    """Arms on the same data, the best first; `common` are the settings that all of them share."""

    common: tuple[str, ...]
    metric: str
    arms: tuple[Arm, ...]

    def best(self) -> Arm | None:
        """The arm with the best mean validation metric; None where no arm has one.

        Accuracy: higher is better; rmse and loss: lower. Equal means are parted by the lower mean
        validation loss. An arm of which some runs did not complete comes after all that did as a whole: the
        mean of those that survived is too good. The test split plays no part: it would then no longer be a test.
        """
        candidates = [arm for arm in self.arms if arm.values("val", self.metric)]
        return min(candidates, key=_by_validation(self.metric), default=None)


def studies(runs: Iterable[Run]) -> list[Study]:
    """Group runs by their settings; one study for each data that they were trained and measured on.

    Scores on different data cannot be compared, so a sweep over `data=` or `data.train_size=` gives
    several studies. Damaged records are left out, since nothing is known of them. An unfinished run has no
    config yet, and goes where the overrides of its data are the same. Where a seed was run twice with the
    same settings, the newest completed run stands for it: a copy is no new evidence.
    """
    known = [run for run in runs if run.status != "damaged"]
    recorded = {_data_overrides(run): data for run in reversed(known) if (data := _data(run))}
    on_data: dict[object, dict[frozenset, list[Run]]] = {}
    for run in known:
        overrides = _data_overrides(run)
        groups = on_data.setdefault(_data(run) or recorded.get(overrides, overrides), {})
        groups.setdefault(frozenset(settings(run).items()), []).append(run)
    return [_study(groups) for groups in on_data.values()]


def technique(regularizer: str | None, config: Mapping[str, Any] | None) -> str:
    """`none`, `l2`, `dropout + l2`: by the value of the `regularizer` override, else by what the config chooses."""
    if regularizer is not None:
        names = [name.strip() for name in regularizer.strip("[]").split(",") if name.strip()]
    elif config:
        names = _chosen(config)
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
    """What makes the arm of a run: its overrides, `++optimizer.lr=1` as {"optimizer.lr": "1"}.

    Without those in `APART`, and without those of regularizers that it did not choose: they had no effect.
    """
    pairs = (override.lstrip("+").partition("=") for override in run.overrides)
    return {key: value for key, _, value in pairs if key not in APART and not _idle(key, run.config)}


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


def _by_validation(metric: str) -> Callable[[Arm], tuple[bool, float, float]]:
    def mean(values: Sequence[float], sign: int = 1) -> float:
        return sign * statistics.fmean(values) if values else float("inf")

    def key(arm: Arm) -> tuple[bool, float, float]:
        scores = arm.values("val", metric)
        return len(scores) < len(arm.runs), mean(scores, METRICS[metric]), mean(arm.values("val", "loss"))

    return key


def _one_per_seed(group: list[Run]) -> tuple[Run, ...]:
    chosen: dict[object, Run] = {}
    for run in sorted(group, key=lambda run: (run.status == "completed", run.started)):
        chosen[run.folder if run.seed is None else run.seed] = run
    kept = {run.folder for run in chosen.values()}
    return tuple(run for run in group if run.folder in kept)


def _chosen(config: Mapping[str, Any]) -> list[str]:
    # The others are settings, from an experiment or `++regularizer.l2.strength=`, for runs that do choose them.
    regularizers = config.get("regularizer") or {}
    return [name for name, node in regularizers.items() if isinstance(node, Mapping) and "_target_" in node]


def _idle(key: str, config: Mapping[str, Any]) -> bool:
    group, *path = key.split(".")
    return bool(config) and group == "regularizer" and len(path) > 1 and path[0] not in _chosen(config)


def _data(run: Run) -> str | None:
    data = run.config.get("data")
    if not data:
        return None
    return json.dumps({key: data[key] for key in data.keys() - FEEDING - FILLED_IN}, sort_keys=True)


def _data_overrides(run: Run) -> frozenset[tuple[str, str]]:
    def matters(key: str) -> bool:
        group, _, path = key.partition(".")
        return group == "experiment" or (group == "data" and path.partition(".")[0] not in FEEDING)

    return frozenset((key, value) for key, value in settings(run).items() if matters(key))
