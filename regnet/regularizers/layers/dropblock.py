"""Dropout of contiguous regions of feature maps."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core import values
from .dropout import Dropout, inverted_bernoulli


class DropBlock(Dropout):
    """y = x m / mean(m) with m = 0 on squares of `block_size` pixels, at random in every map (Ghiasi et al. 2018).

    A square begins wherever it fits into the map with probability γ = r / b² · HW / ((H - b + 1) (W - b + 1)),
    equation 1, and squares overlap: so a little less than the share r is dropped. The mean, algorithm 1, is over the
    batch. torchvision's `drop_block2d`, where b is odd. A map no larger than the square is dropped as a whole.

    Args:
        rate: about the fraction dropped.
        block_size: b; 7 in the paper, for maps of 28 x 28 and smaller.

    Raises:
        ValueError: a rate or block_size out of range; in the forward pass an input that is no (B, C, H, W).
    """

    def __init__(self, rate: float = 0.1, block_size: int = 7) -> None:
        super().__init__(rate)
        self.block_size = values.whole(block_size, "block_size")

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"DropBlock needs feature maps (B, C, H, W), and these have shape {tuple(x.shape)}")
        return super().forward(x)

    def noise(self, x: Tensor) -> Tensor:
        batch, channels, *size = x.shape
        block = [min(self.block_size, length) for length in size]
        places = [length - side + 1 for length, side in zip(size, block, strict=True)]
        gamma = self.rate * (size[0] * size[1] / (block[0] * block[1] * places[0] * places[1]))
        begins = inverted_bernoulli(torch.Size([batch, channels, *places]), gamma, torch.float32) == 0
        margin = [block[1] - 1, block[1] - 1, block[0] - 1, block[0] - 1]
        keep = 1 - F.max_pool2d(F.pad(begins.float(), margin), block, stride=1)  # (B, C, H, W)
        least = 1 / max(keep.numel(), 1)  # where nothing is kept
        return (keep / keep.mean().clamp(min=least)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, block_size={self.block_size}"
