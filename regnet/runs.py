"""The run record: the only contract between training and reporting. Standard library only.

A run folder holds `record.json`, written once, when the run ends:

    {"status": "completed" | "cut" | "failed" | "diverged" | "interrupted", "reason": null | "one sentence",
     "overrides": ["regularizer=[dropout,l2]", ...], "config": {...}, "seed": 0,
     "epochs": 30, "best_epoch": 17, "seconds": 4.1,
     "metrics": null | {"train": {"loss": ..., "accuracy": ..., "nll": ..., "ece": ...},
                        "val": {...}, "test": {...}, "gap": {"loss": ..., "accuracy": ...},
                        "sparsity": ..., "zeros": ..., "weight_norm": ...},
     "device": "...", "launcher": "basic", "versions": {...}, "started": "ISO 8601"}

Regression has "rmse" and "r2" in place of "accuracy", "nll" and "ece". A gap says by how much validation
is worse than train, so more is more overfitting: val − train for loss and rmse, train − val for accuracy
and r2. A number that is not finite is null.

A run is "cut" that ended before its protocol did, by trainer.max_time or trainer.fast_dev_run. It has metrics, but
cannot be compared with completed runs, and goes on when it is started again.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any

RECORD = "record.json"
MEASURED = ("completed", "cut")  # those that have metrics
STATUSES = (*MEASURED, "failed", "diverged", "interrupted")


class DamagedRecord(ValueError):
    """A `record.json` that cannot be read or is not a run record; the message names the file."""


@dataclass(frozen=True)
class Run:
    """One run as its folder tells it.

    `status` is one of `STATUSES`, or "unfinished" (started, no record) or "damaged" (a record that
    cannot be read). `seconds` is wall-clock time; `started` is ISO 8601.
    """

    folder: Path
    status: str
    reason: str | None = None
    overrides: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    started: str = ""

    def metric(self, split: str, name: str | None = None) -> float | None:
        """`metric("val", "accuracy")` or `metric("sparsity")`; None where the run has no such number."""
        value = self.metrics.get(split)
        return (value or {}).get(name) if name else value


def flat(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested metrics under one name each: `{"val": {"loss": 0.1}}` as `{"val/loss": 0.1}`."""
    named: dict[str, Any] = {}
    for name, value in metrics.items():
        named |= flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {prefix + name: value}
    return named


def write_record(folder: str | Path, record: Mapping[str, Any]) -> None:
    """Write `folder/record.json` atomically: a reader sees the old record or the new one, never a part."""
    path = Path(folder) / RECORD
    text = json.dumps(_finite(record), indent=2, allow_nan=False, ensure_ascii=False)
    temporary = path.with_name(f".{RECORD}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_record(folder: str | Path) -> dict[str, Any] | None:
    """The record of `folder`; None where there is none.

    Raises:
        DamagedRecord: the file cannot be read, is not JSON, or lacks what every record has.
    """
    path = Path(folder) / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)  # NaN, of other writers
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DamagedRecord(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("status") not in STATUSES:
        raise DamagedRecord(f"{path} has no status out of {', '.join(STATUSES)}")
    if not _well_formed(record):
        raise DamagedRecord(f"{path} does not have the fields of a run record")
    return record


def find_runs(folder: str | Path) -> Iterator[Run]:
    """Every run in `folder` and below it, in natural order (2_a before 10_a).

    A folder is a run's if it has a record, or regnet's `.hydra/config.yaml` and none yet; what lies
    below a run folder is that run's own.
    """
    found = []
    for path, below, files in os.walk(folder):
        here = Path(path)
        if RECORD in files or (".hydra" in below and _is_regnet_config(here / ".hydra" / "config.yaml")):
            found.append(here)
            below.clear()
    yield from map(load_run, sorted(found, key=_natural))


def load_run(folder: Path) -> Run:
    """The run of `folder`, whatever became of it."""
    try:
        record = read_record(folder)
    except DamagedRecord as error:
        return Run(folder, "damaged", str(error))
    if record is None:
        overrides = _hydra_overrides(folder)
        seeds = [text for text in overrides if re.fullmatch(r"\+*seed=\d+", text)]
        seed = int(seeds[-1].partition("=")[2]) if seeds else None
        return Run(folder, "unfinished", "still running, or killed", overrides, seed=seed)
    return Run(
        folder=folder,
        status=record["status"],
        reason=record.get("reason"),
        overrides=tuple(record["overrides"]),
        config=record.get("config") or {},
        seed=record.get("seed"),
        metrics=record.get("metrics") or {},
        epochs=record.get("epochs"),
        best_epoch=record.get("best_epoch"),
        seconds=record.get("seconds"),
        started=record.get("started") or "",
    )


def _well_formed(record: dict[str, Any]) -> bool:
    def holds_mappings(key: str, *names: str) -> bool:
        part = record.get(key) or {}
        return isinstance(part, dict) and all(isinstance(part.get(name) or {}, dict) for name in names)

    def holds(kind: type | UnionType, *values: Any) -> bool:
        return all(value is None or isinstance(value, kind) for value in values)

    return (
        isinstance(record.get("overrides"), list)
        and all(isinstance(override, str) for override in record["overrides"])
        and holds_mappings("config", "data", "regularizer")
        and holds_mappings("metrics", "train", "val", "test", "gap")
        and holds(int | float, record.get("seconds"), *flat(record.get("metrics") or {}).values())
        and holds(int, *map(record.get, ("seed", "epochs", "best_epoch")))
        and holds(str, record.get("reason"), record.get("started"))
    )


def _finite(value: Any) -> Any:
    # Standard JSON has no NaN, and other readers of the record refuse Python's.
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_regnet_config(path: Path) -> bool:
    # Other Hydra programs leave the same file behind; these three keys are at the top of every regnet config.
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return {"seed", "data", "model"} <= set(re.findall(r"^(\w+):", text, re.MULTILINE))


def _hydra_overrides(folder: Path) -> tuple[str, ...]:
    # Hydra writes one "- override" a line; this saves importing a YAML reader.
    try:
        lines = (folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ()
    return tuple(line[2:].strip("'\"") for line in lines if line.startswith("- "))


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
