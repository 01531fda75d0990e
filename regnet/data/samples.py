"""What every source loads: inputs and targets side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Subset

if TYPE_CHECKING:
    from .description import Description


class LazyImages(Protocol):
    """Images too large for memory, decoded when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Tensor: ...  # uint8 (C, H, W)


@dataclass(frozen=True)
class Samples:
    """N inputs and their targets.

    Args:
        x: images as uint8 (N, C, H, W) in [0, 255], or float32 in [0, 1]; or features as float32 (N, F),
            where NaN is a missing value; or whole numbers as int64 or int32 (N, ...), such as tokens, which stay whole
            numbers; or `LazyImages` of length N.
        y: (N,), int64 class indices or float32 values.
    """

    x: Tensor | LazyImages
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]

    def __add__(self, other: Samples) -> Samples:
        """These samples, then the others."""
        y = torch.cat([self.y, other.y])
        if isinstance(self.x, Tensor) and isinstance(other.x, Tensor):
            return Samples(torch.cat([self.x, other.x]), y)
        both: list[Any] = [self.x, other.x]  # torch names its own class for what it only indexes
        return Samples(ConcatDataset(both), y)

    @property
    def lazy(self) -> bool:
        return not isinstance(self.x, Tensor)

    @property
    def tensor(self) -> Tensor:
        """`x` of samples that are not `lazy`. Raises TypeError of those that are."""
        if not isinstance(self.x, Tensor):
            raise TypeError("lazy images are no tensor")
        return self.x

    def subset(self, index: Tensor) -> Samples:
        """The samples at `index`, int64 (n,), in that order."""
        if isinstance(self.x, Tensor):
            return Samples(self.x[index], self.y[index])
        images: Any = self.x
        return Samples(Subset(images, index.tolist()), self.y[index])

    def first(self, n: int | None) -> Samples:
        """The first `n`, in the same memory; None for all."""
        if isinstance(self.x, Tensor):
            return Samples(self.x[:n], self.y[:n])
        return self.subset(torch.arange(len(self))[:n])


@dataclass(frozen=True)
class Dataset:
    """All that a source knows.

    Args:
        test: the source's own test part, if it has one.
        classes: the name of each class; None for regression.
        features: the name of each column of a table; None for images.
        schema: of a csv file, what reads another file into the same columns; plain JSON.
        val: the source's own validation part, if it has one.
        notes: what looks odd about the data, a sentence each.
        description: of a csv file, what was made of its columns.
        input_module: what a network's inputs go through first; by default whole numbers go in as they are, and others
            are standardized by the training samples' moments.
        example: two inputs (2, ...) on which a network is tried before training; zeros by default.
    """

    samples: Samples
    test: Samples | None = None
    classes: Sequence[str] | None = None
    features: Sequence[str] | None = None
    schema: dict | None = None
    val: Samples | None = None
    notes: Sequence[str] = ()
    description: Description | None = None
    input_module: nn.Module | None = None
    example: Tensor | None = None

    def tried_on(self) -> Tensor:
        """The example, (2, ...)."""
        if self.example is not None:
            return self.example
        first = self.samples.x[0]
        dtype = torch.float32 if first.dtype == torch.uint8 else first.dtype
        return torch.zeros(2, *first.shape, dtype=dtype)

    def all(self) -> Samples:
        """The samples of all parts."""
        samples = self.samples
        for part in (self.val, self.test):
            if part is not None:
                samples = samples + part
        return samples
