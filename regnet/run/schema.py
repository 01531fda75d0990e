"""What a run record holds, and of which form: what is otherwise is damaged. Standard library only."""

from collections.abc import Callable
from typing import Any

SCHEMA_VERSION = 1
GIVEN = 1000  # overrides
LONGEST = 1000  # entries of a column that a measure left
MOST = 1e100  # of a number: what is measured stays far below, and its square can be computed
SPLITS = ("train", "val", "test", "gap")  # parts of the metrics; numbers beside them belong to the whole run
MEASURED = ("completed", "cut")  # runs that have metrics
STATUSES = (*MEASURED, "failed", "diverged", "interrupted")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MOST <= value <= MOST


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def fits_overrides(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= GIVEN and all(map(_is_text, value))


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_config(value: Any) -> bool:
    parts = ("data", "measure", "regularizer")
    return isinstance(value, dict) and all(isinstance(value.get(name), dict | None) for name in parts)


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
        entries = isinstance(column, list) and len(column) <= LONGEST
        return entries and all(v is None or _is_number(v) or _is_text(v) for v in column)

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
    "overrides": (fits_overrides, f"a list of texts, at most {GIVEN}"),
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
        name: (_or_null(is_whole), "a whole number")
        for name in ("seed", "epochs", "best_epoch", "steps", "step_operations", "threads")
    },
    **{name: (_or_null(_is_text), "a text") for name in ("reason", "started", "device", "launcher", "fingerprint")},
}
