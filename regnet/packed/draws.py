"""The random numbers of a stack, noted and handed out again to each of its networks alone."""

from collections.abc import Sequence
from typing import Any

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


class Noted(TorchDispatchMode):
    """Takes note of all that torch draws while it is entered, but from generators that are handed to it."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Tensor] = []
        self.paused = False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if _draws(func, kwargs) and not self.paused:
            self.draws.append(_drawn(out).detach().clone())
        return out


class HandedOut(TorchDispatchMode):
    """Network `row` of `count` in a stack, now alone, draws the numbers that it had there.

    Attributes:
        fits: whether it has asked for just these, in this order.
    """

    def __init__(self, draws: Sequence[Tensor], row: int, count: int) -> None:
        super().__init__()
        self.left, self.row, self.count = list(draws), row, count
        self.matches = True

    @property
    def fits(self) -> bool:
        return self.matches and not self.left

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self.matches or not _draws(func, kwargs):
            return out
        drawn = _drawn(out)
        given = self._next(drawn.shape)
        if given is None:
            self.matches = False
            return out
        drawn.copy_(given)
        if func._overloadpacket is aten.native_dropout:
            out[0].copy_(args[0] * drawn / (1 - args[1]))
        return out

    def _next(self, shape: torch.Size) -> Tensor | None:
        """A draw of all networks (K, *shape), or where vmap draws for one after the other K of them."""
        together, each = self.left[:1], self.left[: self.count]
        if together and together[0].shape == (self.count, *shape):
            return self.left.pop(0)[self.row]
        if len(each) == self.count and all(one.shape == shape for one in each):
            del self.left[: self.count]
            return each[self.row]
        return None


def _draws(func: Any, kwargs: dict | None) -> bool:
    return func._overloadpacket.__name__ in DRAWS and (kwargs or {}).get("generator") is None


def _drawn(out: Any) -> Tensor:
    """The random numbers: of dropout's own kernel the mask."""
    return out[1] if isinstance(out, tuple) else out
