"""Pictures that are on every machine: scikit-learn's digits and photographs."""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor
from torch.nn.functional import interpolate, pad


@cache
def digits(n: int) -> Tensor:
    """(n, 1, 28, 28) in [0, 1], as in MNIST: the digit in the middle 20 x 20, and most pixels black or white."""
    small = torch.tensor(load_digits().images[:n, None] / 16, dtype=torch.float32)
    large = interpolate(small, (20, 20), mode="bicubic")
    return pad((0.5 + 4 * (large - 0.6)).clamp(0, 1), (4,) * 4)


@cache
def photos(n: int, side: int) -> Tensor:
    """(n, 3, side, side) in [0, 1], cuttings of two photographs at random places and sizes."""
    draw, both = np.random.default_rng(0), load_sample_images().images
    found = []
    for i in range(n):
        photo = torch.tensor(both[i % 2]).movedim(2, 0)[None].float() / 255
        size = int(draw.integers(max(100, side), 400))
        top, left = (int(draw.integers(0, extent - size)) for extent in photo.shape[2:])
        cutting = photo[..., top : top + size, left : left + size]
        found.append(interpolate(cutting, (side, side), mode="bilinear", antialias=True))
    return torch.cat(found).clamp(0, 1)
