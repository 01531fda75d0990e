"""Data: a source loads samples, a split cuts them apart, a module hands out batches."""

import inspect
from typing import Any

from ..core.errors import UserError
from .module import DataModule, Source
from .samples import Dataset, Samples

__all__ = ["DataModule", "Dataset", "Samples", "Source", "data_module"]

FOR_OTHERS = {
    *("augment", "epochs", "policy", "shape", "inputs", "classes", "num_classes", "num_outputs", "num_samples")
}


def data_module(source: Source, **settings: Any) -> DataModule:
    """The `DataModule` of a ``conf/data/*.yaml``, whose source has been built already.

    Such a file also holds what belongs to others: the source's settings (`root`, `path`), which
    `source` refers to, the augmentation, and the sizes. Only the parameters of `DataModule` are passed on.

    Raises:
        UserError: a setting that belongs to none of them.
    """
    known = inspect.signature(DataModule).parameters
    unknown = settings.keys() - known.keys() - inspect.signature(type(source)).parameters.keys() - FOR_OTHERS
    if unknown:
        raise UserError(f"data.{min(unknown)} is a setting of neither the data module nor its source")
    return DataModule(source, **{name: value for name, value in settings.items() if name in known})
