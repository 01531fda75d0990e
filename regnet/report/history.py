"""metrics.csv, the numbers of each epoch, averaged over the runs of an arm."""

import csv
import math
import re
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..core.console import printable
from ..run.record import read_text
from ..run.schema import MOST
from .study import Arm

METRICS_CSV = "metrics.csv"
PENALTY = "train/penalty/"

History = Mapping[str, Sequence[float]]  # column ─► a number for each epoch


def read(folder: Path, names: Collection[str] | None = None) -> dict[str, list[float]]:
    """The columns of `folder/metrics.csv`, all or those of these names; none where there is no such file.

    A line that was cut off is left out. A number that no run can have (see `record.MOST`) is NaN, and so is a blank:
    the metric was not logged there.
    """
    try:
        # A number that was cut off can look whole, but its line has no end.
        whole = [line for line in read_text(folder / METRICS_CSV).splitlines(keepends=True) if line.endswith("\n")]
        header, *rows = csv.reader(whole)
        own = [(i, told) for i, name in enumerate(header) if (told := printable(name)) in (names or [told])]
        rows = [row for row in rows if len(row) == len(header)]
        return {name: [_number(row[i]) for row in rows] for i, name in own}
    except (OSError, ValueError, csv.Error):
        return {}


def _number(text: str) -> float:
    value = float(text or math.nan)
    return value if abs(value) <= MOST else math.nan


def mean(arm: Arm) -> dict[str, list[float]]:
    """Each column as its mean over the arm's completed runs, as far as every one of them was trained."""
    found = [history for run in arm.completed if (history := read(run.folder))]
    if not found:
        return {}
    names = [name for name in found[0] if all(name in history for history in found)]
    return {
        name: [statistics.fmean(at) for at in zip(*(history[name] for history in found), strict=False)]
        for name in names
    }


def learning(history: History, metric: str) -> dict[str, Sequence[float]]:
    """`epoch` (from 1), `train` and `validation`, both measured in evaluation mode; empty without them."""
    columns = {"train": f"train_eval/{metric}", "validation": f"val/{metric}"}
    if not all(history.get(column) for column in columns.values()):
        return {}
    return {"epoch": _epochs(history)} | {name: history[column] for name, column in columns.items()}


def course(history: History, name: str) -> dict[str, Sequence[float]]:
    """`epoch` (from 1) and `value` of a metric that the record has under this name; empty without a number of it."""
    column = history.get(re.sub("^train/", "train_eval/", name), ())
    return {"epoch": _epochs(history), "value": column} if any(map(math.isfinite, column)) else {}


def ledger(history: History) -> dict[str, Sequence[float]]:
    """`epoch` (from 1), `data loss` and each penalty that is not zero throughout, `l2`; empty without penalties."""
    penalties = {
        name.removeprefix(PENALTY): column
        for name, column in history.items()
        if name.startswith(PENALTY) and any(math.isfinite(value) and value for value in column)
    }
    if not penalties or "train/loss" not in history:
        return {}
    return {"epoch": _epochs(history), "data loss": history["train/loss"], **penalties}


def _epochs(history: History) -> list[float]:
    return [epoch + 1 for epoch in history.get("epoch", range(len(next(iter(history.values())))))]
