"""Hyper-parameters as 0-d tensors: checked once, then kept in buffers that schedules change in place."""

import torch
from torch import Tensor

from . import values


def strength(value: float, name: str = "strength") -> Tensor:
    """λ, a finite number >= 0. Raises ValueError for anything else."""
    return torch.tensor(float(values.nonnegative(value, name)))


def rate(value: float, name: str = "rate") -> Tensor:
    """The fraction dropped, in [0, 1). Raises ValueError for anything else."""
    return torch.tensor(float(values.rate(value, name)))


def ratio(value: float, name: str = "ratio") -> Tensor:
    """A number in [0, 1]. Raises ValueError for anything else."""
    return torch.tensor(float(values.ratio(value, name)))


def fraction(value: float, name: str = "fraction") -> Tensor:
    """A number in (0, 1). Raises ValueError for anything else."""
    return torch.tensor(float(values.fraction(value, name)))


def radius(value: float, name: str = "radius") -> Tensor:
    """A finite number > 0. Raises ValueError for anything else."""
    return torch.tensor(float(values.positive(value, name)))


def count(value: int, name: str) -> Tensor:
    """A whole number >= 1. Raises ValueError for anything else."""
    return torch.tensor(float(values.whole(value, name)))
