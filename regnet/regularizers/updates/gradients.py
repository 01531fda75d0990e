"""What is done to the gradients of all parameters before the optimizer uses them."""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...core import hyperparameters
from ...core.exact import at_precision_of
from .decay import GradientUpdate, Update


class GradientNoise(GradientUpdate):
    """g ← g + N(0, η / (1 + t)^γ) at step t = 0, 1, ... (Neelakantan et al. 2015, section 3), η = `strength`.

    η is a variance: the paper takes 0.01, 0.3 or 1. The processes of a distributed run add the same noise.

    Args:
        strength: η >= 0.
        exponent: γ >= 0, how fast the noise dies out; 0 is noise that stays.
    """

    stage = Update.NOISE
    counts = True

    def __init__(self, strength: float, exponent: float = 0.55) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.register_buffer("exponent", hyperparameters.strength(exponent, "exponent"))
        self.register_buffer("steps", torch.tensor(0))

    def change(self, network: nn.Module, gradients: Mapping[str, Tensor]) -> None:
        found = [*gradients.values()]
        if found:
            strength, exponent = (at_precision_of(found[0], number) for number in (self.strength, self.exponent))
            std = (strength / (1 + self.steps) ** exponent).sqrt()
        for gradient in found:
            noise = torch.randn_like(gradient)
            if dist.is_available() and dist.is_initialized():
                dist.broadcast(noise, 0)  # otherwise the processes would get different weights
            gradient.add_(std * noise)
        self.steps.add_(1)


class GradientClipping(GradientUpdate):
    """g ← g min(1, c / ||g||_2), the norm over all parameters together (Pascanu et al. 2013), c = `radius` > 0.

    `torch.nn.utils.clip_grad_norm_`, with accumulated, averaged and unscaled gradients under any Trainer. Where
    the loss is scaled by hand, the gradients have to be unscaled before the optimizer's step.
    """

    stage = Update.CLIPPING

    def __init__(self, radius: float) -> None:
        super().__init__()
        self.register_buffer("radius", hyperparameters.radius(radius))

    def change(self, network: nn.Module, gradients: Mapping[str, Tensor]) -> None:
        found = [*gradients.values()]
        if found:
            norm = global_norm(found)
            factor = (at_precision_of(norm, self.radius) / norm).clamp(max=1)
            for gradient in found:
                gradient.mul_(factor)


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """||.||_2 of all entries together, in float32 at least."""
    norms = [torch.linalg.vector_norm(t, dtype=torch.promote_types(t.dtype, torch.float32)) for t in tensors]
    return torch.linalg.vector_norm(torch.stack(norms))
