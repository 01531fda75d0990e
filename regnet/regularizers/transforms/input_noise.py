"""Gaussian noise on the inputs."""

import torch
from torch import Tensor

from ...core import hyperparameters
from .base import BatchTransform


class FeatureNoise(BatchTransform):
    """x + noise · σ_j · ε with ε ~ N(0, 1) and σ_j the standard deviation of feature j in the batch.

    Missing values (NaN) stay missing, and count for no σ_j.
    """

    stage = BatchTransform.INPUTS

    def __init__(self, noise: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("noise", hyperparameters.strength(noise, "noise"))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, ...)
        return x + self.noise * spread(x) * torch.randn_like(x), y


class PixelNoise(BatchTransform):
    """clip(x + σ ε, 0, 1) with ε ~ N(0, 1) for every value of an image in [0, 1], σ = `strength` >= 0."""

    stage = BatchTransform.INPUTS

    def __init__(self, strength: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W)
        return (x + self.strength * torch.randn_like(x)).clamp(0, 1), y


class InputNoise(BatchTransform):
    """x + λ s ε with ε ~ N(0, 1), λ = `strength` >= 0: s = 1 for images in [0, 1], the feature's σ_j for other samples.

    σ_j is that of `FeatureNoise`. Under a squared error small noise acts as a penalty on the slope (Bishop 1995,
    section 2), as its mean is 0: so images are not clipped. `PixelNoise` clips, which makes every black pixel brighter,
    by λ / √(2π) on average, in training alone.
    """

    stage = BatchTransform.INPUTS

    def __init__(self, strength: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, ...)
        scale = 1.0 if x.ndim == 4 else spread(x)
        return x + self.strength * scale * torch.randn_like(x), y


def spread(x: Tensor) -> Tensor:
    """The standard deviation of each feature in the batch, over the values that are not missing."""
    return (x - x.nanmean(0)).square().nanmean(0).nan_to_num(0).sqrt()
