"""The random numbers of a stack, noted and handed out again to each of its networks alone."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
DRAWS = {  # operations whose result is nothing but random numbers
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "normal_functional"),
    *("bernoulli", "multinomial", "poisson", "binomial", "_standard_gamma", "_sample_dirichlet"),
    *("bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_", "random_", "uniform_"),
    "native_dropout",
}


class Draw(NamedTuple):
    """A random tensor (K, ...), and the name of the operation that drew it."""

    name: str
    value: Tensor


class Noted(TorchDispatchMode):
    """Takes note of all that torch draws while it is entered, but from generators that are handed to it."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []
        self.paused = False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if _draws(func, kwargs) and not self.paused:
            # of dropout's own kernel the mask
            self.draws.append(Draw(_name(func), (out[1] if isinstance(out, tuple) else out).detach().clone()))
        return out


class HandedOut(TorchDispatchMode):
    """Network `row` of a stack, now alone, draws the numbers that it had there.

    Attributes:
        fits: whether it has asked for just these, in this order.
    """

    def __init__(self, draws: list[Draw], row: int) -> None:
        super().__init__()
        self.left, self.row = list(draws), row
        self.matches = True

    @property
    def fits(self) -> bool:
        return self.matches and not self.left

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self.matches or not _draws(func, kwargs):
            return out
        drawn = out[1] if isinstance(out, tuple) else out
        draw = self.left.pop(0) if self.left else None
        if draw is None or draw.name != _name(func) or draw.value.shape[1:] != drawn.shape:
            self.matches = False
            return out
        drawn.copy_(draw.value[self.row])
        if func._overloadpacket is aten.native_dropout:
            out[0].copy_(args[0] * drawn / (1 - args[1]))
        return out


def _draws(func: Any, kwargs: dict | None) -> bool:
    return _name(func) in DRAWS and (kwargs or {}).get("generator") is None


def _name(func: Any) -> str:
    return func._overloadpacket.__name__
