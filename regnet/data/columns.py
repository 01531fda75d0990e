"""What becomes of the columns of a table: which are numbers, which have levels, and how both are encoded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .numbers import CODE, DECIMALS, THOUSANDS, number, numbers, unit, units_of

if TYPE_CHECKING:
    import pandas as pd

LABEL_RANGE = 20  # whole numbers that lie wider apart are taken for a quantity, such as a price
FEW = 0.05  # of a column's cells: texts as rare among numbers are taken for mistakes
MAX_LEVELS = 1000  # of a column; more are taken for names
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
        *("?", "??", "-", "--", ".", "*", "#value!", "#div/0!", "#null!", "#num!", "#ref!", "k.a."),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    }
)
DATE = re.compile(
    r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2})|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4})"
    r"(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(?::\d{2}.*)?"
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


class Parsed(NamedTuple):
    """A column of cells as one of numbers.

    Args:
        place: (N,), of each cell among the different `texts`.
        present: which texts stand for no missing value.
        numbers: the texts that are numbers.
    """

    place: np.ndarray
    texts: np.ndarray
    present: np.ndarray
    numbers: dict[str, int | float]

    def odd(self) -> list[str]:
        """The texts that are neither numbers nor missing values."""
        if len(self.numbers) == self.present.sum():
            return []
        return [text for text in self.texts[self.present] if text not in self.numbers]


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

    def absent(self, cells: pd.Series, numbers: bool = False) -> pd.Series:
        """Where there is no value, in a column of `numbers` or of texts: (N,) of booleans."""
        told = {value for text in self.missing if (value := number(text, ".")) is not None}
        texts = {"", *self.missing}
        if told:
            texts |= {text for text in cells.unique() if number(text, self.decimal) in told}
        absent = cells.isin(texts)
        return absent | cells.str.lower().isin(ABSENT) if numbers else absent

    def numbers(self, texts: Iterable[str]) -> dict[str, int | float]:
        """Those of the texts that are numbers, all in one unit."""
        found = numbers(texts, self.decimal)
        if len(units := units_of(found)) < 2:
            return found
        most = units.most_common(1)[0][0]
        return {text: value for text, value in found.items() if unit(text) == most}

    def parsed(self, cells: pd.Series) -> Parsed:
        """A column as one of numbers, read once."""
        import pandas as pd

        if cells.name not in self.read:
            place, texts = pd.factorize(cells)
            present = ~self.absent(pd.Series(texts, dtype=object), numbers=True).to_numpy()
            self.read[cells.name] = Parsed(place, texts, present, self.numbers(texts[present]))
        return self.read[cells.name]

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
        texts, odd = column.texts[column.present], column.odd()
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
        """(N,) of int, float, and None where there is no value.

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
        return np.array([column.numbers.get(text) for text in column.texts], dtype=object)[column.place]

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
            return Column(None, None in values, *fit(values))
        absent = self.absent(cells)
        levels = sorted(cells[~absent].unique())
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
        return Column(levels, bool(absent.any()))

    def encode(self, cells: pd.Series, column: Column) -> list[tuple[str, Tensor]]:
        """The features (N,) that a column becomes, and their names."""
        name = cells.name
        if column.levels is None:
            values = self.values(cells)
            absent = np.array([value is None for value in values])
            features = [(name, narrow(values, column.center, column.scale))]
        else:
            absent = self.absent(cells).to_numpy()
            features = [(f"{name}={level}", _flags((cells == level).to_numpy())) for level in column.levels]
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
    present = [value for value in values if value is not None]
    if not present:
        return 0, 1
    whole = all(isinstance(value, int) for value in present)
    center = sum(present) // len(present) if whole else sum(present) / len(present)
    apart = np.array([value - center for value in present], dtype=float)
    size = np.abs(apart).max() or 1.0
    std = float(size * (apart / size).std())  # the squares of the smallest numbers are zero
    scale = 1 if std == 0 or 1e-15 < std < 1e15 else std
    near = std < 1e-4 * max(map(abs, present)) or scale != 1
    return (center if near else 0), scale


def narrow(values: np.ndarray, center: float, scale: float) -> Tensor:
    """(v - center) / scale in float32, NaN where there is no value."""
    exact = [math.nan if value is None else (value - center) / scale for value in values]
    return torch.tensor(exact, dtype=torch.float64).float()


def _line(cells: pd.Series, text: str) -> int:
    return cells.index[cells == text][0]


def _flags(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype("float32"))


def _told(texts: list[str], most: int = 5) -> str:
    return ",".join(texts[:most]) + (",..." if len(texts) > most else "")
