"""Penalties of derivatives by the inputs: means over the batch of squared norms.

A sample's derivative is taken from a sum over the batch, so batch norm, through which its output depends on the
other samples, adds their part to it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ...core import hyperparameters, values
from ...core.exact import at_precision_of, wide
from .weights import Penalty, total


class InputPenalty(Penalty):
    """A penalty that differentiates by x, and is itself differentiated by the weights: double backpropagation.

    x is that of the batch, such as pixels in [0, 1]: the network standardizes it by itself.

    Args:
        strength: λ >= 0.
    """

    of_inputs = True

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))


class Jacobian(InputPenalty):
    """λ ||∂z/∂x||²_F, z the outputs (Hoffman et al. 2019; no ½).

    Args:
        strength: λ >= 0.
        projections: n random directions v, uniform on the sphere of R^C, estimate it for each sample without bias as
            C/n Σ_v ||∂(v·z)/∂x||² (their algorithm 1); None is exact, and takes C backward passes.
    """

    def __init__(self, strength: float, projections: int | None = 1) -> None:
        super().__init__(strength)
        self.projections = None if projections is None else values.whole(projections, "projections")

    def forward(self, network: nn.Module, x: Tensor, logits: Tensor, **_: Any) -> Tensor:  # (B, ...), (B, C)
        squares = total(_square(logits, x, v) for v in self._directions(logits))
        return at_precision_of(squares, self.strength) * squares / len(x)

    def _directions(self, logits: Tensor) -> Tensor:  # (n, B, C), each of norm √(C/n)
        count = logits.shape[1]
        if self.projections is None:
            return torch.eye(count, dtype=logits.dtype, device=logits.device)[:, None].expand(-1, *logits.shape)
        v = torch.randn(self.projections, *logits.shape, dtype=wide(logits).dtype, device=logits.device)
        return (v * (count / self.projections) ** 0.5 / v.norm(dim=2, keepdim=True)).to(logits.dtype)


class GradientPenalty(InputPenalty):
    """λ ||∂ℓ/∂x||², ℓ the data loss of a sample (Drucker and LeCun 1992, "double backpropagation"; no ½)."""

    def forward(self, network: nn.Module, x: Tensor, loss: Tensor, **_: Any) -> Tensor:
        # the loss is a mean: a sample's part in it is ℓ / B
        squares = _square(len(x) * loss, x)
        return at_precision_of(squares, self.strength) * squares / len(x)


def _square(output: Tensor, x: Tensor, direction: Tensor | None = None) -> Tensor:
    (gradient,) = torch.autograd.grad(output, x, direction, create_graph=True)
    return wide(gradient).square().sum()
