"""What becomes of the columns of a table: which are numbers, which have levels, and how both are encoded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError
from .numbers import CODE, DECIMALS, THOUSANDS, number, numbers, unit, units_of

if TYPE_CHECKING:
    import pandas as pd

LABEL_RANGE = 20  # whole numbers that lie wider apart are taken for a quantity, such as a price
FEW = 0.05  # share of a column's cells; rarer texts among numbers are taken for mistakes
MAX_LEVELS = 1000  # levels of a column; more are taken for names
LARGEST = 1e150  # whose square is a number still
# lower case: a missing value among numbers; among texts a level like others
ABSENT = frozenset(
    {
        *(
            "na",
            "n/a",
            "n.a.",
            "#n/a",
            "#na",
            "<na>",
            "nan",
            "-nan",
            "nat",
            "null",
            "none",
            "nil",
            "missing",
            "unknown",
        ),
        *("?", "??", "-", "--", ".", "*", "#value!", "#div/0!", "#null!", "#num!", "#ref!", "#name?", "#nv", "k.a."),
        "\\n",  # \N in the exports of MySQL and PostgreSQL
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    }
)
DATE = re.compile(
    r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2})|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4})"
    r"(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(?::\d{2}.*)?|\d{4}-(?:0[1-9]|1[0-2])"
)


@dataclass(frozen=True)
class Column:
    """What a column's cells become. Plain JSON as a mapping.

    Args:
        levels: one 0/1 feature for each; None: the one feature (v - center) / scale.
        missing: whether one more feature tells where there is no value.
        center: 0, unless the values vary by less than a ten-thousandth of their size, such as times since 1970, of
            which float32 would keep nothing; then their mean.
        scale: 1, unless float32 cannot hold the values' square; then their standard deviation.
    """

    levels: list[str] | None
    missing: bool = False
    center: float = 0
    scale: float = 1


@dataclass(frozen=True)
class Parsed:
    """A column of N cells, by its D different texts.

    Args:
        place: (N,), of each cell among the texts.
        texts: (D,), in the order of the file.
        empty: (D,), which stand for a missing value in any column.
        absent: (D,), which do in one of numbers.
        numbers: the texts that are numbers.
    """

    place: np.ndarray
    texts: np.ndarray
    empty: np.ndarray
    absent: np.ndarray
    numbers: dict[str, int | float]

    def odd(self) -> list[str]:
        """The texts that are neither numbers nor missing values."""
        if len(self.numbers) == (~self.absent).sum():
            return []
        return [text for text in self.texts[~self.absent] if text not in self.numbers]

    @cached_property
    def values(self) -> np.ndarray:
        """(N,) of a column that has nothing `odd`, NaN where there is no value.

        Of float64, or of Python's numbers where that would round a whole one.
        """
        numbers = np.array([*self.numbers.values()], dtype=object)
        rounded = any(isinstance(value, int) for value in numbers[np.abs(numbers) > 2**53])
        values = np.full(len(self.texts), math.nan, dtype=object if rounded else float)
        values[~self.absent] = numbers
        return values[self.place]


@dataclass(frozen=True)
class Reader:
    """How the cells of one file are read.

    Args:
        decimal: the decimal sign.
        missing: texts and numbers that stand for a missing value in every column.
        read: the columns that were read before, by name.
    """

    path: str
    decimal: str
    missing: tuple[str, ...] = ()
    read: dict[str, Parsed] = field(default_factory=dict, repr=False)

    def absent(self, cells: pd.Series, numbers: bool = False) -> np.ndarray:
        """Where there is no value, in a column of `numbers` or of texts: (N,) of booleans."""
        column = self.parsed(cells)
        return (column.absent if numbers else column.empty)[column.place]

    def numbers(self, texts: Iterable[str]) -> dict[str, int | float]:
        """Those of the texts that are numbers, all in one unit."""
        found = numbers(texts, self.decimal)
        if len(units := units_of(found)) < 2:
            return found
        most = units.most_common(1)[0][0]
        return {text: value for text, value in found.items() if unit(text) == most}

    def parsed(self, cells: pd.Series) -> Parsed:
        """A column by its different texts, read once."""
        import pandas as pd

        name = str(cells.name)
        if name not in self.read:
            place, texts = pd.factorize(cells.to_numpy())
            empty = self._empty(texts)
            absent = empty | [text in ABSENT for text in "\n".join(texts).lower().split("\n")]
            self.read[name] = Parsed(place, texts, empty, absent, self.numbers(texts[~absent]))
        return self.read[name]

    def _empty(self, texts: np.ndarray) -> np.ndarray:
        told = {value for text in self.missing if (value := number(text, ".")) is not None}
        empty = {"", *self.missing}
        if told:
            empty |= {text for text in texts if number(text, self.decimal) in told}
        return np.array([text in empty for text in texts])

    def is_number(self, cells: pd.Series, remedy: str | None = None) -> bool:
        """Whether a column holds numbers.

        It does if all of its texts are numbers, but for those that stand for a missing value there. Whole numbers
        with leading zeros are codes. A column of numbers and other texts has levels if most of it is text, or if its
        numbers are whole, less than 20 apart, repeated, and its other texts more than a few.

        Raises:
            UserError: it is a column of numbers but for a few texts; `remedy` says what helps.
        """
        column = self.parsed(cells)
        if not column.numbers or are_codes(column.numbers):
            return False
        texts, odd = column.texts[~column.absent], column.odd()
        if not odd:
            return True
        counts = dict(zip(column.texts, np.bincount(column.place).tolist(), strict=True))
        rows, rare = (sum(map(counts.__getitem__, some)) for some in (texts, odd))
        few = rare <= FEW * rows or rare == 1
        labels = alike_labels(column.numbers.values()) and 2 * len(texts) <= rows and not few
        if labels or 2 * rare > rows:
            return False
        remedy = remedy or (
            f"data.missing=[{_told(odd)}] makes {'them' if len(odd) > 1 else 'it'} a missing value, "
            f"data.drop=[{cells.name}] leaves the column out"
        )
        where = f"Column {cells.name!r} of {self.path}"
        raise UserError(f"{where} holds numbers, but in line {_line(cells, odd[0])} {odd[0]!r}; {remedy}")

    def values(self, cells: pd.Series) -> np.ndarray:
        """(N,) of numbers, NaN where there is no value, see `Parsed.values`.

        Raises:
            UserError: a cell is no number, or infinite.
        """
        column = self.parsed(cells)
        where = f"Column {cells.name!r} of {self.path} holds"
        for text in column.odd()[:1]:
            raise UserError(
                f"{where} text where numbers are needed: {text!r} in line {_line(cells, text)}; data.missing=[{text}] "
                "makes it a missing value"
            )
        for text in [text for text, value in column.numbers.items() if abs(value) > LARGEST][:1]:
            raise UserError(
                f"{where} an infinite value or one beyond {LARGEST:g}: {text!r} in line {_line(cells, text)}; mend it, "
                f"or data.missing=[{text}] makes it a missing value"
            )
        return column.values

    def other_sign(self, levels: list[str]) -> str | None:
        """The decimal sign with which all levels would be numbers; None if they would be none."""
        sign = THOUSANDS[self.decimal]
        name = next(name for name, one in DECIMALS.items() if one == sign)
        return name if all(number(level, sign) is not None and not CODE.fullmatch(level) for level in levels) else None

    def column(self, cells: pd.Series) -> Column:
        """What becomes of a column; no level of one without any value.

        Raises:
            UserError: it can be taken neither for numbers nor for levels.
        """
        if self.is_number(cells):
            values = self.values(cells)
            return Column(None, bool(is_missing(values).any()), *fit(values))
        column = self.parsed(cells)
        levels = sorted(column.texts[~column.empty])
        if all(level.lower() in ABSENT for level in levels):
            return Column([])
        where, drop = f"Column {cells.name!r} of {self.path} holds", f"leave it out by data.drop=[{cells.name}]"
        if len(levels) > MAX_LEVELS:
            raise UserError(
                f"{where} {len(levels)} different texts, more than {MAX_LEVELS}; {drop} if it names the rows"
            )
        if len(levels) > LABEL_RANGE and (sign := self.other_sign(levels)):
            raise UserError(
                f"{where} numbers with a decimal {sign}, such as {levels[0]!r}, which is not that of the file; write "
                f"data.decimal={sign}, or {drop}"
            )
        if len(levels) > LABEL_RANGE and all(map(DATE.fullmatch, levels)):
            raise UserError(
                f"{where} dates or times, such as {levels[0]!r}; write them as numbers, such as days since the first, "
                f"or {drop}"
            )
        return Column(levels, bool(column.empty.any()))

    def encode(self, cells: pd.Series, column: Column) -> list[tuple[str, Tensor]]:
        """The features (N,) that a column becomes, and their names."""
        name, parsed = str(cells.name), self.parsed(cells)
        if column.levels is None:
            features = [(name, narrow(self.values(cells), column.center, column.scale))]
        else:
            features = [(f"{name}={level}", _flags((parsed.texts == level)[parsed.place])) for level in column.levels]
        absent = self.absent(cells, numbers=column.levels is None)
        return features + ([(f"{name}=missing", _flags(absent))] if column.missing else [])


def are_codes(numbers: Mapping[str, float]) -> bool:
    """Whether the numbers, by their texts, are whole ones of which some have leading zeros."""
    return any(map(CODE.fullmatch, numbers)) and all(value == int(value) for value in numbers.values())


def alike_labels(values: Iterable[float]) -> bool:
    """Whether the values are whole and close together, as labels are."""
    values = list(values)
    whole = all(math.isfinite(value) and value == int(value) for value in values)
    return whole and max(values) - min(values) < LABEL_RANGE


def fit(values: np.ndarray) -> tuple[float, float]:
    """Center and scale of a column of numbers, see `Column`; whole numbers have a whole center, which is exact."""
    present = values[~is_missing(values)]
    if not len(present):
        return 0, 1
    total, whole = sum(present.tolist()), (present % 1 == 0).all()
    center = total // len(present) if whole else total / len(present)
    apart = (present - center).astype(float)
    size = np.abs(apart).max() or 1.0
    std = float(size * (apart / size).std())  # the squares of the smallest numbers are zero
    scale = 1 if std == 0 or 1e-15 < std < 1e15 else std
    near = std < 1e-4 * np.abs(present).max() or scale != 1
    return (center if near else 0), scale


def narrow(values: np.ndarray, center: float, scale: float) -> Tensor:
    """(v - center) / scale in float32, NaN where there is no value."""
    return torch.from_numpy(((values - center) / scale).astype(float)).float()


def is_missing(values: np.ndarray) -> np.ndarray:
    """(N,), where there is no value: NaN alone is not equal to itself."""
    return values != values


def _line(cells: pd.Series, text: str) -> int:
    return cells.index[cells == text][0]


def _flags(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype("float32"))


def _told(texts: list[str], most: int = 5) -> str:
    return ",".join(texts[:most]) + (",..." if len(texts) > most else "")
