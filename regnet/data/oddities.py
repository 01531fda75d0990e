"""What looks odd in a table: a sentence each, to be read before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .columns import ABSENT, DATE, Column, Reader, are_codes, is_missing
from .numbers import CODE, units_of
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd

MANY = 50  # levels
SOME = 8  # rows; in fewer, values may differ everywhere, or predict the target, by chance


def oddities(
    table: pd.DataFrame, columns: Mapping[str, Column], target: Target, classes: Sequence[str] | None
) -> list[str]:
    """Of a table whose columns become `columns`."""
    reader = target.reader
    found = [f"column {name!r} has no value in any row, and is left out" for name in table if name not in columns]
    for name, column in columns.items():
        of_kind = _of_numbers if column.levels is None else _of_levels
        found += [f"column {name!r} {what}" for what in of_kind(table[name], column, reader)]
        if _leaks(table[name], column, target, classes):
            found.append(f"column {name!r} tells the target in every row; data.drop=[{name}] leaves it out")
    return found + [f"the target {target.cells.name!r} {what}" for what in _of_texts(classes or ())]


def differences(table: pd.DataFrame, columns: Mapping[str, Column], reader: Reader) -> list[str]:
    """Of a table that is read by the columns of another one."""
    found = []
    for name, column in columns.items():
        cells = table[name]
        absent = reader.absent(cells, numbers=column.levels is None)
        if column.levels is not None and (unknown := sorted(set(cells[~absent]) - set(column.levels))):
            rows = int(cells.isin(unknown).sum())
            found.append(
                f"column {name!r} has {rows} rows of levels that the model does not know, such as {unknown[0]!r}"
            )
        if absent.any() and not column.missing:
            found.append(f"column {name!r} has {absent.sum()} missing values, and had none in training")
    return found


def _of_numbers(cells: pd.Series, column: Column, reader: Reader) -> Iterator[str]:
    values = reader.values(cells)
    for sign in units_of(reader.parsed(cells).numbers).keys() - {""}:
        yield f"has the unit {sign!r}, which is left out"
    present, rows = values[~is_missing(values)], np.arange(len(values))
    different = len(set(present.tolist()))
    if different == 1:
        yield f"is {present[0]:g} in all rows that have a value"
    elif len(values) >= SOME and any(np.array_equal(values, count) for count in (rows, rows + 1)):
        yield f"counts the rows; data.drop=[{cells.name}] leaves it out"
    elif len(present) == different >= SOME and (present % 1 == 0).all():
        yield f"is another whole number in every row; data.drop=[{cells.name}] leaves it out if it names the rows"


def _of_levels(cells: pd.Series, column: Column, reader: Reader) -> Iterator[str]:
    levels = column.levels or []
    rows = int((~reader.absent(cells)).sum())
    if len(levels) == 1:
        yield f"is {levels[0]!r} in all rows that have a value"
    elif len(levels) == rows >= SOME:
        yield f"is another text in every row; data.drop=[{cells.name}] leaves it out if it names the rows"
    elif len(levels) > MANY:
        yield f"has {len(levels)} levels, each of which is a feature"
    numbers = reader.numbers(levels)
    if numbers and are_codes(numbers):
        code = next(filter(CODE.fullmatch, numbers))
        yield f"has numbers with leading zeros, such as {code!r}, and is taken for text"
    elif numbers:
        texts = [level for level in levels if level not in numbers]
        yield f"mixes numbers and texts, such as {next(iter(numbers))!r} and {texts[0]!r}: each is a level"
    elif sign := reader.other_sign(levels):
        yield f"has numbers with a decimal {sign}, such as {levels[0]!r}, and is taken for text"
    elif all(map(DATE.fullmatch, levels)):
        yield f"holds dates or times, such as {levels[0]!r}: each is a level"
    elif text := _behind_numbers(levels, reader):
        yield f"has numbers with {text!r} behind them, such as {levels[0]!r}, and is taken for text"
    yield from _of_texts(levels)


def _behind_numbers(levels: Sequence[str], reader: Reader) -> str:
    """The one text that follows a number in all levels, such as a unit of length; empty if there is none."""
    parts = [part for level in levels if (part := re.fullmatch(r"(.*\d) ?(\D+)", level))]
    if len(parts) < len(levels) or len(reader.numbers([part[1] for part in parts])) < len(levels):
        return ""
    behind = {part[2] for part in parts}
    return behind.pop() if len(behind) == 1 else ""


def _of_texts(levels: Iterable[str]) -> Iterator[str]:
    alike: dict[str, str] = {}
    for level in levels:
        if (other := alike.setdefault(level.casefold(), level)) is not level:
            yield f"has {other!r} and {level!r}, which differ in case only"
        if level.lower() in ABSENT:
            yield f"has {level!r} for one of its texts; data.missing=[{level}] makes it a missing value"


def _leaks(cells: pd.Series, column: Column, target: Target, classes: Sequence[str] | None) -> bool:
    """Whether the column is one-to-one with the target's classes, or a linear function of its numbers."""
    import pandas as pd

    if len(cells) < SOME:
        return False
    values = cells.to_numpy() if column.levels is not None else target.reader.values(cells)
    if classes is not None:
        codes, different = pd.factorize(values)
        return len(different) == len(classes) and bool((codes == pd.factorize(target.labels(classes))[0]).all())
    if column.levels is not None:
        return False
    x, y = values.astype(float), target.reader.values(target.cells).astype(float)
    both = ~is_missing(x)
    x, y = x[both] - x[both].mean(), y[both] - y[both].mean()
    size = np.sqrt((x @ x) * (y @ y))
    return size > 0 and abs(x @ y) > (1 - 1e-9) * size
