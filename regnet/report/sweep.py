"""The numbers behind the figures of a sweep: which keys are swept, and the metric along them."""

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from .study import FEEDING, FILLED_IN, METRICS, Arm, Study, settings, short_keys, technique

Along = dict[float, list[float]]  # position ─► a number for each seed


@dataclass(frozen=True)
class Line:
    """Arms that differ in one swept number only, in its order."""

    label: str
    along: Along

    def best(self, sign: int) -> float:
        """The best of its means, as something to minimize."""
        return min(sign * statistics.fmean(values) for values in self.along.values())


@dataclass(frozen=True)
class Grid:
    """The mean over everything but two swept numbers; `cells[y][x]` is None where nothing was run."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    cells: tuple[tuple[float | None, ...], ...]

    def best(self, sign: int) -> tuple[int, int]:
        """Row and column of the best cell."""
        filled = [(row, col) for row in range(len(self.ys)) for col in range(len(self.xs)) if self._at(row, col)]
        return min(filled, key=lambda at: sign * self.cells[at[0]][at[1]])

    def _at(self, row: int, col: int) -> bool:
        return self.cells[row][col] is not None


def error(metric: str) -> str:
    """What to call the metric as an error."""
    return "error, %" if metric == "accuracy" else metric


def as_error(value: float, metric: str) -> float:
    """Accuracy 0.97 as 3 (%); a loss and an rmse as they are."""
    return 100 * (1 - value) if metric == "accuracy" else value


def swept(study: Study) -> dict[str, str]:
    """The keys that take at least two numbers in the study, each with its short name."""
    own = [settings(arm.runs[0]) for arm in study.arms]
    varying = dict.fromkeys(key for setting in own for key in setting if len({s.get(key) for s in own}) > 1)
    names = short_keys(key for key in varying if key != "regularizer")
    numbers = {key: {number(setting[key]) for setting in own if key in setting} for key in names}
    return {key: names[key] for key, values in numbers.items() if None not in values and len(values) > 1}


def lines(study: Study, key: str) -> list[Line]:
    """The validation metric along `key`, a line for each other setting, the best line first."""
    groups: dict[str, Along] = {}
    names = short_keys(dict.fromkeys(k for arm in study.arms for k in settings(arm.runs[0]) if k != "regularizer"))
    common = dict(text.partition("=")[::2] for text in study.common)
    for arm in study.arms:
        own = settings(arm.runs[0])
        values = arm.values("val", study.metric)
        if key not in own or not values:
            continue
        words = [technique(own.get("regularizer"), arm.runs[0].config)]
        words += [f"{names[k]}={v}" for k, v in own.items() if k not in (key, "regularizer", *common)]
        groups.setdefault(" ".join(words), {}).setdefault(number(own[key]), []).extend(values)
    found = [Line(label, dict(sorted(along.items()))) for label, along in groups.items() if len(along) > 1]
    return sorted(found, key=lambda line: line.best(METRICS[study.metric]))


def baseline(study: Study) -> Arm | None:
    """The arm without any technique, the best of them; None where every arm has one."""
    for arm in study.arms:
        own = settings(arm.runs[0])
        if technique(own.get("regularizer"), arm.runs[0].config) == "none" and arm.values("val", study.metric):
            return arm
    return None


def grids(study: Study) -> Iterator[tuple[str, str, Grid]]:
    """For each pair of swept numbers the short names (x, y) and the grid, where most of its cells were run."""
    names = swept(study)
    for x_key, y_key in combinations(names, 2):
        cells: dict[tuple[float, float], list[float]] = {}
        for arm in study.arms:
            own = settings(arm.runs[0])
            if x_key in own and y_key in own and (values := arm.values("val", study.metric)):
                cells.setdefault((number(own[x_key]), number(own[y_key])), []).extend(values)
        xs, ys = (tuple(sorted({cell[axis] for cell in cells})) for axis in (0, 1))
        if len(xs) > 1 and len(ys) > 1 and 2 * len(cells) > len(xs) * len(ys):
            means = {cell: statistics.fmean(values) for cell, values in cells.items()}
            rows = tuple(tuple(means.get((x, y)) for x in xs) for y in ys)
            yield names[x_key], names[y_key], Grid(xs, ys, rows)


def along_data(studies: Sequence[Study]) -> Iterator[tuple[str, str, list[Line]]]:
    """The test metric along each number in which the data of several studies differ: key, metric, a line an arm.

    Arms are found again in another study by their label, the best one of the first study first.
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
            if len(group) > 1:
                metric = next(iter(group.values())).metric
                yield key, metric, _across(dict(sorted(group.items())), metric)


def _across(group: Mapping[float, Study], metric: str) -> list[Line]:
    found: dict[str, Along] = {}
    for at, study in group.items():
        for arm in study.arms:
            if values := arm.values("test", metric):
                found.setdefault(arm.label, {})[at] = values
    return [Line(label, along) for label, along in found.items() if len(along) > 1]


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points than which none is sparser (x, more is better) with no more error (y), by x."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(set(points), key=lambda point: (-point[0], point[1])):
        if not front or y < front[-1][1]:
            front.append((x, y))
    return front[::-1]


def decades(values: Sequence[float]) -> bool:
    """Whether the positive ones span more than a decade and a half."""
    positive = [value for value in values if value > 0]
    return min(values) >= 0 and len(positive) > 1 and max(positive) / min(positive) > 10**1.5


def number(value: Any) -> float | None:
    """`"1e-3"` as 0.001; None where it is no finite number."""
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _data(study: Study) -> dict[str, Any] | None:
    config = next((run.config for arm in study.arms for run in arm.runs if run.config.get("data")), None)
    if config is None:
        return None
    # num_samples follows from train_size.
    return {key: value for key, value in config["data"].items() if key not in FEEDING | FILLED_IN | {"num_samples"}}
