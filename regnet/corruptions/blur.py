"""Blur. The constants have the sources that `noise.py` names."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from .base import ImageCorruption, published
from .draws import Draws
from .filters import convolved, gaussian, motion, zoom


class DefocusBlur(ImageCorruption):
    """x convolved with a disk of radius r, whose rim a small Gaussian σ softens (Hendrycks and Dietterich 2019).

    A disk is the pixels with u² + v² <= r² about its middle; border pixels are mirrored (d c b | a b c d). Settings:
    (r, σ), and the Gaussian reaches one pixel, two where r > 8. In MNIST-C's code, and not among its fifteen kinds.
    """

    _strong = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
    constants = published(
        _strong,
        cifar=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    )

    def corrupted(self, x: Tensor, setting: tuple[float, float], unit: float, draws: Draws) -> Tensor:
        radius, softness = setting
        return convolved(x, _scaled(_disk(radius, softness, reach=1 if radius <= 8 else 2), unit))


class GlassBlur(ImageCorruption):
    """Pixels change places with near ones, between two Gaussian blurs (Hendrycks and Dietterich 2019: frosted glass).

    Settings: (σ, d, n, share). n times a share of the pixels p take the value at p + δ, δ uniform in {-d, ..., d - 1}²,
    all at once. Published code goes from pixel to pixel: in MNIST-C one changes places with another or not, with equal
    chances, and a share of 0.6 has the same effect; in CIFAR-10-C and ImageNet-C each is overwritten. The settings of
    these two are in order of their effect, which published ones are not: 3 2 1 5 4 and 2 1 4 3 5.
    """

    constants = published(
        ((0.7, 1, 2, 0.6), (0.9, 2, 1, 0.6), (1, 2, 3, 0.6), (1.1, 3, 2, 0.6), (1.5, 4, 2, 0.6)),
        cifar=((0.4, 1, 1, 1), (0.25, 1, 1, 1), (0.05, 1, 1, 1), (0.4, 1, 2, 1), (0.25, 1, 2, 1)),
        imagenet=((0.9, 2, 1, 1), (0.7, 1, 2, 1), (1.1, 3, 2, 1), (1, 2, 3, 1), (1.5, 4, 2, 1)),
    )

    def corrupted(self, x: Tensor, setting: tuple[float, int, int, float], unit: float, draws: Draws) -> Tensor:
        sigma, far, rounds = setting[0] * unit, setting[1] * unit, setting[2]
        reach = math.ceil(far)
        share = setting[3] * far / reach
        height, width = x.shape[2:]
        rows, columns = (torch.arange(n, device=x.device) for n in (height, width))
        out = gaussian(x, sigma)
        for _ in range(rounds):
            u = draws.uniform(3, height, width)
            down, right = ((2 * reach * u[:, :2]).floor() - reach).long().where(u[:, 2:] < share, 0).unbind(1)
            place = (rows[:, None] + down).clamp(0, height - 1) * width + (columns + right).clamp(0, width - 1)
            out = out.flatten(2).gather(2, place.flatten(1)[:, None].expand_as(out.flatten(2))).view_as(x)
        return gaussian(out, sigma)


class MotionBlur(ImageCorruption):
    """x blurred along a line at an angle uniform in [-45°, 45°] (Hendrycks and Dietterich 2019): `filters.motion`.

    Settings: (radius, σ).
    """

    _strong = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
    constants = published(_strong, cifar=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)))

    def corrupted(self, x: Tensor, setting: tuple[float, float], unit: float, draws: Draws) -> Tensor:
        angle = math.radians(90) * draws.uniform() - math.radians(45)
        return motion(x, setting[0] * unit, setting[1] * unit, angle)


class ZoomBlur(ImageCorruption):
    """The mean of x and of x enlarged 1, 1 + step, ..., < limit times (Hendrycks and Dietterich 2019).

    Settings: (limit, step). Enlarged about the middle exactly: published code enlarges a cutting of whole pixels.
    """

    _strong = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
    constants = published(
        _strong,
        cifar=((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    )

    def corrupted(self, x: Tensor, setting: tuple[float, float], unit: float, draws: Draws) -> Tensor:
        limit, step = setting
        factors = torch.arange(1, limit, step, dtype=torch.float64).tolist()
        return (x + sum(zoom(x, factor) for factor in factors)) / (len(factors) + 1)


def _disk(radius: float, softness: float, reach: int) -> Tensor:  # (2n + 1, 2n + 1), n = ⌊radius⌋ + reach
    along = torch.arange(-math.floor(radius) - reach, math.floor(radius) + reach + 1, dtype=torch.float64)
    disk = (along[:, None].square() + along.square() <= radius**2).double()
    return gaussian(disk[None], softness, "constant", truncate=reach / softness)[0]


def _scaled(kernel: Tensor, unit: float, fineness: int = 8) -> Tensor:
    """The kernel (2n + 1, 2n + 1) on pixels that are 1 / unit as wide: its mean over points in each; of sum 1."""
    n = len(kernel) // 2
    m = math.ceil((n + 0.5) * unit - 0.5)
    points = (torch.arange((2 * m + 1) * fineness, dtype=torch.float64) + 0.5) / fineness - m - 0.5
    place = ((points / unit).round().long() + n + 1).clamp(0, 2 * n + 2)
    fine = pad(kernel, (1,) * 4)[place][:, place]
    coarse = fine.view(2 * m + 1, fineness, 2 * m + 1, fineness).mean((1, 3))
    return coarse / coarse.sum()
