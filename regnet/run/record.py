"""The run record: the only contract between training and reporting. Standard library only.

A record may come from a stranger: what is not as `SCHEMA` says is damaged; the texts of a `RecordedRun` can be printed.

A run folder holds `record.json`, written once, when the run ends. docs/record.md says what each name is.
"""

import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.console import printable, printable_data
from ..core.errors import UserError
from ..core.files import write
from ..core.overrides import read

RECORD = "record.json"
SCHEMA_VERSION = 1
LARGEST = 2**26  # bytes of a file that is read whole
GIVEN = 1000  # overrides
LONGEST = 2**17  # characters of the overrides that Hydra wrote
DEEPEST = 40  # levels of a record
MOST = 1e100  # of a number: what is measured stays far below, and its square can be computed
SPLITS = ("train", "val", "test", "gap")  # parts of the metrics; numbers beside them belong to the whole run
MEASURED = ("completed", "cut")  # runs that have metrics
STATUSES = (*MEASURED, "failed", "diverged", "interrupted")


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
        seed = seeds[-1] if seeds and _is_whole(seeds[-1]) and abs(seeds[-1]) < 2**63 else None
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MOST <= value <= MOST


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_overrides(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= GIVEN and all(map(_is_text, value))


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_config(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), dict | None) for name in ("data", "regularizer"))


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(number is None or _is_number(number) for number in value.values())


def _are_metrics(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    splits = [value[name] for name in SPLITS if value.get(name) is not None]
    whole = {name: number for name, number in value.items() if name not in SPLITS}
    return _are_numbers(whole) and all(map(_are_numbers, splits))


def _or_null(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _are_scales(value: Any) -> bool:
    def fits(scale: Any) -> bool:
        numbers = isinstance(scale, list) and len(scale) == 3 and all(n is None or _is_number(n) for n in scale[1:])
        return numbers and scale[0] in ("min", "max", None)

    return isinstance(value, dict) and all(map(fits, value.values()))


def _are_series(value: Any) -> bool:
    def is_column(column: Any) -> bool:
        return isinstance(column, list) and all(v is None or _is_number(v) or _is_text(v) for v in column)

    def is_one(series: Any) -> bool:
        columns = isinstance(series, dict) and 2 <= len(series) <= 3 and all(map(is_column, series.values()))
        return columns and len({len(column) for column in series.values()}) == 1

    return isinstance(value, dict) and all(map(is_one, value.values()))


def _are_measures(value: Any) -> bool:
    def fits(one: Any) -> bool:
        known = isinstance(one, dict) and isinstance(one.get("reason"), str | None)
        return known and _are_scales(one.get("scales")) and _are_series(one.get("series"))

    return isinstance(value, dict) and all(map(fits, value.values()))


SCHEMA: dict[str, tuple[Callable[[Any], bool], str]] = {  # of every record; other names are those of newer versions
    "schema": ((None, SCHEMA_VERSION).__contains__, f"{SCHEMA_VERSION}; another is that of a later version of regnet"),
    "status": (STATUSES.__contains__, f"one of {', '.join(STATUSES)}"),
    "overrides": (_are_overrides, f"a list of texts, at most {GIVEN}"),
    "config": (_or_null(_is_config), "names and values, its data and its regularizer too"),
    "metrics": (
        _or_null(_are_metrics),
        f"names and numbers, each null or from -{MOST:g} to {MOST:g}, in {', '.join(SPLITS)} or beside them",
    ),
    "last": (
        _or_null(_are_metrics),
        f"names and numbers, each null or from -{MOST:g} to {MOST:g}, in {', '.join(SPLITS)} or beside them",
    ),
    "measures": (_or_null(_are_measures), "names, each with scales, series and reason"),
    "versions": (_or_null(_are_texts), "names and texts"),
    "seconds": (_or_null(_is_number), "a number"),
    **{
        name: (_or_null(_is_whole), "a whole number")
        for name in ("seed", "epochs", "best_epoch", "steps", "step_operations", "threads")
    },
    **{name: (_or_null(_is_text), "a text") for name in ("reason", "started", "device", "launcher", "fingerprint")},
}


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
    return found if _are_overrides(found) else []


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
