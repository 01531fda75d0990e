"""Digital: contrast, pixelation and JPEG. The constants have the sources that `noise.py` names."""

import math

import torch
from torch import Tensor

from .base import ImageCorruption, published
from .draws import Draws
from .filters import separable
from .jpeg import jpeg


class Contrast(ImageCorruption):
    """c (x - μ) + μ, μ the mean of each channel (Hendrycks and Dietterich 2019)."""

    _strong = (0.4, 0.3, 0.2, 0.1, 0.05)
    constants = published(_strong, cifar=(0.75, 0.5, 0.4, 0.3, 0.15))

    def corrupted(self, x: Tensor, setting: float, unit: float, draws: Draws) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return setting * (x - mean) + mean


class Pixelate(ImageCorruption):
    """x at c times its size and back, both by means over areas (Hendrycks and Dietterich 2019).

    Boxes are 1 / c pixels wide. Published code has int(c n) boxes, and gives a pixel whole to one of them: the same
    where they hold whole pixels.
    """

    _strong = (0.6, 0.5, 0.4, 0.3, 0.25)
    constants = published(_strong, cifar=(0.95, 0.9, 0.85, 0.75, 0.65))

    def corrupted(self, x: Tensor, setting: float, unit: float, draws: Draws) -> Tensor:
        return separable(x, *(_pixelated(n, 1 / setting) for n in x.shape[2:]))


class JPEG(ImageCorruption):
    """x as a JPEG of quality q (Hendrycks and Dietterich 2019): `jpeg.jpeg`."""

    _strong = (25, 18, 15, 10, 7)
    constants = published(_strong, cifar=(80, 65, 58, 50, 40))

    def corrupted(self, x: Tensor, setting: int, unit: float, draws: Draws) -> Tensor:
        return jpeg(x, setting)


def _pixelated(n: int, wide: float) -> Tensor:
    """(n, n) that puts means over boxes into n pixels: each takes those of the boxes that it lies in, by its parts."""
    pixel = torch.arange(n + 1, dtype=torch.float64)
    box = (torch.arange(math.ceil(n / wide - 1e-9) + 1) * wide).clamp(max=n)
    start = torch.maximum(pixel[:-1, None], box[:-1])
    inside = (torch.minimum(pixel[1:, None], box[1:]) - start).clamp(min=0)  # (n, boxes)
    return inside @ (inside / inside.sum(0)).T
