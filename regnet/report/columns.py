"""The columns of a study's table, which the terminal, the page and the paper's table share."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core.metrics import scale_of
from .compare import Comparison, Interval, compare
from .compare import score as score_of
from .digits import brief, number, signed
from .estimate import Estimate, estimate
from .meanings import MEANINGS, METRIC
from .study import Arm, Study, span
from .wording import percent


@dataclass(frozen=True)
class Cell:
    """What is read, and the number behind it, by which a table is sorted; None where there is none."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """One cell for each arm, in the study's order, below a header of two lines; `meaning` says what they are."""

    header: str
    cells: tuple[Cell, ...]
    meaning: str


NOTHING = Cell("–")
BEST, BASELINE = "★", "○"
OPTIONAL = ("last", "gap", "cost", "seconds")  # columns of which records may know nothing


def columns(study: Study, baseline: Arm | None = None) -> dict[str, Column]:
    """All that is told of each arm, each column under its key; `meanings` says what each is.

    Gains are over `baseline`, without one over the best arm; they, the effect size and the wins are empty in the row of
    that arm itself. Its operations are the unit of the cost. A column of which records know nothing is left out.
    """
    metric, (factor, decimals) = study.metric, scale(study.metric)
    unit = f"{metric} %" if scale_of(metric).percent else str(metric)
    best = study.best()
    reference, over = (baseline, BASELINE) if baseline and baseline is not best else (best, BEST)
    pairs = {pair.arm.label: pair for pair in compare(study, reference)} if reference else {}

    def split(name: str) -> Callable[[Arm], Cell]:
        return lambda arm: _estimated(score_of(arm, name, metric), factor, decimals, span(metric))

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
        "last": ("gain at the\nlast epoch", pair(lambda pair: _last(pair, factor, decimals))),
        "effect": ("effect\nsize", pair(_effect)),
        "wins": ("pairs\nwon", pair(_wins)),
        "gap": (f"{metric}\ngap", mean(1 if factor == 100 else 3, factor, "gap", metric)),
        "gap loss": ("loss\ngap", mean(3, 1, "gap", "loss")),
        "sparse": ("near\nzero %", mean(1, 100, "sparsity")),
        "zeros": ("exactly\nzero %", mean(1, 100, "zeros")),
        "cost": (f"cost\nvs {over}", lambda arm: _cost(arm, reference)),
        "seconds": ("time\n(s)", lambda arm: _number(arm.seconds, ".1f")),
    }
    found = {key: Column(header, tuple(map(cell, study.arms)), MEANINGS[key]) for key, (header, cell) in told.items()}
    for key in OPTIONAL:
        if all(cell.value is None for cell in found[key].cells):
            del found[key]
    if metric == "loss":
        found.pop("gap", None)
    return found | {f"metric {name}": _logged(study, name) for name in study.others}


def _logged(study: Study, name: str) -> Column:
    """Of a metric of which nothing is known but its scale, if that."""
    values = [arm.logged(name) for arm in study.arms]
    cells = (estimate(known, max(map(abs, known.values()))) if known else None for known in values)
    shown = (_estimated(cell, *scale(name), scale_of(name).span) for cell in cells)
    return Column(_header(name) + " %" * scale_of(name).percent, tuple(shown), METRIC)


def marks(study: Study, baseline: Arm | None = None) -> list[str]:
    """★ for the arm that validation chooses, ○ for the baseline, else nothing."""
    best = study.best()
    return [BEST if arm is best else BASELINE if arm is baseline else "" for arm in study.arms]


def scale(metric: str) -> tuple[int, int | None]:
    """The factor by which the metric is shown, and the most decimals (see `number`): shares are shown in percent."""
    return (100, 2) if scale_of(metric).percent else (1, None)


def _runs(arm: Arm, metric: str) -> Cell:
    count = len(arm.results(metric))
    return Cell(f"{count}/{len(arm.runs)}", count)


def _header(name: str) -> str:
    first, _, last = name.rpartition("/")
    return f"{first}\n{last}"


def _estimated(
    found: Estimate | None, factor: float = 1, decimals: int | None = None, widest: float = math.inf
) -> Cell:
    if found is None:
        return NOTHING
    return _cell(found.mean, found.interval(span=widest), factor, decimals, number)


def _plain(values: Sequence[float], decimals: int) -> Cell:
    return Cell(brief(mean := statistics.fmean(values), decimals), mean) if values else NOTHING


def _gain(pair: Comparison, factor: float, decimals: int | None) -> Cell:
    if pair.gain is None:
        return NOTHING
    cell = _cell(pair.gain.mean, pair.interval, factor, decimals, signed)
    return Cell(cell.text + "*" * pair.decided, cell.value)


def _last(pair: Comparison, factor: float, decimals: int | None) -> Cell:
    if pair.last is None:
        return NOTHING
    return _cell(pair.last.mean, pair.last_interval, factor, decimals, signed)


def _cell(
    mean: float, interval: Interval | None, factor: float, decimals: int | None, written: Callable[..., str]
) -> Cell:
    half = None if interval is None else factor * (interval[1] - interval[0]) / 2
    return Cell(written(factor * mean, half, decimals), factor * mean)


def _effect(pair: Comparison) -> Cell:
    return Cell("{:+.1f} ({:+.1f} to {:+.1f})".format(*pair.effect), pair.effect[0]) if pair.effect else NOTHING


def _wins(pair: Comparison) -> Cell:
    won = pair.wins
    if won is None:
        return NOTHING
    return Cell(f"{won.won:g}/{won.pairs} ({percent(won.low)} to {percent(won.high)} %)", won.won / won.pairs)


def _cost(arm: Arm, reference: Arm | None) -> Cell:
    if reference is None or not arm.operations or not reference.operations:
        return NOTHING
    share = arm.operations / reference.operations
    return Cell(f"{brief(share, 2)}x", share)


def _number(value: float | None, form: str) -> Cell:
    return NOTHING if value is None else Cell(format(value, form), value)
