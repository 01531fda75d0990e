"""Updates: what is done to the weights around the optimizer's step, under any training loop."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..exact import Exact
from ..weights import Select, weights
from . import hyperparameters


class Update(Exact):
    """Something that acts on the weights at each optimizer step, once attached to the optimizer."""

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        raise NotImplementedError


class Constraint(Update):
    """weight ─► weight, after the optimizer's step.

    ``constraint(network)`` puts the weights into the feasible set, in place.
    """

    def __init__(self, select: Select = None) -> None:
        super().__init__()
        self.select = select

    def project(self, units: Tensor) -> Tensor:  # (groups, units, fan-in...)
        """The feasible weights nearest to `units`."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, network: nn.Module) -> None:
        for weight in weights(network, self.select):
            weight.units.copy_(self.project(weight.units))

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        return optimizer.register_step_post_hook(lambda *_: self(network))


class MaxNorm(Constraint):
    """||w_unit||_2 <= radius for the incoming weights of every unit (Srivastava et al. 2014, section 5.1).

    A unit is a row of a Linear weight, a filter of a Conv. Keras's `MaxNorm` with the axis found by itself.
    """

    def __init__(self, radius: float, select: Select = None) -> None:
        super().__init__(select)
        self.register_buffer("radius", hyperparameters.radius(radius))

    def project(self, units: Tensor) -> Tensor:
        fan_in = tuple(range(2, units.ndim))
        norm = torch.linalg.vector_norm(
            units, dim=fan_in, keepdim=True, dtype=torch.promote_types(units.dtype, torch.float32)
        )
        return units * (self.radius / torch.maximum(norm, self.radius))


class WeightDecay(Update):
    """w ← (1 - η λ) w before the optimizer's own update, η its learning rate (Loshchilov and Hutter 2019).

    Decoupled from the gradient, for any optimizer: Adam with it is AdamW with ``weight_decay=λ`` on weights
    and 0 on biases. Note that η λ is what shrinks: the convention of `torch.optim.AdamW`.
    """

    def __init__(self, strength: float, select: Select = None) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.select = select

    @torch.no_grad()
    def forward(self, network: nn.Module, optimizer: Optimizer) -> None:
        chosen = {id(weight.tensor) for weight in weights(network, self.select)}
        for group in optimizer.param_groups:
            self.shrink([w for w in group["params"] if id(w) in chosen and w.requires_grad], group["lr"])

    def shrink(self, tensors: Sequence[Tensor], lr: float | Tensor) -> None:
        factor = 1 - lr * self.strength
        for w in tensors:
            w.mul_(factor)

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        def before_step(
            _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            closure = args[1] if len(args) > 1 else kwargs.get("closure")  # args[0] is the optimizer
            if closure is None:
                self(network, optimizer)
                return None

            # Lightning computes the gradient inside the step: it must see the weights before they shrink
            def shrink_after() -> Any:
                output = closure()
                self(network, optimizer)
                return output

            return args[:1], {**kwargs, "closure": shrink_after}

        return optimizer.register_step_pre_hook(before_step)
