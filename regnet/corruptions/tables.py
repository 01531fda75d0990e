"""Corruptions of the rows of tables. Their constants are regnet's: no benchmark of tables is as settled as MNIST-C."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from ..core.values import one_of, whole
from .base import SEVERITIES
from .draws import Draws


class TableCorruption(ABC):
    """(rows, severity, standard deviations, random numbers) ─► rows of the same shape."""

    constants: tuple[float, ...]  # of the severities 1 to 5

    def __call__(self, x: Tensor, severity: int, scale: Tensor, draws: Draws) -> Tensor:
        """(B, F), severity from 1 to 5, (F,) ─► (B, F)."""
        return self.corrupted(x, self.constants[severity - 1], scale, draws)

    @abstractmethod
    def corrupted(self, x: Tensor, setting: float, scale: Tensor, draws: Draws) -> Tensor: ...


class FeatureNoise(TableCorruption):
    """x_j + c σ_j ε, ε ~ N(0, 1), σ_j the standard deviation of feature j; missing values stay missing."""

    constants = (0.1, 0.25, 0.5, 0.75, 1.0)

    def corrupted(self, x: Tensor, setting: float, scale: Tensor, draws: Draws) -> Tensor:
        return x + setting * scale * draws.normal(x.shape[1])


class MissingValues(TableCorruption):
    """Each value is missing (NaN) with probability c; regnet's networks take the feature's mean for it."""

    constants = (0.05, 0.1, 0.2, 0.35, 0.5)

    def corrupted(self, x: Tensor, setting: float, scale: Tensor, draws: Draws) -> Tensor:
        return x.masked_fill(draws.uniform(x.shape[1]) < setting, torch.nan)


TABLE_CORRUPTIONS: Mapping[str, TableCorruption] = MappingProxyType(
    {"feature_noise": FeatureNoise(), "missing_values": MissingValues()}
)


@torch.no_grad()
def corrupt_table(x: Tensor, kind: str, severity: int, scale: Tensor, seed: int = 0, first: int = 0) -> Tensor:
    """Rows (B, F), corrupted.

    Args:
        x: float32 or float64, NaN where a value is missing.
        kind: of `TABLE_CORRUPTIONS`.
        severity: from 1 to 5; 0 for x as it is.
        scale: (F,), the standard deviation of each feature, of the training samples: not of x, whose rows may be few.
        seed: of the random numbers; those of row i follow from the seed, the kind and `first` + i.
        first: the index of the first row among all of the data.

    Raises:
        ValueError: one of these is not so.

    >>> x = torch.tensor([[1.0, 20.0], [2.0, 30.0]])
    >>> corrupt_table(x, "feature_noise", severity=1, scale=torch.tensor([0.0, 5.0])).shape
    torch.Size([2, 2])
    """
    one_of(kind, "kind", TABLE_CORRUPTIONS)
    whole(severity, "severity", least=0, most=SEVERITIES[-1])
    whole(first, "first", least=0)
    if x.ndim != 2 or x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"x must be a table (B, F) of float32 or float64, got {[*x.shape]} of {x.dtype}")
    if scale.shape != x.shape[1:] or not (scale >= 0).all() or scale.isinf().any():
        raise ValueError(f"scale must be {x.shape[1]} finite numbers >= 0, one for each feature, got {scale.tolist()}")
    if severity == 0:
        return x.clone()
    return TABLE_CORRUPTIONS[kind](x, severity, scale.to(x), Draws(seed, kind, first, x))
