"""Hyper-parameters as 0-d float64 tensors: checked once, then kept in buffers that schedules change in place.

In a formula they are rounded to the precision of what they act on, see `regnet.core.exact.at_precision_of`.
"""

import torch
from torch import Tensor

from . import values


def exact(value: float) -> Tensor:
    """0-d in float64, as which it is multiplied into tensors of any precision without changing theirs."""
    return torch.tensor(float(value), dtype=torch.float64)


def strength(value: float, name: str = "strength") -> Tensor:
    """λ, a finite number >= 0. Raises ValueError for anything else."""
    return exact(values.nonnegative(value, name))


def rate(value: float, name: str = "rate") -> Tensor:
    """The fraction dropped, in [0, 1). Raises ValueError for anything else."""
    return exact(values.rate(value, name))


def ratio(value: float, name: str = "ratio") -> Tensor:
    """A number in [0, 1]. Raises ValueError for anything else."""
    return exact(values.ratio(value, name))


def fraction(value: float, name: str = "fraction") -> Tensor:
    """A number in (0, 1). Raises ValueError for anything else."""
    return exact(values.fraction(value, name))


def radius(value: float, name: str = "radius") -> Tensor:
    """A finite number > 0. Raises ValueError for anything else."""
    return exact(values.positive(value, name))


def count(value: int, name: str) -> Tensor:
    """A whole number >= 1. Raises ValueError for anything else."""
    return exact(values.whole(value, name))
