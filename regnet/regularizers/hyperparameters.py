"""Hyper-parameters as 0-d tensors: checked once, then kept in buffers that schedules change in place."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def strength(value: float, name: str = "strength") -> Tensor:
    """λ, a finite number >= 0. Raises ValueError for anything else."""
    return _number(value, lambda v: 0 <= v < math.inf, f"{name} must be a finite number >= 0")


def rate(value: float, name: str = "rate") -> Tensor:
    """The fraction dropped, in [0, 1). Raises ValueError for anything else."""
    return _number(value, lambda v: 0 <= v < 1, f"{name} must be in [0, 1)")


def ratio(value: float, name: str = "ratio") -> Tensor:
    """A number in [0, 1]. Raises ValueError for anything else."""
    return _number(value, lambda v: 0 <= v <= 1, f"{name} must be in [0, 1]")


def fraction(value: float, name: str = "fraction") -> Tensor:
    """A number in (0, 1). Raises ValueError for anything else."""
    return _number(value, lambda v: 0 < v < 1, f"{name} must be in (0, 1)")


def radius(value: float, name: str = "radius") -> Tensor:
    """A finite number > 0. Raises ValueError for anything else."""
    return _number(value, lambda v: 0 < v < math.inf, f"{name} must be a finite number > 0")


def count(value: int, name: str) -> Tensor:
    """A whole number >= 1. Raises ValueError for anything else."""
    return _number(value, lambda v: v >= 1 and v == int(v), f"{name} must be a whole number >= 1")


def _number(value: object, allowed: Callable[[float], bool], rule: str) -> Tensor:
    if not isinstance(value, int | float) or isinstance(value, bool) or not allowed(value):
        raise ValueError(f"{rule}, got {value!r}")
    return torch.tensor(float(value))
