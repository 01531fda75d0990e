"""Constraints: weight ─► weight, after the optimizer's step."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..weights import Select, weights
from . import hyperparameters
from .updates import Update


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
