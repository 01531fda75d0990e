"""Runs as a CSV file, for pandas, R and spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regnet.errors import UserError
from regnet.report.study import settings
from regnet.runs import Run


def write_csv(runs: Sequence[Run], path: Path) -> None:
    """One row for each run: how it ended, its overrides (one column a key), its metrics (`val/accuracy`).

    Raises:
        UserError: the file cannot be written.
    """
    rows = [_row(run) for run in runs]
    columns = dict.fromkeys(key for row in rows for key in row)
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise UserError(
            f"--csv {path} cannot be written ({error.strerror}): name a file in a folder that exists."
        ) from error


def _row(run: Run) -> dict[str, Any]:
    row = {name: getattr(run, name) for name in ("folder", "status", "reason", "seed", "epochs", "best_epoch")}
    return row | {"seconds": run.seconds} | settings(run) | _flat(run.metrics)


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in metrics.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
