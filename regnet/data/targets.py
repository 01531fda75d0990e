"""The column to predict: classes or numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError
from .columns import ABSENT, Reader, alike_labels, are_codes, fit, narrow

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Target:
    """The cells of the column to predict.

    Text, and whole numbers less than 20 apart, are classes unless `task` says otherwise. `1` and `1.0` are one
    class; numbers with leading zeros are texts.
    """

    cells: pd.Series
    task: str | None
    reader: Reader

    def classes(self) -> list[str] | None:
        """In order; None for regression.

        Raises:
            UserError: there is one class only.
        """
        if self.task == "regression":
            return None
        remedy = "mend the line, or data.task=classification makes each a class"
        is_number = self.task is None and self.reader.is_number(self.cells, remedy)
        if is_number and not alike_labels(self.reader.parsed(self.cells).numbers.values()):
            return None
        classes = sorted(self.labels().unique())
        if len(classes) < 2:
            raise UserError(
                f"data.target={self.cells.name} is {classes[0]!r} in all rows of {self.reader.path}; "
                "classification takes at least two classes"
            )
        numbers = self.reader.numbers(classes)
        return sorted(classes, key=numbers.__getitem__) if len(numbers) == len(classes) else classes

    def labels(self, classes: Sequence[str] = ()) -> pd.Series:
        """The class of each row; a number's name is the shortest, unless `classes` have the one of the file."""
        column = self.reader.parsed(self.cells)
        texts = [text for text in column.texts if text not in classes]
        numbers = self.reader.numbers(texts)
        if not classes and (len(numbers) < sum(text.lower() not in ABSENT for text in texts) or are_codes(numbers)):
            return self.cells
        import pandas as pd

        names = {text: _shortest(value) for text, value in numbers.items()}
        return pd.Series(np.array([names.get(text, text) for text in column.texts], dtype=object)[column.place])

    def center(self) -> float:
        """Of the numbers, see `Column`.

        Raises:
            UserError: float32 cannot hold them.
        """
        center, scale = fit(self._values())
        if scale != 1:
            raise UserError(
                f"data.target={self.cells.name} of {self.reader.path} varies by {scale:.2g}, which is beyond float32; "
                "give it in another unit"
            )
        return center

    def encode(self, classes: Sequence[str] | None, center: float) -> Tensor:
        """(N,): the index of each row's class, or the numbers less their center.

        Raises:
            UserError: a row has no value, or an unknown class.
        """
        where = f"data.target={self.cells.name}"
        values = self._values() if classes is None else None
        absent = self.reader.absent(self.cells, numbers=classes is None)
        if absent.any():
            raise UserError(
                f"{self.reader.path} has {absent.sum()} rows without a value of {where}, the first in line "
                f"{self.cells.index[absent][0]}; delete them"
            )
        if values is not None:
            return narrow(values, center, 1)
        classes = classes or ()
        index = {name: place for place, name in enumerate(classes)}
        labels = self.labels(classes)
        if unknown := sorted(set(labels) - set(index)):
            raise UserError(
                f"{where} is {unknown[0]!r} in {self.reader.path}, which is none of the classes {', '.join(classes)}"
            )
        return torch.tensor([index[label] for label in labels.tolist()])

    def _values(self) -> np.ndarray:
        return self.reader.values(self.cells)


def _shortest(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
