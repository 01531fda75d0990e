"""How numbers and names are written in the sentences of an answer."""

from collections.abc import Sequence
from itertools import accumulate

from ..core.metrics import scale_of
from .compare import Interval
from .digits import concise
from .estimate import Estimate
from .study import Arm

LISTED = 200  # letters of the names of arms in one sentence


def listed(names: Sequence[str]) -> str:
    """The first, and as many more as a sentence can hold."""
    lengths = accumulate(len(name) + 2 for name in names)
    shown = max(1, sum(length <= LISTED for length in lengths))
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if names[shown:] else "")


def spanned(values: Sequence[str]) -> str:
    """`0 to 0.4` of numbers, else the values."""
    different = list(dict.fromkeys(values))
    try:
        order = sorted(different, key=float)
    except ValueError:
        return " or ".join(different)
    return order[0] if len(order) == 1 else f"{order[0]} to {order[-1]}" if order else ""


def runs_of(arm: Arm) -> str:
    """`4 of 5 runs`."""
    return f"{len(arm.completed)} of {len(arm.runs)} run{'s' * (len(arm.runs) > 1)}"


def score(value: float, metric: str) -> str:
    """`97.20 %`, or four digits of another metric."""
    return f"{100 * value:.2f} %" if scale_of(metric).percent else concise(value)


def difference(value: float, metric: str) -> str:
    """`1.37 percentage points`, or four digits of another metric."""
    return f"{100 * value:.2f} percentage points" if scale_of(metric).percent else concise(value)


def signed(value: float, metric: str) -> str:
    """`+1.37`, in percentage points of accuracy."""
    return f"{100 * value:+.2f}" if scale_of(metric).percent else f"{'+' * (value >= 0)}{concise(value)}"


def scores(interval: Interval, metric: str) -> str:
    """`96.90 to 97.50`, in percent of accuracy."""
    low, high = interval
    return f"{100 * low:.2f} to {100 * high:.2f}" if scale_of(metric).percent else f"{concise(low)} to {concise(high)}"


def differences(interval: Interval, metric: str) -> str:
    """`+0.64 to +2.11`, in percentage points of accuracy."""
    low, high = interval
    return f"{signed(low, metric)} to {signed(high, metric)}"


def percent(share: float) -> str:
    """`64`, and never 100 of less than all."""
    return f"{100 * share:.0f}" if share in (0, 1) else f"{min(max(100 * share, 1), 99):.0f}"


def count(found: Estimate) -> str:
    """`n = 5`, or `n = 20 seeds × splits`."""
    return f"n = {found.n}" + (f" {found.unit}" if "×" in found.unit else "")


def p_value(p: float) -> str:
    """`p < 0.001`, `p = 0.023`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
