"""The run record: the only contract between training and reporting. Standard library only.

A record may come from a stranger: what is not as `SCHEMA` says is damaged; the texts of a `RecordedRun` can be
printed.

A run folder holds `record.json`, written once, when the run ends. docs/record.md says what each name is.
"""

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.console import printable, printable_data
from ..core.errors import UserError
from ..core.files import write
from ..core.overrides import read
from .schema import SCHEMA, fits_overrides, is_whole

RECORD = "record.json"
LARGEST = 2**26  # bytes of a file that is read whole
LONGEST = 2**17  # characters of the overrides that Hydra wrote
DEEPEST = 40  # levels of a record


Record = dict[str, Any]


class DamagedRecord(ValueError):
    """A `record.json` that cannot be read or is not a run record; the message names the file."""


@dataclass(frozen=True)
class RecordedRun:
    """One run as its folder tells it.

    `status` is one of `STATUSES`, or "unfinished" (started, no record) or "damaged" (a record that
    cannot be read). `seconds` is wall-clock time; `started` is ISO 8601. `metrics` are those of the chosen epoch,
    `last` those of the last one; `measures` is what is to be known of those that measures found; `version` is regnet's.
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
    steps: int | None = None
    step_operations: int | None = None
    last: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def operations(self) -> int | None:
        """The arithmetic of the whole training; None where that is not known."""
        return None if self.steps is None or self.step_operations is None else self.steps * self.step_operations

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
    parts = {name: part if name == "config" else _finite(part) for name, part in record.items()}
    text = _standard(json.dumps(parts, indent=2, ensure_ascii=False))
    write(Path(folder) / RECORD, f"{text}\n".encode(), sync=True)


def read_record(folder: str | Path) -> dict[str, Any] | None:
    """The record of `folder`; None where there is none.

    Raises:
        DamagedRecord: the file cannot be read, is not JSON, or is not what `SCHEMA` says.
    """
    path = Path(folder) / RECORD
    text = _text(path)
    return None if text is None else _parsed(text, path)


def _text(path: Path) -> str | None:
    try:
        return read_text(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DamagedRecord(f"{path} cannot be read: {error}") from error


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        record = json.loads(
            text,
            parse_constant=lambda _: None,  # NaN, of other writers
            parse_int=_whole,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise DamagedRecord(f"{path} cannot be read: it is nested too deeply") from None
    except ValueError as error:
        raise DamagedRecord(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise DamagedRecord(f"{path} is not a run record: it holds no names and values")
    if _is_deeper(record, DEEPEST):
        raise DamagedRecord(f"{path} cannot be read: it is nested too deeply")
    for name, (fits, rule) in SCHEMA.items():
        if not fits(record.get(name)):
            raise DamagedRecord(f"{path} is not a run record: its {name} must be {rule}")
    return record


def read_text(path: Path) -> str:
    """What is in the file. Raises OSError or ValueError: it is no regular file, too large, or not UTF-8."""
    if regular(path).stat().st_size > LARGEST:
        raise ValueError(f"{path.name} is larger than {LARGEST >> 20} MiB")
    return path.read_text(encoding="utf-8")


def regular(path: Path) -> Path:
    """`path` itself. Raises OSError: no file is there, but nothing or a pipe, which lets its reader wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path.name} is not a regular file")
    return path


def find_runs(folder: str | Path) -> Iterator[RecordedRun]:
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


def runs_in(folders: Sequence[Path]) -> list[RecordedRun]:
    """All runs in `folders`, each once.

    Raises:
        UserError: a folder does not exist or holds no run.
    """
    runs: dict[Path, RecordedRun] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give the folder of a run or of a study.")
        found = {run.folder.resolve(): run for run in find_runs(folder)}
        if not found:
            raise UserError(f"{folder} holds no run of regnet: give the folder of a run or of a study.")
        runs = found | runs
    return list(runs.values())


def load_run(folder: Path) -> RecordedRun:
    """The run of `folder`, whatever became of it."""
    path = folder / RECORD
    try:
        text = _text(path)
        record = None if text is None else _parsed(text, path)
    except DamagedRecord as error:
        return RecordedRun(folder, "damaged", printable(str(error)))
    if text is None or record is None:
        overrides = printable_data(_hydra_overrides(folder))
        seeds = [one.value for one in read(overrides) if one.key == "seed"]
        seed = seeds[-1] if seeds and is_whole(seeds[-1]) and abs(seeds[-1]) < 2**63 else None
        return RecordedRun(folder, "unfinished", "still running, or killed", tuple(overrides), seed=seed)
    if not _is_printable(text):
        record = printable_data(record)
    return RecordedRun(
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
        steps=record.get("steps"),
        step_operations=record.get("step_operations"),
        last=record.get("last") or {},
        measures=record.get("measures") or {},
        version=(record.get("versions") or {}).get("regnet"),
    )


def _is_printable(text: str) -> bool:
    """Whether all texts of the JSON are `printable` as they are: a look at the whole is fast."""
    return "\\" not in text and text.replace("\n", "").isprintable()


def _whole(text: str) -> int:
    if len(text) > 19:  # more than 64 bits
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("it says something twice")
    return found


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [
            item
            for node in level
            if isinstance(node, dict | list)
            for item in (node.values() if isinstance(node, dict) else node)
        ]
    return bool(level)


def _finite(value: Any) -> Any:
    # Standard JSON has no NaN, and other readers of the record refuse Python's.
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _standard(text: str) -> str:
    """Without the two words that end a line of Python's JSON and are none of the standard's."""
    return re.sub(r"\bInfinity(,?)$", r"1e999\1", re.sub(r"\bNaN(,?)$", r'"nan"\1', text, flags=re.M), flags=re.M)


def _is_regnet_config(path: Path) -> bool:
    # Other Hydra programs leave the same file behind; these three keys are at the top of every regnet config.
    try:
        text = read_text(path)
    except (OSError, ValueError):
        return False
    return {"seed", "data", "model"} <= set(re.findall(r"^(\w+):", text, re.MULTILINE))


def _hydra_overrides(folder: Path) -> list[str]:
    import yaml

    try:
        text = read_text(folder / ".hydra" / "overrides.yaml")
        found = yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader)) if len(text) <= LONGEST else []
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return []
    return found if fits_overrides(found) else []


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
