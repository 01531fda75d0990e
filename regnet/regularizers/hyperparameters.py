"""Hyper-parameters as 0-d tensors: checked once, then kept in buffers that schedules change in place."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Regularizer(nn.Module):
    """A module whose buffers are hyper-parameters: they follow to any device, and stay in float32.

    Training in half precision would round them: a rate of 0.999 becomes 1 in bfloat16.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            self._buffers[name] = buffer.to(self._buffers[name].device)
        return self


def strength(value: float, name: str = "strength") -> Tensor:
    """λ, a finite number >= 0. Raises ValueError for anything else."""
    if not (_is_number(value) and math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return torch.tensor(float(value))


def rate(value: float, name: str = "rate") -> Tensor:
    """The fraction dropped, in [0, 1). Raises ValueError for anything else."""
    if not (_is_number(value) and 0 <= value < 1):
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    return torch.tensor(float(value))


def ratio(value: float, name: str = "ratio") -> Tensor:
    """A number in [0, 1]. Raises ValueError for anything else."""
    if not (_is_number(value) and 0 <= value <= 1):
        raise ValueError(f"{name} must be in [0, 1], got {value!r}")
    return torch.tensor(float(value))


def radius(value: float, name: str = "radius") -> Tensor:
    """A finite number > 0. Raises ValueError for anything else."""
    if not (_is_number(value) and math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return torch.tensor(float(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
