"""The series that measures left in the records, over the seeds of each arm."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..run.record import RecordedRun
from .study import Arm, Study, independent, pairing

Curve = dict[float, list[float]]  # x ─► y of each seed
Cells = dict[tuple[str, str], float]


class Series(NamedTuple):
    """One of a measure: of two columns, a curve of the second over the first; of three, a table of the third."""

    name: str
    columns: tuple[str, ...]


def series(study: Study) -> list[Series]:
    """All that runs of the study left, each once."""
    runs = [run for arm in study.arms for run in arm.completed]
    found = (Series(name, tuple(columns)) for run in runs for name, columns in _of(run))
    return list(dict.fromkeys(found))


def curve(arm: Arm, one: Series) -> Curve:
    """The numbers of a curve, one for each seed (see `study.independent`), by x."""
    values: dict[float, dict[Any, float]] = {}
    x_name, y_name = one.columns
    for run, columns in _runs(arm, one):
        for x, y in zip(columns[x_name], columns[y_name], strict=True):
            if isinstance(x, int | float) and isinstance(y, int | float):
                values.setdefault(float(x), {})[pairing(run)] = float(y)
    return {x: independent(numbers) for x, numbers in sorted(values.items())}


def cells(arm: Arm, one: Series) -> Cells:
    """The means of a table, by the texts of its rows and columns."""
    values: dict[tuple[str, str], dict[Any, float]] = {}
    row_name, column_name, value_name = one.columns
    for run, columns in _runs(arm, one):
        for row, column, value in zip(columns[row_name], columns[column_name], columns[value_name], strict=True):
            if isinstance(value, int | float):
                values.setdefault((_text(row), _text(column)), {})[pairing(run)] = float(value)
    return {pair: statistics.fmean(independent(numbers)) for pair, numbers in values.items()}


def _of(run: RecordedRun) -> Iterator[tuple[str, Mapping[str, Sequence[Any]]]]:
    for measure in run.measures.values():
        yield from measure["series"].items()


def _runs(arm: Arm, one: Series) -> Iterator[tuple[RecordedRun, Mapping[str, Sequence[Any]]]]:
    for run in arm.completed:
        for name, columns in _of(run):
            if (name, tuple(columns)) == one:
                yield run, columns


def _text(value: Any) -> str:
    return value if isinstance(value, str) else format(value, "g")
