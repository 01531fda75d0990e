"""Random numbers of examples, each of which has a stream of its own."""

import torch
from torch import Tensor

from ..core.seeds import derive


class Draws:
    """Random numbers for the B examples `first`, `first` + 1, ... of a data set.

    Those of example i follow from (seed, kind, i), whatever the size of the batch, the precision and the device. They
    do not depend on the severity: a severer corruption of an example is more of the same.
    """

    def __init__(self, seed: int, kind: str, first: int, like: Tensor) -> None:  # like (B, ...)
        examples = range(first, first + len(like))
        self._generators = [torch.Generator().manual_seed(derive(seed, kind, i)) for i in examples]
        self._like = like

    def uniform(self, *shape: int) -> Tensor:  # (B, *shape) in [0, 1)
        rows = torch.empty(len(self._generators), *shape)
        for row, generator in zip(rows.unbind(), self._generators, strict=True):
            row.uniform_(generator=generator)
        return rows.to(self._like)

    def normal(self, *shape: int) -> Tensor:  # (B, *shape)
        rows = torch.empty(len(self._generators), *shape)
        for row, generator in zip(rows.unbind(), self._generators, strict=True):
            row.normal_(generator=generator)
        return rows.to(self._like)

    def poisson(self, rate: Tensor) -> Tensor:  # (B, ...), of the shape of rate
        counts = torch.empty(rate.shape, dtype=torch.float64)
        for count, mean, generator in zip(counts.unbind(), rate.double().cpu().unbind(), self._generators, strict=True):
            count.copy_(torch.poisson(mean, generator=generator))
        return counts.to(self._like)

    def sign(self, *shape: int) -> Tensor:  # (B, *shape) of -1 and 1
        return 1 - 2 * (self.uniform(*shape) < 0.5).to(self._like.dtype)

    def whole(self, least: int, beyond: int, *shape: int) -> Tensor:  # (B, *shape) of least, ..., beyond - 1
        return least + (self.uniform(*shape) * (beyond - least)).floor()
