"""Batch transforms: (x, y, objective) ─► (x, y), in training only, before the forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from ...core.exact import Exact


class SeenObjective(Protocol):
    """What a transform sees of the objective that is trained: its network, and by a call its named terms.

    ``objective(x, y)["loss"]`` is the data loss, a mean over the batch; the sum of all terms is what is minimized.
    Each call is a pass in training: layers draw, and batch norm counts it.
    """

    @property
    def network(self) -> nn.Module: ...

    def __call__(self, x: Tensor, y: Tensor) -> Mapping[str, Tensor]: ...


class BatchTransform(Exact):
    """A change of the training batch. Transforms run by `stage`: first inputs, then mixing, then targets.

    Those of one stage run in the order in which they were chosen. The batch may be a view of the data, so
    none changes it in place. All draws come from torch's global generator.

    A subclass defines ``forward(x, y)``. One that needs the objective, such as an adversarial example, sets
    `of_objective` and defines ``forward(x, y, objective)``; gradients are enabled there, and ``torch.autograd.grad``
    takes that by x without adding to those of the weights.
    """

    INPUTS: ClassVar[int] = 0
    MIXING: ClassVar[int] = 1
    TARGETS: ClassVar[int] = 2
    stage: ClassVar[int] = INPUTS
    of_objective: ClassVar[bool] = False  # whether `forward` takes the objective as well

    def __call__(self, x: Tensor, y: Tensor, objective: SeenObjective | None = None) -> tuple[Tensor, Tensor]:
        """Raises ValueError where the objective is needed and not given."""
        if not self.of_objective:
            return super().__call__(x, y)
        if objective is None:
            raise ValueError(f"{type(self).__name__} needs the objective: call it with (x, y, objective)")
        with torch.enable_grad():
            x, y = super().__call__(x, y, objective)
        return x.detach(), y.detach()


def image_size(x: Tensor) -> tuple[int, int]:
    """Height and width of a batch of images (B, C, H, W). Raises ValueError for other samples."""
    if x.ndim != 4:
        raise ValueError(f"this is for images (C, H, W), and these samples have shape {tuple(x.shape[1:])}")
    return x.shape[2], x.shape[3]
