"""Tables: scikit-learn's own small sets, and a person's csv file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.errors import UserError
from ..core.values import one_of
from .cells import read_cells, tidy
from .columns import Column, Reader
from .description import describe
from .numbers import decimal_sign, find_decimal, number
from .oddities import differences, oddities
from .samples import Dataset, Samples
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd

SETS = ("digits", "breast_cancer", "iris", "wine", "diabetes")
TASKS = (None, "classification", "regression")
MOST = 20  # names that a sentence lists


@dataclass(frozen=True)
class Sklearn:
    """One of scikit-learn's ``load_<name>``: digits (images), breast_cancer, iris, wine or diabetes (numbers)."""

    name: str

    def __post_init__(self) -> None:
        """Raises ValueError for any other name."""
        one_of(self.name, "name", SETS)

    def load(self) -> Dataset:
        """Reads what scikit-learn brings with it."""
        if self.name == "digits" and (file := _digits_file()) is not None:
            table = torch.from_numpy(np.loadtxt(file, delimiter=","))  # (N, 65), float64
            images, target = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].long()
            return Dataset(Samples((images / 16).float(), target), classes=tuple(map(str, range(10))))
        from sklearn import datasets

        options = {"scaled": False} if self.name == "diabetes" else {}
        loaded = getattr(datasets, f"load_{self.name}")(**options)
        if self.name == "digits":
            x, features = torch.tensor(loaded.images / 16, dtype=torch.float32)[:, None], None  # (N, 1, 8, 8)
        else:
            x, features = (
                torch.tensor(loaded.data, dtype=torch.float32),
                tuple(map(str, loaded.feature_names)),
            )
        if "target_names" not in loaded:
            return Dataset(Samples(x, torch.tensor(loaded.target, dtype=torch.float32)), features=features)
        y = torch.tensor(loaded.target, dtype=torch.int64)
        return Dataset(Samples(x, y), classes=tuple(map(str, loaded.target_names)), features=features)


def _digits_file() -> Path | None:
    """scikit-learn's own file of the digits: its import would take most of a second."""
    spec = find_spec("sklearn")
    files = (Path(place) / "datasets/data/digits.csv.gz" for place in (spec and spec.submodule_search_locations) or ())
    return next((file for file in files if file.is_file()), None)


