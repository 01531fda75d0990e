"""What optimizers have in common whose step on a layer is in proportion to the layer's weights."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..core.exact import wide


class Layerwise(Optimizer):
    """Updates one parameter after the other, each with a learning rate of its own.

    Args:
        params: parameters, or groups of them, as for any optimizer of torch.
        defaults: the numbers of a group that gives none.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        for number, parameter in enumerate(w for group in self.param_groups for w in group["params"]):
            if parameter.is_complex():
                raise ValueError(f"{type(self).__name__} takes real parameters, and number {number} is complex")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient; returns what `closure` does, which computes them.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if (gradient := parameter.grad) is None:
                    continue
                if gradient.is_sparse:
                    raise RuntimeError(f"{type(self).__name__} takes dense gradients: make the layer with sparse=False")
                self.update(parameter, gradient, self.state[parameter], group)
        return loss

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Changes one parameter and its state in place."""
        raise NotImplementedError


def is_adapted(p: Tensor) -> bool:
    """Whether a parameter has a learning rate of its own, and is decayed: one of two axes or more.

    Biases, and the scales and shifts of normalizations, have fewer. That they are left out is the convention of the
    authors' own code and of most others: their norm may be 0, and says nothing about how far they should move.
    """
    return p.ndim >= 2


def norm(x: Tensor) -> Tensor:
    """||x||_2, 0-d, in float32 at least."""
    return torch.linalg.vector_norm(wide(x))


def trust_ratio(weight: Tensor, update: Tensor) -> Tensor:
    """Size of a weight over size of its update; 1 where one of them is 0, as else a weight of zeros would stay so."""
    return torch.where((weight > 0) & (update > 0), weight / update, 1)
