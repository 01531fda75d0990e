"""Rectangles in images."""

import torch
from torch import Tensor


def boxes(first: Tensor, sides: Tensor, size: tuple[int, int]) -> Tensor:
    """True inside of one rectangle an image, cut off at the border: (B, 1, H, W).

    Args:
        first: the first row and the first column of each, (2, B); may lie outside.
        sides: their heights and widths, (2, B).
        size: height and width of the images.
    """
    rows, columns = (
        (torch.arange(n, device=start.device) >= start[:, None])
        & (torch.arange(n, device=start.device) < (start + side)[:, None])
        for n, start, side in zip(size, first, sides, strict=True)
    )
    return rows[:, None, :, None] & columns[:, None, None, :]


def random_pixels(count: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """Row and column of `count` pixels, each equally likely: (2, B)."""
    return torch.stack([torch.randint(n, (count,), device=device) for n in size])
