"""Sharpness-aware minimization: the gradient of the worst loss nearby, at a second gradient a step."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ...core import hyperparameters
from ...core.exact import at_precision_of
from ...core.seeds import bookmark
from .decay import Update, moving
from .gradients import global_norm


class SAM(Update):
    """g ← ∇L(w + e) with e = ρ ∇L(w) / ||∇L(w)||_2 over all parameters (Foret et al. 2021, eq. 2), ρ = `radius`.

    A closure ─► closure: ``SAM(0.05).attach(optimizer, network)`` makes ``optimizer.step(closure)`` evaluate its
    closure (zero_grad, loss, backward) twice. The second time has the random numbers of the first; buffers of the
    network, such as batch norm's running statistics, keep what the first time, at w, gave them. Under a Trainer
    `regnet.training.module.RegularizedModule` and the callback `Regularize` do this for all accumulated batches, in any
    precision: e does not depend on the scale of the loss, and is 0 where gradients overflow, as such a step is
    skipped.
    """

    stage = Update.GRADIENT
    dense = True
    fine: ClassVar[bool] = True  # e, of which each entry is a small part of ρ

    def __init__(self, radius: float = 0.05) -> None:
        super().__init__()
        self.register_buffer("radius", hyperparameters.radius(radius))

    def reach(self, w: Tensor) -> Tensor | float:
        """T: how far each entry may move, relative to the others."""
        return 1.0

    @torch.no_grad()
    def ascent(self, found: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """e = ρ T² g / ||T g|| for each parameter w and its gradient g."""
        reach = [self.reach(w) for w, _ in found]
        slopes = [t * g for t, (_, g) in zip(reach, found, strict=True)]
        norm = global_norm(slopes)
        length = at_precision_of(norm, self.radius) / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        steps = (length * t * slope for t, slope in zip(reach, slopes, strict=True))
        return [torch.where(norm.isfinite(), step, 0.0) for step in steps]

    def forward(
        self, closure: Callable[[], Any], again: Callable[[], Any], optimizer: Optimizer, network: nn.Module
    ) -> Any:
        """Leaves the gradient at w + e for the optimizer, and the weights as they were.

        Args:
            closure: gives the gradient at w.
            again: adds the gradient of the same batches, with the same noise, to none.
            network: whose buffers `again` must not change.

        Returns:
            What the closure returns.
        """
        output = closure()
        found = moving(optimizer)
        if not found:
            return output
        before = [(w, w.detach().clone()) for w, _ in found]
        buffers = {name: buffer.detach().clone() for name, buffer in network.named_buffers()}
        with torch.no_grad():
            for (w, _), e in zip(found, self.ascent(found), strict=True):
                w.add_(e)
        try:
            optimizer.zero_grad()
            again()
        finally:
            with torch.no_grad():
                for w, kept in before:
                    w.copy_(kept)
                for name, buffer in network.named_buffers():
                    buffer.copy_(buffers[name])
        return output

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        def before_step(
            _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            closure = args[1] if len(args) > 1 else kwargs.get("closure")  # args[0] is the optimizer
            if closure is None:
                raise ValueError(f"{type(self).__name__} needs optimizer.step(closure), as it takes two gradients")

            def twice() -> Any:
                rewind = bookmark(optimizer.param_groups[0]["params"][0].device)

                def again() -> None:
                    rewind()
                    closure()

                return self(closure, again, optimizer, network)

            return args[:1], {**kwargs, "closure": twice}

        self.check(network)
        return optimizer.register_step_pre_hook(before_step)


class ASAM(SAM):
    """g ← ∇L(w + e) with e = ρ T² ∇L(w) / ||T ∇L(w)||_2 and T = |w| + η (Kwon et al. 2021).

    Adaptive: the neighbourhood scales with each parameter, and so does not change when the network is rescaled.
    Of all parameters, biases too.

    Args:
        radius: ρ > 0, larger than SAM's by a factor of about ten.
        floor: η >= 0, which lets parameters near 0 move.
    """

    def __init__(self, radius: float = 0.5, floor: float = 0.01) -> None:
        super().__init__(radius)
        self.register_buffer("floor", hyperparameters.strength(floor, "floor"))

    def reach(self, w: Tensor) -> Tensor:
        return w.abs() + at_precision_of(w, self.floor)
