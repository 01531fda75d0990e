"""Data: a source loads samples, a split cuts them apart, a module hands out batches."""

import inspect

from regnet.data.module import DataModule
from regnet.data.samples import Dataset, Samples

__all__ = ["DataModule", "Dataset", "Samples", "build"]


def build(**settings: object) -> DataModule:
    """The `DataModule` of a ``conf/data/*.yaml``, whose source has been built already.

    Such a file also holds what belongs to others: the source's settings (`root`, `path`), which
    `source` refers to, and `augment`. Only the parameters of `DataModule` are passed on.
    """
    known = inspect.signature(DataModule).parameters
    return DataModule(**{name: value for name, value in settings.items() if name in known})
