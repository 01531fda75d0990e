"""What residual networks are made of: a sum of shortcut and branches, and its places for random layers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mlp import Site


class Mean(nn.Module):
    """The mean of stacked branches: what stands at the site `shake_shake` where nothing is chosen."""

    def forward(self, branches: Tensor) -> Tensor:  # (branches, B, ...) ─► (B, ...)
        return branches.mean(0)


class Residual(nn.Module):
    """y = shortcut(x) + drop_path(shake_shake(branches of x)).

    Args:
        branches: one or several, of the same shape.
        shortcut: from the inputs' shape to that of the branches.
        drop_path: makes the module behind the branch.
        shake_shake: makes the module that combines the stacked branches (branches, B, ...).
    """

    def __init__(
        self,
        branches: Sequence[nn.Module],
        shortcut: nn.Module,
        drop_path: Site = nn.Identity,
        shake_shake: Site = Mean,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.combine = shake_shake()
        self.drop_path = drop_path()
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([branch(x) for branch in self.branches])
        return self.shortcut(x) + self.drop_path(self.combine(branches))


class Pad(nn.Module):
    """Every `stride`-th pixel, and zeros for new channels: the shortcut of type A (He et al. 2016, section 3.3)."""

    def __init__(self, stride: int, channels: int) -> None:
        super().__init__()
        self.stride, self.channels = stride, channels

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) ─► (B, C + channels, ⌈H / stride⌉, ⌈W / stride⌉)
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.channels))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, channels={self.channels}"
