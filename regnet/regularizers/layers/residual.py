"""Layers of residual branches: what a branch computes ─► what is added to its shortcut, one draw per sample."""

import torch
from torch import Tensor

from ...core import hyperparameters
from ...core.exact import at_precision_of
from ...core.stochastic import RandomLayer
from .dropout import Dropout, inverted_bernoulli


class DropPath(Dropout):
    """y = F b / (1 - r) with one b ~ Bernoulli(1 - r) per sample: stochastic depth (Huang et al. 2016, equation 2).

    The paper has no division in training and y = (1 - r) F in evaluation, and draws one b for a whole batch;
    inverted and per sample is the convention of torchvision's ``stochastic_depth(mode="row")`` and timm's `DropPath`.
    """

    def noise_shape(self, x: Tensor) -> torch.Size:  # (B, ...) ─► (B, 1...)
        return per_sample(x)


class ShakeDrop(RandomLayer):
    """y = (b + α - bα) F, ∂y/∂F = b + β - bβ, b ~ Bernoulli(1 - r), α ~ U(-1, 1), β ~ U(0, 1).

    Yamada et al. 2019, equation 6, with their ranges of α and β: a share `rate` of the branches is shaken, forward
    and backward by factors that know nothing of each other. In evaluation y = E[b + α - bα] F = (1 - r) F.
    Here b, as α and β, is drawn for each sample.
    """

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("rate", hyperparameters.rate(rate))

    def forward(self, x: Tensor) -> Tensor:  # (B, ...)
        if not self.training:
            return x * (1 - at_precision_of(x, self.rate)).to(x.dtype)
        shape = per_sample(x)
        kept = inverted_bernoulli(shape, self.rate, torch.float32) > 0
        alpha, beta = torch.rand(2, *shape, device=x.device)
        return shaken(x, torch.where(kept, 1.0, 2 * alpha - 1), torch.where(kept, 1.0, beta))

    def extra_repr(self) -> str:
        return f"rate={self.rate.item():g}"


class ShakeShake(RandomLayer):
    """y = α F₁ + (1 - α) F₂, whose gradient has β in the place of α; α, β ~ U(0, 1) for each sample.

    Gastaldi 2017, equation 2, in its form "shake-shake-image". In evaluation both branches have the share 1/2.

    Raises:
        ValueError: on other than two branches.
    """

    def forward(self, branches: Tensor) -> Tensor:  # (2, B, ...) ─► (B, ...)
        if len(branches) != 2:
            raise ValueError(f"shake-shake mixes two residual branches, and here are {len(branches)}; branches=2")
        if not self.training:
            return branches.mean(0)
        first, second = branches
        alpha, beta = torch.rand(2, *per_sample(first), device=first.device)
        return second + shaken(first - second, alpha, beta)


def per_sample(x: Tensor) -> torch.Size:
    """(B, 1, ...) beside x, (B, ...)."""
    return torch.Size([len(x), *(1 for _ in x.shape[1:])])


def shaken(x: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """forward · x, whose gradient is that of backward · x."""
    forward, backward = forward.to(x.dtype), backward.to(x.dtype)
    return x * backward + (x * (forward - backward)).detach()
