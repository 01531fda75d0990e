"""The columns of a study's table, which the terminal, the page and the paper's table share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .compare import Comparison, compare
from .statistics import mean_interval
from .study import Arm, Study, independent


@dataclass(frozen=True)
class Cell:
    """What is read, and the number behind it, by which a table is sorted; None where there is none."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """One cell for each arm, in the study's order."""

    name: str
    unit: str
    cells: tuple[Cell, ...]


NOTHING = Cell("–")
BEST, BASELINE = "★", "○"
CERTAIN = "± 95 %"


def columns(study: Study, baseline: Arm | None = None) -> dict[str, Column]:
    """All that is told of each arm, each column under its key.

    Gains are over `baseline`, without one over the best arm; they, the effect size (Hedges' g) and the probability of
    improvement are empty in the row of that arm itself. ± as in `mean_interval`, over `independent` runs.
    """
    metric, (factor, decimals) = study.metric, scale(study.metric)
    unit, points = ("acc %", "acc pp") if metric == "accuracy" else (metric, metric)
    best = study.best()
    reference, over = (baseline, BASELINE) if baseline and baseline is not best else (best, BEST)
    pairs = {pair.arm.label: pair for pair in compare(study, reference)} if reference else {}

    def split(name: str) -> Callable[[Arm], Cell]:
        return lambda arm: _interval([factor * value for value in independent(arm.measured(name, metric))], decimals)

    def mean(form: str, times: float, *name: str) -> Callable[[Arm], Cell]:
        return lambda arm: _plain([times * value for value in arm.values(*name)], form)

    def pair(cell: Callable[[Comparison], Cell]) -> Callable[[Arm], Cell]:
        return lambda arm: cell(pairs[arm.label]) if arm.label in pairs else Cell("")

    told: dict[str, tuple[str, str, Callable[[Arm], Cell]]] = {
        "technique": ("technique", "", lambda arm: Cell(arm.label)),
        "runs": ("runs", "", lambda arm: Cell(f"{len(arm.completed)}/{len(arm.runs)}", len(arm.completed))),
        "validation": ("validation", f"{unit} {CERTAIN}", split("val")),
        "test": ("test", f"{unit} {CERTAIN}", split("test")),
        "gain": ("gain over", f"{over} {CERTAIN}", pair(lambda pair: _gain(pair, factor, decimals))),
        "effect": ("effect", "size", pair(lambda pair: _number(pair.effect, "+.1f"))),
        "better": ("prob.", "better", pair(lambda pair: _number(pair.improvement, ".2f"))),
        "gap": ("gap", points, mean(".1f" if factor == 100 else ".3f", factor, "gap", metric)),
        "gap loss": ("gap", "loss", mean(".3f", 1, "gap", "loss")),
        "sparse": ("sparse", "%", mean(".1f", 100, "sparsity")),
        "zeros": ("zeros", "%", mean(".1f", 100, "zeros")),
        "seconds": ("", "s", lambda arm: _number(arm.seconds, ".1f")),
    }
    if metric == "loss":
        del told["gap"]
    return {key: Column(name, unit, tuple(map(cell, study.arms))) for key, (name, unit, cell) in told.items()}


def marks(study: Study, baseline: Arm | None = None) -> list[str]:
    """★ for the arm that validation chooses, ○ for the baseline, else nothing."""
    best = study.best()
    return [BEST if arm is best else BASELINE if arm is baseline else "" for arm in study.arms]


def scale(metric: str) -> tuple[int, int]:
    """The factor by which the metric is shown, and the most decimals: accuracy is shown in percent."""
    return (100, 2) if metric == "accuracy" else (1, 4)


def number(mean: float, half_width: float | None, most: int = 4) -> str:
    """`97.22 ± 0.35`: the half width to two significant digits, at most `most` decimals, the mean alike."""
    if half_width is None:
        return f"{mean:.{most}f}"
    decimals = most if half_width == 0 else min(most, max(0, 1 - math.floor(math.log10(half_width))))
    return f"{mean:.{decimals}f} ± {half_width:.{decimals}f}"


def signed(mean: float, half_width: float | None, most: int = 4) -> str:
    """The same with a plus."""
    text = number(mean, half_width, most)
    return text if text.startswith("-") else f"+{text}"


def _interval(values: Sequence[float], decimals: int) -> Cell:
    if not values:
        return NOTHING
    mean, half = mean_interval(values)
    return Cell(number(mean, half, decimals), mean)


def _plain(values: Sequence[float], form: str) -> Cell:
    return _number(mean_interval(values)[0], form) if values else NOTHING


def _gain(pair: Comparison, factor: float, decimals: int) -> Cell:
    if pair.interval is None:
        return NOTHING
    mean, half = pair.interval
    text = signed(factor * mean, None if half is None else factor * half, decimals)
    return Cell(text + "*" * pair.distinguishable, factor * mean)


def _number(value: float | None, form: str) -> Cell:
    return NOTHING if value is None else Cell(format(value, form), value)
