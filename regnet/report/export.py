"""Runs as a table of pandas, or as a CSV file for R and spreadsheets.

A spreadsheet takes text that begins with = for a formula, which can open other programs: such text gets a ' before it.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.console import printable
from ..core.files import asked_for
from ..core.overrides import Override
from ..run.record import RecordedRun, flat, runs_in
from .study import pairing
from .values import described

if TYPE_CHECKING:
    from pandas import DataFrame

FORMULA = ("=", "+", "-", "@")


def load_study(folder: str | Path) -> "DataFrame":
    """One row for each run in `folder` and below, finished or not.

    Columns: folder, status, reason, seed, epochs, best_epoch, seconds and more of the run; the keys that were given to
    any of the runs, such as ``regularizer.l2.strength``, with each run's value, also where it is the default; the
    metrics, such as ``val/accuracy``. Numbers and booleans are values, lists stay text: ``[dropout,l2]``.

    Raises:
        UserError: there is no such folder, or no run in it.
    """
    import pandas

    runs = runs_in([Path(folder)])
    known = described(runs)
    return pandas.DataFrame(
        [_row(run, {key: _value(text) for key, text in known[run.folder].settings.items()}) for run in runs]
    ).astype({"folder": str})


def _value(spelled: str) -> Any:
    """What Hydra reads in the spelling of a value."""
    value = Override.guess(f"x={spelled}").value
    return spelled if isinstance(value, list | dict) else value


def write_csv(runs: Sequence[RecordedRun], path: Path) -> None:
    """One row for each run: how it ended, its settings (one column a key), its metrics (`val/accuracy`).

    Raises:
        UserError: the file cannot be written.
    """
    known = described(runs)
    rows = [{_text(key): _text(value) for key, value in _row(run, known[run.folder].settings).items()} for run in runs]
    columns = dict.fromkeys(key for row in rows for key in row)
    with asked_for("--csv", path), path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _text(value: Any) -> Any:
    if not isinstance(value, str | Path):
        return value
    text = printable(str(value))
    return f"'{text}" if text.lstrip().startswith(FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _row(run: RecordedRun, settings: dict[str, Any]) -> dict[str, Any]:
    names = ("folder", "status", "reason", "seed", "epochs", "best_epoch", "seconds", "steps", "step_operations")
    row = {name: getattr(run, name) for name in names}
    return {**row, "split_seed": pairing(run)[1], **settings, **flat(run.metrics)}
