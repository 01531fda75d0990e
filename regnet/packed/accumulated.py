"""What a Trainer does to gradients before an optimizer's step, for K networks: adds them up and clips them."""

from collections.abc import Mapping

import torch
from torch import Tensor

Tensors = dict[str, Tensor]


class Accumulated:
    """The mean of the gradients of `batches` batches, of each network since its last step.

    Args:
        params: (K, *shape) by name.
    """

    def __init__(self, params: Tensors, batches: int) -> None:
        self.batches = batches
        self.sums = {name: torch.zeros_like(p) for name, p in params.items()}

    def keep(self, index: Tensor) -> None:
        self.sums = {name: total[index.to(total.device)] for name, total in self.sums.items()}

    def add(self, rows: slice, grads: Tensors) -> None:
        for name, gradient in grads.items():
            self.sums[name][rows].add_(gradient, alpha=1 / self.batches)

    def take(self, rows: slice) -> Tensors:
        """For a step, after which they begin anew."""
        taken = {name: total[rows].clone() for name, total in self.sums.items()}
        for total in self.sums.values():
            total[rows].zero_()
        return taken


def clip(grads: Mapping[str, Tensor], most: float) -> None:
    """`torch.nn.utils.clip_grad_norm_` of each network: g ← g min(1, most / (||g||_2 + 1e-6))."""
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in grads.values()])
    factors = (most / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)  # (K,)
    for gradient in grads.values():
        gradient.mul_(factors.view(-1, *(1 for _ in gradient.shape[1:])))
