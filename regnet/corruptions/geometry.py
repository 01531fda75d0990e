"""Geometry: where the pixels are."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from .base import ImageCorruption, published
from .draws import Draws
from .filters import gaussian

# The affine kinds are those of `corruptions.py` of google-research/mnist-c, whose constants are for 28 px.


class Affine(ImageCorruption):
    """x'(p) = x(A (p - m) + m + t), with m the middle of the image; bilinear, and black beyond the border."""

    def corrupted(self, x: Tensor, setting: float, unit: float, draws: Draws) -> Tensor:
        matrix, shift = self.inverse(setting, unit, draws)
        return sample(x, matrix.double(), shift.double(), "zeros")

    @abstractmethod
    def inverse(self, setting: float, unit: float, draws: Draws) -> tuple[Tensor, Tensor]:
        """A (B, 2, 2) and t (B, 2), of columns (right) and rows (down)."""


class Shear(Affine):
    """A = ((1, -sin s), (0, cos s)), s with a random sign (Mu and Gilmer 2019: scikit-image's shear of that time)."""

    constants = published((0.2, 0.4, 0.6, 0.8, 1.0))

    def inverse(self, setting: float, unit: float, draws: Draws) -> tuple[Tensor, Tensor]:
        angle = setting * draws.sign()
        one, zero = torch.ones_like(angle), torch.zeros_like(angle)
        return _matrix(one, -angle.sin(), zero, angle.cos()), torch.stack([zero, zero], 1)


class Scale(Affine):
    """A = 1 / s: the image is s times as large, s < 1 (Mu and Gilmer 2019)."""

    constants = published((0.9, 0.8, 0.7, 0.6, 0.5))

    def inverse(self, setting: float, unit: float, draws: Draws) -> tuple[Tensor, Tensor]:
        factor = torch.full_like(draws.sign(), 1 / setting)
        zero = torch.zeros_like(factor)
        return _matrix(factor, zero, zero, factor), torch.stack([zero, zero], 1)


class Rotate(Affine):
    """A = ((cos φ, -sin φ), (sin φ, cos φ)), φ in radians with a random sign (Mu and Gilmer 2019)."""

    constants = published((0.2, 0.4, 0.6, 0.8, 1.0))

    def inverse(self, setting: float, unit: float, draws: Draws) -> tuple[Tensor, Tensor]:
        angle = setting * draws.sign()
        zero = torch.zeros_like(angle)
        return _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos()), torch.stack([zero, zero], 1)


class Translate(Affine):
    """t = (±d, ±d) with random signs (Mu and Gilmer 2019)."""

    constants = published((1, 2, 3, 4, 5))

    def inverse(self, setting: float, unit: float, draws: Draws) -> tuple[Tensor, Tensor]:
        shift = setting * unit * draws.sign(2)
        return torch.eye(2).to(shift).expand(len(shift), 2, 2), shift


class Elastic(ImageCorruption):
    """x'(p) = x(M⁻¹(p + α u(p))): an affine map M, and random shifts u smoothed (Simard et al. 2003).

    u is uniform in [-1, 1]² at each pixel and then convolved with a Gaussian of standard deviation σ. M takes three
    points about the middle to points that are off by up to a in each direction. Settings: (α, σ, a), as parts of the
    image's side. Bilinear once, where published code interpolates twice; beyond the border the image is mirrored.
    Settings are in order of their effect, which published ones are not: 3 4 1 5 2, then 5 4 3 2 1, and 3 4 5 1 2.
    """

    constants = published(
        ((0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (2, 0.7, 0.1), (0.12, 0.01, 0.02), (2, 0.08, 0.2)),
        cifar=((0.1, 0.03, 0.03), (0.1, 0.04, 0.05), (0.08, 0.06, 0.06), (0.05, 0.2, 0.07), (0, 0, 0.08)),
        imagenet=((0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02), (2, 0.7, 0.1), (2, 0.08, 0.2)),
    )

    def corrupted(self, x: Tensor, setting: tuple[float, float, float], unit: float, draws: Draws) -> Tensor:
        height, width = x.shape[2:]
        side = min(height, width)
        strength, sigma, off = (part * side for part in setting)
        arm = side // 3
        corners = torch.tensor([[arm, arm], [arm, -arm], [-arm, -arm]], dtype=torch.float64).to(x.device)
        corners = corners + torch.tensor([width // 2 - (width - 1) / 2, height // 2 - (height - 1) / 2]).to(corners)
        moved = corners + off * (2 * draws.uniform(3, 2).double() - 1)  # (B, 3, 2)
        inverse = torch.linalg.solve(torch.cat([moved, torch.ones_like(moved[..., :1])], 2), corners)  # (B, 3, 2)
        shifts = strength * gaussian(2 * draws.uniform(2, height, width) - 1, sigma, "reflect", truncate=3)
        return sample(x, inverse[:, :2].mT, inverse[:, 2], "reflection", shifts)


def sample(x: Tensor, matrix: Tensor, shift: Tensor, beyond: str, shifts: Tensor | None = None) -> Tensor:
    """x'(p) = x(A (p + d(p) - m) + m + t), bilinear: x (B, C, H, W), A (B, 2, 2), t (B, 2), d (B, 2, H, W) or 0."""
    height, width = x.shape[2:]
    right, down = (torch.arange(n, device=x.device, dtype=x.dtype) - (n - 1) / 2 for n in (width, height))
    u, v = right.expand(len(x), height, width), down[:, None].expand(len(x), height, width)
    if shifts is not None:
        u, v = u + shifts[:, 0], v + shifts[:, 1]
    a, t = matrix.to(x.dtype)[:, :, :, None, None], shift.to(x.dtype)[:, :, None, None]
    columns, rows = (a[:, i, 0] * u + a[:, i, 1] * v + t[:, i] for i in (0, 1))
    grid = torch.stack([columns * (2 / (width - 1)), rows * (2 / (height - 1))], 3)
    return grid_sample(x, grid, mode="bilinear", padding_mode=beyond, align_corners=True)


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:  # each (B,) ─► (B, 2, 2)
    return torch.stack([a, b, c, d], 1).view(-1, 2, 2)
