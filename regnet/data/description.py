"""What was made of a table's file, for a person to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .cells import SEPARATORS, Cells, shortened
from .columns import Column
from .numbers import DECIMALS
from .targets import Target

FIRST = 3  # values shown of a column


class Row(NamedTuple):
    """One column of the file: what it becomes, how many of its values are missing, and its first ones."""

    name: str
    becomes: str
    missing: int
    first: str


@dataclass(frozen=True)
class Description:
    """The file in a sentence, and a row for each of its columns."""

    file: str
    rows: tuple[Row, ...]


def describe(file: Cells, columns: Mapping[str, Column], target: Target, classes: Sequence[str] | None) -> Description:
    """Of a file whose columns become `columns` and the target's `classes` (None: numbers)."""
    reader = target.reader
    separator, decimal = (
        next((name for name, sign in names.items() if sign == found), repr(found))
        for names, found in ((SEPARATORS, file.separator), (DECIMALS, reader.decimal))
    )
    rows = []
    for name in dict.fromkeys(map(str, file.table)):
        if name == target.cells.name:
            becomes, numbers = _target(classes), classes is None
        elif name in columns:
            becomes, numbers = _features(columns[name]), columns[name].levels is None
        else:
            rows.append(Row(name, "left out", 0, ""))
            continue
        column = reader.parsed(file.table[name])
        absent = column.absent if numbers else column.empty
        missing = int(absent[column.place].sum())
        rows.append(Row(name, becomes, missing, shortened(", ".join(column.texts[~absent][:FIRST]))))
    sentence = f"{reader.path}: {len(file.table)} rows, separator {separator}, decimal {decimal}, {file.encoding}"
    return Description(sentence, tuple(rows))


def _target(classes: Sequence[str] | None) -> str:
    return "target: number" if classes is None else f"target: {len(classes)} classes: {shortened(', '.join(classes))}"


def _features(column: Column) -> str:
    if column.levels is not None:
        return f"{len(column.levels)} levels: {shortened(', '.join(column.levels))}"
    shift = f" less {column.center:.12g}" if column.center else ""
    return f"number{shift}" + (f", divided by {column.scale:.3g}" if column.scale != 1 else "")