@dataclass(frozen=True)
class Csv:
    """A csv file with a header: the column `target`, and all others as features.

    A column of numbers is one feature, NaN where a value is missing; one of text (or true/false) has a
    0/1 feature ``name=level`` for each level. A column with missing values has one more, ``name=missing``.
    `Reader.is_number` says which is which, and `Target` what is predicted.

    Args:
        task: classification or regression; None: as `Target` has it.
        sep: a character, or comma, semicolon, tab, pipe or spaces; None: as most lines have it.
        decimal: point or comma; None: as the numbers have it.
        encoding: such as utf-8 or cp1252; None: UTF-8 or UTF-16 where the file is that, else cp1252.
        missing: a text, or some, that stand for a missing value in all columns, as an empty cell does. Among numbers
            NA, nan, null, ? and others of that kind do so anyway; among texts they are levels.
        drop: a column, or some, to leave out.
        schema: of a Dataset loaded before: the file is read into the same features and classes. A level
            that it does not know is 0 in all of the column's features.
    """

    path: str
    target: str | float | bool | None  # Hydra reads some names as values
    task: str | None = None
    sep: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing: Any = None
    drop: Any = None
    schema: Mapping[str, Any] | None = None

    def load(self) -> Dataset:
        """Reads the file.

        Raises:
            UserError: the file, a column, or a value in it cannot be used.
        """
        if self.task not in TASKS:
            raise UserError(f"data.task={self.task} must be classification, regression or null")
        file = read_cells(self.path, self.sep, self.encoding)
        table = self._chosen(file.table)
        cells = table.pop(self._find(self.target, "target", table))
        reader = self._reader(table, cells)
        target = Target(cells, self.task, reader)
        schema = self.schema or self._schema(table, target)
        if absent := [name for name in schema["columns"] if name not in table]:
            raise UserError(f"{self.path} lacks the column {absent[0]!r}, which the model was trained on")
        columns = {name: Column(**column) for name, column in schema["columns"].items()}
        features = [part for name, column in columns.items() for part in reader.encode(table[name], column)]
        classes = schema["classes"]
        y = target.encode(classes, schema.get("center", 0))
        odd = differences(table, columns, reader) if self.schema else oddities(table, columns, target, classes)
        return Dataset(
            Samples(torch.stack([values for _, values in features], dim=1), y),  # (N, F)
            classes=classes and tuple(classes),
            features=tuple(name for name, _ in features),
            schema=dict(schema),
            notes=tuple(f"{self.path}: {note}" for note in (*file.notes, *odd)),
            description=describe(file, columns, target, classes),
        )

    def _chosen(self, table: pd.DataFrame) -> pd.DataFrame:
        """Without the columns to drop; each name is one column."""
        dropped = {self._find(name, "drop", table) for name in _listed(self.drop)}
        table = table.loc[:, [name not in dropped for name in table.columns]]
        if twice := table.columns[table.columns.duplicated()].tolist():
            raise UserError(
                f"{self.path} has two columns {twice[0]!r}; give one of them another name, or delete it in the file"
            )
        return table.copy()

    def _find(self, given: Any, key: str, table: pd.DataFrame) -> str:
        """The name of the column that `given` means, which Hydra may have read as a number."""
        names = list(dict.fromkeys(table.columns))
        if (text := tidy(str(given))) in names:
            return text
        if means := [name for name in names if _reads_as(name, given)]:
            return means[0]
        choice = difflib.get_close_matches(text, names) or names
        told = ", ".join(choice[:MOST]) + (", ..." if len(choice) > MOST else "")
        what = f" has no value for {self.path}" if given is None else f"={given} is no column of {self.path}"
        raise UserError(f"data.{key}{what}; choose from {told}")

    def _reader(self, table: pd.DataFrame, target: pd.Series) -> Reader:
        """Of the columns that hold numbers, which a schema knows."""
        missing = dict.fromkeys(tidy(str(text)) for text in _listed(self.missing))
        shown = [target, *(table[name] for name in table)]
        if self.schema:
            missing |= dict.fromkeys(self.schema.get("missing", ()))
            numbers = [name for name, column in self.schema["columns"].items() if column["levels"] is None]
            shown = [table[name] for name in numbers if name in table]
            shown += [] if self.schema["classes"] else [target]
        try:
            decimal = decimal_sign(self.decimal) or find_decimal(cells.unique() for cells in shown)
        except ValueError as error:
            raise UserError(f"{self.path}: {error}; write data.decimal=point or data.decimal=comma") from error
        return Reader(self.path, decimal, tuple(missing))

    def _schema(self, table: pd.DataFrame, target: Target) -> dict[str, Any]:
        """What reads another file into the same columns; plain JSON."""
        if table.shape[1] == 0:
            raise UserError(f"{self.path} has no column but data.target={self.target}; add features")
        columns = {name: target.reader.column(table[name]) for name in table}
        used = {name: asdict(column) for name, column in columns.items() if column.levels != []}
        if not used:
            raise UserError(f"{self.path} has no value in any column but data.target={self.target}; add features")
        classes = target.classes()
        center = target.center() if classes is None else 0
        return {"classes": classes, "center": center, "missing": list(target.reader.missing), "columns": used}


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _reads_as(name: str, value: Any) -> bool:
    """Whether a command line that has `name` would be read as `value`, which is no text."""
    if value is None or isinstance(value, bool):
        return name.lower() == {None: "null", True: "true", False: "false"}[value]
    return isinstance(value, int | float) and number(name.replace("_", ""), ".") == value
