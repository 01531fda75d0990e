"""The columns of a study's table, which the terminal, the page and the paper's table share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .compare import Comparison, compare
from .digits import brief, number, signed
from .statistics import mean_interval
from .study import Arm, Study, independent, span


@dataclass(frozen=True)
class Cell:
    """What is read, and the number behind it, by which a table is sorted; None where there is none."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """One cell for each arm, in the study's order, below a header of two lines."""

    header: str
    cells: tuple[Cell, ...]


NOTHING = Cell("–")
BEST, BASELINE = "★", "○"


def columns(study: Study, baseline: Arm | None = None) -> dict[str, Column]:
    """All that is told of each arm, each column under its key.

    Gains are over `baseline`, without one over the best arm; they, the effect size (Hedges' g) and the probability of
    improvement are empty in the row of that arm itself. Its operations are the unit of the cost. ± as in
    `mean_interval`, over `independent` runs.
    """
    metric, (factor, decimals) = study.metric, scale(study.metric)
    unit = f"{metric} %" if metric == "accuracy" else metric
    best = study.best()
    reference, over = (baseline, BASELINE) if baseline and baseline is not best else (best, BEST)
    pairs = {pair.arm.label: pair for pair in compare(study, reference)} if reference else {}

    def split(name: str) -> Callable[[Arm], Cell]:
        widest = factor * span(metric)
        return lambda arm: _interval([factor * v for v in independent(arm.measured(name, metric))], decimals, widest)

    def other(name: str) -> Callable[[Arm], Cell]:
        return lambda arm: _interval(independent(arm.logged(name)))

    def mean(decimals: int, times: float, *name: str) -> Callable[[Arm], Cell]:
        return lambda arm: _plain([times * value for value in arm.values(*name)], decimals)

    def pair(cell: Callable[[Comparison], Cell]) -> Callable[[Arm], Cell]:
        return lambda arm: cell(pairs[arm.label]) if arm.label in pairs else Cell("")

    told: dict[str, tuple[str, Callable[[Arm], Cell]]] = {
        "technique": ("\ntechnique", lambda arm: Cell(arm.label)),
        "runs": ("\nruns", lambda arm: _runs(arm, metric)),
        "validation": (f"validation\n{unit}", split("val")),
        "test": (f"test\n{unit}", split("test")),
        "gain": (f"gain on test\nover {over}", pair(lambda pair: _gain(pair, factor, decimals))),
        "effect": ("effect\nsize", pair(lambda pair: _number(pair.effect, "+.1f"))),
        "better": ("prob.\nof gain", pair(lambda pair: _number(pair.improvement, ".2f"))),
        "gap": (f"{metric}\ngap", mean(1 if factor == 100 else 3, factor, "gap", metric)),
        "gap loss": ("loss\ngap", mean(3, 1, "gap", "loss")),
        "sparse": ("near\nzero %", mean(1, 100, "sparsity")),
        "zeros": ("exactly\nzero %", mean(1, 100, "zeros")),
        "cost": (f"cost\nvs {over}", lambda arm: _cost(arm, reference)),
        "seconds": ("time\n(s)", lambda arm: _number(arm.seconds, ".1f")),
    }
    told |= {f"metric {name}": (_header(name), other(name)) for name in study.others}
    for key in ("cost", "seconds"):  # of which records may know nothing
        if all(told[key][1](arm) is NOTHING for arm in study.arms):
            del told[key]
    if metric == "loss":
        del told["gap"]
    return {key: Column(header, tuple(map(cell, study.arms))) for key, (header, cell) in told.items()}


def marks(study: Study, baseline: Arm | None = None) -> list[str]:
    """★ for the arm that validation chooses, ○ for the baseline, else nothing."""
    best = study.best()
    return [BEST if arm is best else BASELINE if arm is baseline else "" for arm in study.arms]


def scale(metric: str) -> tuple[int, int | None]:
    """The factor by which the metric is shown, and the most decimals (see `number`): accuracy is shown in percent."""
    return (100, 2) if metric == "accuracy" else (1, None)


def _runs(arm: Arm, metric: str) -> Cell:
    count = len(arm.results(metric))
    return Cell(f"{count}/{len(arm.runs)}", count)


def _header(name: str) -> str:
    first, _, last = name.rpartition("/")
    return f"{first}\n{last}"


def _interval(values: Sequence[float], decimals: int | None = None, widest: float = math.inf) -> Cell:
    if not values:
        return NOTHING
    mean, half = mean_interval(values, span=widest)
    return Cell(number(mean, half, decimals), mean)


def _plain(values: Sequence[float], decimals: int) -> Cell:
    if not values:
        return NOTHING
    mean = mean_interval(values)[0]
    return Cell(brief(mean, decimals), mean)


def _gain(pair: Comparison, factor: float, decimals: int | None) -> Cell:
    if pair.interval is None:
        return NOTHING
    mean, half = pair.interval
    text = signed(factor * mean, None if half is None else factor * half, decimals)
    return Cell(text + "*" * pair.distinguishable, factor * mean)


def _cost(arm: Arm, reference: Arm | None) -> Cell:
    if reference is None or not arm.operations or not reference.operations:
        return NOTHING
    share = arm.operations / reference.operations
    return Cell(f"{brief(share, 2)}x", share)


def _number(value: float | None, form: str) -> Cell:
    return NOTHING if value is None else Cell(format(value, form), value)
