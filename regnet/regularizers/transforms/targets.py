"""Changes of the targets."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core import hyperparameters
from ...core.exact import at_precision_of, wide
from .base import BatchTransform


class LabelSmoothing(BatchTransform):
    """ỹ = (1 - ε) y + ε / C (Szegedy et al. 2016, section 7), ε = `smoothing` in [0, 1).

    With cross-entropy it is exactly `F.cross_entropy(..., label_smoothing=ε)`; it also smooths mixed targets.
    """

    stage = BatchTransform.TARGETS

    def __init__(self, smoothing: float = 0.1, num_classes: int | None = None) -> None:
        super().__init__()
        if num_classes is None:
            raise ValueError("label smoothing needs classes, and this is a regression task (num_classes=None)")
        self.register_buffer("smoothing", hyperparameters.rate(smoothing, "smoothing"))
        self.num_classes = num_classes

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        y = probabilities(y, self.num_classes, wide(x).dtype)
        smoothing = at_precision_of(y, self.smoothing)
        return x, (1 - smoothing) * y + smoothing / self.num_classes


def probabilities(y: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Class indices (B,) as one-hot rows (B, C); rows that are probabilities already stay as they are."""
    return y if y.is_floating_point() else F.one_hot(y, num_classes).to(dtype)
