"""The numbers behind the figures of a sweep: which keys are swept, and the metric along them."""

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from ..core.metrics import scale_of
from .selection import namer
from .study import Arm, Study, independent, short_keys, varying
from .values import own_data

Along = dict[float, list[float]]  # position ─► a number for each run


@dataclass(frozen=True)
class Line:
    """Arms that differ in one number only, or have one technique, along that number."""

    label: str
    along: Along
    arms: tuple[Arm, ...] = ()

    def best(self, sign: int) -> float:
        """The best of its means, as something to minimize."""
        return min(sign * statistics.fmean(values) for values in self.along.values())


@dataclass(frozen=True)
class Grid:
    """Means over seeds by two swept numbers, with all other settings as `label` says.

    `cells[y][x]` is None where nothing was run.
    """

    label: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    cells: tuple[tuple[float | None, ...], ...]

    def best(self, sign: int) -> list[tuple[int, int]]:
        """Row and column of the best cell, and of those that equal it to rounding."""
        costs = {
            (row, column): sign * value
            for row, values in enumerate(self.cells)
            for column, value in enumerate(values)
            if value is not None
        }
        least = min(costs.values())
        return [at for at, cost in costs.items() if math.isclose(cost, least, rel_tol=1e-9, abs_tol=1e-12)]

    def least(self, sign: int) -> float:
        """The best cell, as something to minimize."""
        return min(sign * value for row in self.cells for value in row if value is not None)


def error(metric: str) -> str:
    """What to call the metric as an error, of which less is better."""
    scale = scale_of(metric)
    if metric.endswith("accuracy"):
        name = f"{metric.removesuffix('accuracy').replace('_', ' ')}error"
    else:
        name = f"{scale.high:g} - {metric}" if _reversed(metric) else metric
    return f"{name}, %" if scale.percent else name


def as_error(value: float, metric: str) -> float:
    """Accuracy 0.97 as 3 (%), R² 0.9 as 0.1; a loss and an rmse as they are."""
    scale = scale_of(metric)
    error = scale.high - value if _reversed(metric) else value
    return 100 * error if scale.percent else error


def _reversed(metric: str) -> bool:
    """Whether more of it is better, up to an end."""
    return scale_of(metric).sign < 0 and math.isfinite(scale_of(metric).high)


def swept(study: Study) -> dict[str, str]:
    """The keys that take at least two numbers in the study, each with its short name."""
    own = [arm.settings for arm in study.arms]
    names = short_keys(key for key in varying(own) if key != "regularizer")
    numbers = {key: {number(setting[key]) for setting in own if key in setting} for key in names}
    return {key: names[key] for key, values in numbers.items() if None not in values and len(values) > 1}


def lines(study: Study, key: str) -> list[Line]:
    """The validation metric along `key`, a line for each choice of all other settings, the best line first.

    None where most arms are on no line of three values, or of half of all values if those are few: then they were
    drawn, as in a search, and those that agree in all else do so by accident.
    """
    groups: dict[str, list[Arm]] = {}
    for label, arm in _by_others(study, key):
        groups.setdefault(label, []).append(arm)
    found = [Line(label, _along(arms, key, study.metric), tuple(arms)) for label, arms in groups.items()]
    count = len({x for line in found for x in line.along})
    planned = [line for line in found if len(line.along) > 1 and (len(line.along) > 2 or 2 * len(line.along) >= count)]
    if not _are_most([arm for line in planned for arm in line.arms], [arm for line in found for arm in line.arms]):
        return []
    sign = scale_of(study.metric).sign
    return sorted((line for line in found if len(line.along) > 1), key=lambda line: line.best(sign))


