"""Tables: scikit-learn's own small sets, and a person's csv file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import UserError
from ..values import one_of
from .samples import Dataset, Samples

if TYPE_CHECKING:
    import pandas as pd

LABEL_RANGE = 20  # whole numbers that lie wider apart are taken for a quantity, such as a price
SETS = ("breast_cancer", "diabetes", "digits", "iris", "wine")
MAX_LEVELS = 1000  # of a text column; more are taken for names


@dataclass(frozen=True)
class Sklearn:
    """One of scikit-learn's ``load_<name>``: digits (images), breast_cancer, iris, wine or diabetes (numbers)."""

    name: str

    def __post_init__(self) -> None:
        """Raises ValueError for any other name."""
        one_of(self.name, "name", ("digits", "breast_cancer", "wine", "diabetes"))

    def load(self) -> Dataset:
        """Reads what scikit-learn brings with it.

        Raises:
            UserError: another name.
        """
        from sklearn import datasets

        if self.name not in SETS:
            raise UserError(f"data.source.name={self.name} must be one of {', '.join(SETS)}")

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


@dataclass(frozen=True)
class Csv:
    """A csv file with a header: the column `target`, and all others as features.

    A column of numbers is one feature, NaN where a value is missing; one of text (or true/false) has a
    0/1 feature ``name=level`` for each level. A column with missing values has one more, ``name=missing``.
    Targets that are text, or whole numbers less than 20 apart from each other, are classes; `task`
    ("classification" or "regression") says otherwise.

    Args:
        schema: of a Dataset loaded before: the file is read into the same features and classes. A level
            that it does not know is 0 in all of the column's features.
    """

    path: str
    target: str
    task: str | None = None
    schema: dict | None = None

    def load(self) -> Dataset:
        """Reads the file.

        Raises:
            UserError: the file, a column, or a value in it cannot be used.
        """
        table = self._read()
        if self.target not in table:
            near = difflib.get_close_matches(self.target, table.columns) or table.columns
            raise UserError(f"data.target={self.target} is no column of {self.path}; choose from {', '.join(near)}")
        target = table.pop(self.target)
        if without := int(target.isna().sum()):
            raise UserError(f"{self.path} has {without} rows without a value of data.target={self.target}")
        schema = self.schema or {"classes": self._classes(target), "columns": self._columns(table)}
        if absent := [name for name in schema["columns"] if name not in table]:
            raise UserError(f"{self.path} lacks the column {absent[0]!r}, which the model was trained on")
        encoded = {
            feature: values
            for name, column in schema["columns"].items()
            for feature, values in self._encode(table[name], **column).items()
        }
        x = torch.stack(list(encoded.values()), dim=1)  # (N, F)
        y = self._encode_target(target, schema["classes"])
        classes = schema["classes"] and tuple(schema["classes"])
        return Dataset(Samples(x, y), classes=classes, features=tuple(encoded), schema=schema)

    def _read(self) -> pd.DataFrame:
        """All values as text, so that a column means the same in every file."""
        import pandas as pd

        path = Path(self.path).expanduser()
        if not path.is_file():
            raise UserError(f"data.path={self.path} is not a file; give a csv file with a header")
        try:
            table = pd.read_csv(path, dtype=str, skipinitialspace=True)
        except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
            reason = str(error).splitlines()[0]
            raise UserError(f"data.path={self.path} cannot be read as a csv file ({reason})") from error
        if len(table) == 0:
            raise UserError(f"data.path={self.path} holds no rows; give a csv file with a header and rows")
        return table

    def _classes(self, target: pd.Series) -> list[str] | None:
        """The classes in order, or None for regression."""
        values = _numbers(target)
        if self.task not in (None, "classification", "regression"):
            raise UserError(f"data.task={self.task} must be classification, regression or null")
        if self.task == "regression":
            return None
        if self.task is None and values is not None:
            labels = values.dtype.kind in "iu" and values.max() - values.min() < LABEL_RANGE
            if not labels:
                return None
        levels = target.unique()
        classes = sorted(levels) if values is None else sorted(levels, key=float)
        if len(classes) < 2:
            raise UserError(
                f"data.target={self.target} is {classes[0]!r} in all rows of {self.path}; "
                "classification takes at least two classes"
            )
        return classes

    def _columns(self, table: pd.DataFrame) -> dict[str, dict]:
        if table.shape[1] == 0:
            raise UserError(f"{self.path} has no column but data.target={self.target}; add features")
        columns = {}
        for name, values in table.items():
            levels = None if _numbers(values) is not None else sorted(values.dropna().unique())
            if levels and len(levels) > MAX_LEVELS:
                raise UserError(
                    f"Column {name!r} of {self.path} holds {len(levels)} different texts, more than "
                    f"{MAX_LEVELS}; take it out of the file if it names the rows"
                )
            columns[name] = {"levels": levels, "missing": bool(values.isna().any())}
        return columns

    def _encode(self, values: pd.Series, levels: list[str] | None, missing: bool) -> dict[str, Tensor]:
        """The features (N,) that a column becomes, by name."""
        name = values.name
        if levels is None:
            features = {name: self._finite(values)}
        else:
            features = {f"{name}={level}": _tensor(values == level) for level in levels}
        return features | ({f"{name}=missing": _tensor(values.isna())} if missing else {})

    def _encode_target(self, target: pd.Series, classes: list[str] | None) -> Tensor:
        if classes is None:
            return self._finite(target)
        if unknown := sorted(set(target) - set(classes)):
            raise UserError(
                f"data.target={self.target} is {unknown[0]!r} in {self.path}, "
                f"which is none of the classes {', '.join(classes)}"
            )
        index = {name: i for i, name in enumerate(classes)}
        return torch.tensor([index[name] for name in target])

    def _finite(self, values: pd.Series) -> Tensor:
        numbers = _numbers(values)
        if numbers is None:
            raise UserError(f"Column {values.name!r} of {self.path} holds text where numbers are needed")
        numbers = _tensor(numbers)
        if numbers.isinf().any():
            raise UserError(f"Column {values.name!r} of {self.path} holds an infinite value; leave it empty or mend it")
        return numbers


def _numbers(values: pd.Series) -> pd.Series | None:
    """The column as numbers, or None if it holds text."""
    import pandas as pd

    try:
        return pd.to_numeric(values)
    except ValueError:
        return None


def _tensor(values: pd.Series) -> Tensor:
    return torch.tensor(values.to_numpy(dtype="float64", na_value=float("nan"))).float()
