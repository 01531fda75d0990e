"""Random numbers of each example: a function of the seed, of a name and of the example's index, not of the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.keyed import Keyed
from ..core.seeds import derive


class Draws:
    """Streams of numbers, one for each of B examples.

    Args:
        index: int64 (B,), which examples of the data these are.
    """

    def __init__(self, seed: int, index: Tensor, *names: object) -> None:
        self.seed, self.index, self.names = seed, index, names

    def named(self, *names: object) -> Draws:
        """Other streams, independent of these."""
        return Draws(self.seed, self.index, *self.names, *names)

    def of(self, chosen: Tensor) -> Draws:
        """The streams of the chosen examples, bool (B,)."""
        return Draws(self.seed, self.index[chosen], *self.names)

    def uniform(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """u ~ U[0, 1), (B, *shape). The same each time."""
        return torch.vmap(lambda key: Keyed(key).uniform(shape, dtype))(self._keys())

    def normal(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """ε ~ N(0, 1), (B, *shape). The same each time."""
        return torch.vmap(lambda key: Keyed(key).normal(shape, dtype))(self._keys())

    def _keys(self) -> Tensor:
        return self.index + derive(self.seed, *self.names)
