"""Batch transforms: (x, y) ─► (x, y), in training only, before the forward pass."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..exact import Exact
from . import hyperparameters


class BatchTransform(Exact):
    """A change of the training batch. Transforms run by `stage`: first inputs, then mixing, then targets."""

    INPUTS: ClassVar[int] = 0
    MIXING: ClassVar[int] = 1
    TARGETS: ClassVar[int] = 2
    stage: ClassVar[int]

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class ShiftFlip(BatchTransform):
    """Each image moved by up to `shift` pixels along both axes (zeros come in), mirrored with probability ½.

    The standard augmentation of small images (He et al. 2016, section 4.2: pad, random crop, flip).
    """

    stage = BatchTransform.INPUTS

    def __init__(self, shift: int = 0, flip: bool = False) -> None:
        super().__init__()
        if not isinstance(shift, int) or isinstance(shift, bool) or shift < 0:
            raise ValueError(f"shift must be a whole number of pixels >= 0, got {shift!r}")
        self.shift, self.flip = shift, flip

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        batch, _, height, width = x.shape  # (B, C, H, W)
        moves = torch.randint(2 * self.shift + 1, (2, batch, 1), device=x.device)
        rows = torch.arange(height, device=x.device).expand(batch, -1)  # (B, H)
        columns = torch.arange(width, device=x.device).expand(batch, -1)  # (B, W)
        if self.flip:
            mirrored = torch.randint(2, (batch, 1), device=x.device, dtype=torch.bool)
            columns = torch.where(mirrored, columns.flip(1), columns)
        padded = F.pad(x, [self.shift] * 4)
        samples = torch.arange(batch, device=x.device)[:, None, None]
        rows, columns = (rows + moves[0])[:, :, None], (columns + moves[1])[:, None, :]
        return padded[samples, :, rows, columns].permute(0, 3, 1, 2), y  # (B, H, W, C) back to (B, C, H, W)


class FeatureNoise(BatchTransform):
    """x + noise · σ_j · ε with ε ~ N(0, 1) and σ_j the standard deviation of feature j in the batch.

    Missing values (NaN) stay missing, and count for no σ_j.
    """

    stage = BatchTransform.INPUTS

    def __init__(self, noise: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("noise", hyperparameters.strength(noise, "noise"))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, ...)
        sigma = (x - x.nanmean(0)).square().nanmean(0).nan_to_num(0).sqrt()
        return x + self.noise * sigma * torch.randn_like(x), y


class PixelNoise(BatchTransform):
    """clip(x + σ ε, 0, 1) with ε ~ N(0, 1) for every value of an image in [0, 1], σ = `strength` >= 0."""

    stage = BatchTransform.INPUTS

    def __init__(self, strength: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W)
        return (x + self.strength * torch.randn_like(x)).clamp(0, 1), y


class Mixup(BatchTransform):
    """x̃ = m x + (1 - m) x', ỹ = m y + (1 - m) y', with (x', y') a permutation of the batch (Zhang et al. 2018).

    m ~ Beta(α, α), one draw a batch, α = `strength`; α = 0 is no mixing. Class targets become
    probabilities (B, C); real targets (`num_classes` None) are mixed as they are.
    """

    stage = BatchTransform.MIXING

    def __init__(self, strength: float, num_classes: int | None = None) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.num_classes = num_classes

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        y = y if self.num_classes is None else probabilities(y, self.num_classes)
        # Beta(α, α) as gammas; for α below 0.01 a float32 gamma underflows to 0/0
        alpha = self.strength.float().clamp(min=0.01)  # no gamma in half precision
        share = torch.distributions.Beta(alpha, alpha, validate_args=False).sample()
        share = torch.where(self.strength > 0, share, 1.0).to(x.dtype)
        order = torch.randperm(len(x), device=x.device)
        return torch.lerp(x[order], x, share), torch.lerp(y[order], y, share.to(y.dtype))


class LabelSmoothing(BatchTransform):
    """ỹ = (1 - ε) y + ε / C (Szegedy et al. 2016, section 7), ε = `smoothing` in [0, 1).

    With cross-entropy it is exactly `F.cross_entropy(..., label_smoothing=ε)`; it also smooths mixed targets.
    """

    stage = BatchTransform.TARGETS

    def __init__(self, smoothing: float = 0.1, num_classes: int | None = None) -> None:
        super().__init__()
        if num_classes is None:
            raise ValueError("label smoothing needs classes, and this is a regression task")
        self.register_buffer("smoothing", hyperparameters.rate(smoothing, "smoothing"))
        self.num_classes = num_classes

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        y = probabilities(y, self.num_classes)
        return x, (1 - self.smoothing) * y + self.smoothing / self.num_classes


def probabilities(y: Tensor, num_classes: int) -> Tensor:
    """Class indices (B,) as one-hot float32 rows (B, C); rows that are probabilities already stay as they are."""
    return y if y.is_floating_point() else F.one_hot(y, num_classes).float()
