"""LARS: momentum, and a learning rate for each layer."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..core import values
from .layerwise import Layerwise, is_adapted, norm, trust_ratio


class LARS(Layerwise):
    """Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017, algorithm 1), for training in large batches.

    Of each weight w with the gradient g:

        λ = η ||w||_2 / (||g||_2 + β ||w||_2)     (equation 6)
        v ← μ v + γ λ (g + β w)
        w ← w - v

    λ is 1 where w or the divisor is 0. The learning rate γ is within v, as in the paper: where `torch.optim.SGD` would
    apply a smaller γ to all earlier gradients, here it applies to those from now on.

    Biases, norms and whatever else has fewer than two axes have λ = 1 and β = 0: they take a step of SGD with momentum,
    at γ. The paper scales its biases apart and does not say how; this is the usual convention. A γ that suits the
    weights, some hundred times that of SGD, may so be too much for them.

    Args:
        params: parameters, or groups of them with numbers of their own.
        lr: γ >= 0.
        momentum: μ in [0, 1).
        weight_decay: β >= 0: that of `torch.optim.SGD`, of weights only.
        trust_coefficient: η > 0, by which share of its norm a weight moves where γ = 1 and μ = β = 0.

    Raises:
        ValueError: a number is out of its range, or a parameter is complex.

    Example:
        >>> import torch
        >>> from regnet.optimizers import LARS
        >>> layer = torch.nn.Linear(3, 2, bias=False)
        >>> before = layer.weight.detach().clone()
        >>> optimizer = LARS(layer.parameters(), lr=1, trust_coefficient=0.01)
        >>> layer(torch.ones(4, 3)).square().sum().backward()
        >>> optimizer.step()
        >>> round(((layer.weight - before).norm() / before.norm()).item(), 4)
        0.01
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
    ) -> None:
        defaults = {
            "lr": lr if isinstance(lr, Tensor) else values.nonnegative(lr, "lr"),
            "momentum": values.rate(momentum, "momentum"),
            "weight_decay": values.nonnegative(weight_decay, "weight_decay"),
            "trust_coefficient": values.positive(trust_coefficient, "trust_coefficient"),
        }
        super().__init__(params, defaults)

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        rate = group["lr"]
        if is_adapted(p):
            decay, size = group["weight_decay"], norm(p)
            rate = rate * trust_ratio(group["trust_coefficient"] * size, norm(g) + decay * size)
            g = g.add(p, alpha=decay)
        p.sub_(state["momentum_buffer"].mul_(group["momentum"]).add_(g * rate))
