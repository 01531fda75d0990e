"""metrics.csv, the numbers of each epoch, averaged over the runs of an arm."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from .study import Arm

METRICS_CSV = "metrics.csv"
PENALTY = "train/penalty/"


def read(folder: Path) -> dict[str, list[float]]:
    """The columns of `folder/metrics.csv`; none where there is no such file. A line that was cut off is left out."""
    try:
        with (folder / METRICS_CSV).open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        return {name: [float(row[i]) for row in rows if len(row) == len(header)] for i, name in enumerate(header)}
    except (OSError, ValueError):
        return {}


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


def ledger(history: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """Data loss and each penalty that is not zero throughout, `{"data loss": ..., "l2": ...}`; empty without any."""
    penalties = {
        name.removeprefix(PENALTY): column
        for name, column in history.items()
        if name.startswith(PENALTY) and any(map(math.isfinite, column)) and any(column)
    }
    if not penalties or "train/loss" not in history:
        return {}
    return {"data loss": history["train/loss"], **penalties}