def scattered(study: Study) -> dict[str, list[tuple[float, float]]]:
    """By each swept key (its short name) without `lines`, as in a random search, a point (value, mean) for each arm.

    Keys that more arms have come first.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for key, name in swept(study).items():
        if not lines(study, key):
            arms = [arm for _, arm in _by_others(study, key)]
            found[name] = [
                (float(arm.settings[key]), statistics.fmean(arm.values("val", study.metric))) for arm in arms
            ]
    several = {key: points for key, points in found.items() if len({x for x, _ in points}) > 1}
    return dict(sorted(several.items(), key=lambda item: -len(item[1])))


def grids(study: Study) -> Iterator[tuple[str, str, Grid]]:
    """For each pair of swept keys (x, y) the grid of the validation metric, where most of its cells were run.

    None where most arms are in no such grid, as among the draws of a search.

    Of several grids, each for one choice of all other settings, it is the one with the best cell: a mean over the
    other settings would mix good ones with bad ones.
    """
    sign = scale_of(study.metric).sign
    for x, y in combinations(swept(study), 2):
        groups: dict[str, dict[tuple[float, float], list[float]]] = {}
        for label, arm in _by_others(study, x, y):
            at = (float(arm.settings[x]), float(arm.settings[y]))
            groups.setdefault(label, {}).setdefault(at, []).extend(arm.values("val", study.metric))
        found = {label: grid for label, cells in groups.items() if (grid := _grid(label, cells))}
        if _are_most(
            [cell for label in found for cell in groups[label]], [at for own in groups.values() for at in own]
        ):
            yield x, y, min(found.values(), key=lambda grid: grid.least(sign))


def along_data(studies: Sequence[Study]) -> Iterator[tuple[str, str, list[Line]]]:
    """The test metric along each number in which the data of several studies differ: key, metric, a line an arm.

    A line holds one number for each independent run (see `study.independent`). Arms are found again in another study
    by their label. Where those are many, a line is a technique instead, in each study at the settings that validation
    chooses there. The line with the best mean rank on validation is the first.
    """
    data = [(study, found) for study in studies if (found := _data(study))]
    keys = dict.fromkeys(key for _, found in data for key in found)
    for key in [key for key in keys if len({json.dumps(found.get(key)) for _, found in data}) > 1]:
        groups: dict[str, dict[float, Study]] = {}
        for study, found in data:
            at = number(found.get(key))
            if at is not None:
                rest = json.dumps([study.metric, {k: v for k, v in found.items() if k != key}], sort_keys=True)
                groups.setdefault(rest, {})[at] = study
        for group in groups.values():
            if len(group) > 1 and (across := _across(dict(sorted(group.items())))):
                yield key, next(iter(group.values())).metric, across


def decades(values: Sequence[float]) -> bool:
    """Whether the positive ones span more than a decade and a half, and none is below zero."""
    positive = [value for value in values if value > 0]
    return len(positive) > 1 and min(values) >= 0 and max(positive) / min(positive) > 10**1.5


def geometric(values: Sequence[float]) -> bool:
    """Whether ratios tell the positive ones better apart than differences do, as with 1, 3, 10, 30."""
    positive = sorted({value for value in values if value > 0})
    if len(positive) < 3 or min(values) < 0 or positive[-1] < 10 * positive[0]:
        return decades(values)

    def closest(places: Sequence[float]) -> float:
        return min(right - left for left, right in pairwise(places)) / (places[-1] - places[0])

    return closest([math.log(value) for value in positive]) > closest(positive)


def number(value: Any) -> float | None:
    """`"1e-3"` as 0.001; None where it is no finite number."""
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _by_others(study: Study, *keys: str) -> Iterator[tuple[str, Arm]]:
    """Arms with a result that set all `keys`, each with all else that it does not share with the whole study."""
    names = short_keys(dict.fromkeys(key for arm in study.arms for key in arm.settings if key != "regularizer"))
    for arm in study.arms:
        own = arm.settings
        if all(key in own for key in keys) and arm.values("val", study.metric):
            rest = [k for k in own if k not in {*keys, "regularizer"} and f"{k}={own[k]}" not in study.common]
            yield " ".join([arm.technique, *(f"{names[key]}={own[key]}" for key in rest)]), arm


def _are_most(some: Sequence[Any], every: Sequence[Any]) -> bool:
    return 2 * len(some) > len(every)


def _along(arms: Sequence[Arm], key: str, metric: str) -> Along:
    found: Along = {}
    for arm in arms:
        found.setdefault(float(arm.settings[key]), []).extend(arm.values("val", metric))
    return dict(sorted(found.items()))


def _grid(label: str, cells: Mapping[tuple[float, float], Sequence[float]]) -> Grid | None:
    xs, ys = (tuple(sorted({cell[axis] for cell in cells})) for axis in (0, 1))
    if len(xs) < 2 or len(ys) < 2 or 2 * len(cells) <= len(xs) * len(ys):
        return None
    means = {cell: statistics.fmean(values) for cell, values in cells.items()}
    return Grid(label, xs, ys, tuple(tuple(means.get((x, y)) for x in xs) for y in ys))


def _across(group: Mapping[float, Study]) -> list[Line]:
    name = namer([arm for study in group.values() for arm in study.arms])
    found: dict[str, Along] = {}
    arms: dict[str, list[Arm]] = {}
    ranks: dict[str, list[int]] = {}
    for at, study in group.items():
        best = {name(arm): arm for arm in reversed(study.arms)}
        for rank, label in enumerate(dict.fromkeys(map(name, study.arms))):
            if values := best[label].measured("test", study.metric):
                found.setdefault(label, {})[at] = independent(values)
                arms.setdefault(label, []).append(best[label])
                ranks.setdefault(label, []).append(rank)
    order = sorted(found, key=lambda label: (-len(found[label]), statistics.fmean(ranks[label])))
    return [Line(label, found[label], tuple(arms[label])) for label in order if len(found[label]) > 1]


def _data(study: Study) -> dict[str, Any] | None:
    configs = (run.config for arm in study.arms for run in arm.runs if run.config.get("data"))
    return next(map(own_data, configs), None)
