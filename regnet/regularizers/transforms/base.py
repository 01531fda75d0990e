"""Batch transforms: (x, y) ─► (x, y), in training only, before the forward pass."""

from typing import ClassVar

from torch import Tensor

from ...core.exact import Exact


class BatchTransform(Exact):
    """A change of the training batch. Transforms run by `stage`: first inputs, then mixing, then targets.

    Those of one stage run in the order in which they were chosen. The batch may be a view of the data, so
    none changes it in place. All draws come from torch's global generator.
    """

    INPUTS: ClassVar[int] = 0
    MIXING: ClassVar[int] = 1
    TARGETS: ClassVar[int] = 2
    stage: ClassVar[int]

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def image_size(x: Tensor) -> tuple[int, int]:
    """Height and width of a batch of images (B, C, H, W). Raises ValueError for other samples."""
    if x.ndim != 4:
        raise ValueError(f"this is for images (C, H, W), and these samples have shape {tuple(x.shape[1:])}")
    return x.shape[2], x.shape[3]
