"""The standard augmentation of small images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core import values
from .base import BatchTransform, image_size


class ShiftFlip(BatchTransform):
    """Each image moved by up to `shift` pixels along both axes (zeros come in), mirrored with probability ½.

    The standard augmentation of small images (He et al. 2016, section 4.2: pad, random crop, flip).
    """

    stage = BatchTransform.INPUTS

    def __init__(self, shift: int = 0, flip: bool = False) -> None:
        super().__init__()
        self.shift, self.flip = values.whole(shift, "shift", 0), values.flag(flip, "flip")

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W)
        height, width = image_size(x)
        batch = len(x)
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
