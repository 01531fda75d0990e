"""What an attack may do to its inputs: the ball around each example, within the bounds of the data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core.exact import wide
from .draws import Draws

NORMS = ("linf", "l2")


class Ball:
    """{x' : ||(x' - x) / scale|| <= epsilon, low <= x' <= high}, for each example of x (B, ...).

    Args:
        epsilon: (B,).
        norm: ``linf`` or ``l2``.
        bounds: (low, high) of all values, or None.
        scale: of each feature, broadcastable to x, such as the standard deviations of a table's columns.
    """

    def __init__(
        self, x: Tensor, epsilon: Tensor, norm: str, bounds: tuple[float, float] | None, scale: Tensor | float = 1.0
    ) -> None:
        self.x, self.norm, self.bounds = x, norm, bounds
        self.epsilon = column(epsilon.to(x.device, wide(x).dtype), x)
        self.scale = scale.to(x.device, wide(x).dtype) if isinstance(scale, Tensor) else scale
        self.radius = (self.epsilon * self.scale).to(x.dtype)  # of each feature
        if norm == "linf":
            self.lower, self.upper = self.clip(x - self.radius), self.clip(x + self.radius)

    def of(self, chosen: Tensor) -> Ball:
        """The balls of the chosen examples, bool (B,)."""
        one_for_all = not isinstance(self.scale, Tensor) or self.scale.ndim < self.x.ndim or len(self.scale) == 1
        scale = self.scale if one_for_all else self.scale[chosen]  # type: ignore[index]
        return Ball(self.x[chosen], self.epsilon.flatten()[chosen], self.norm, self.bounds, scale)

    def project(self, point: Tensor) -> Tensor:
        """The nearest point of the ball (of L2 within bounds: of the ball, and then clipped to the bounds)."""
        if self.norm == "linf":
            return point.clamp(self.lower, self.upper)
        change = wide(point - self.x) / self.scale
        shrink = (self.epsilon / length(change)).clamp(max=1)
        return self.clip((self.x + change * shrink * self.scale).to(point.dtype))

    def clip(self, point: Tensor) -> Tensor:
        return point if self.bounds is None else point.clamp(*self.bounds)

    def move(self, point: Tensor, gradient: Tensor, size: Tensor | float) -> Tensor:
        """A step of steepest ascent, `size` times epsilon long, inside the ball: the sign, or the unit gradient."""
        if self.norm == "linf":
            return self.project(torch.addcmul(point, gradient.sign(), (size * self.radius).to(point.dtype)))
        slope = wide(gradient) * self.scale  # in units of the scale
        return self.project((point + size * self.radius * (slope / length(slope))).to(point.dtype))

    def random(self, draws: Draws) -> Tensor:
        """A point uniform in the ball, then clipped to the bounds."""
        shape, dtype = self.x.shape[1:], wide(self.x).dtype
        if self.norm == "linf":
            change = 2 * draws.uniform(shape, dtype) - 1
        else:
            direction = draws.named("direction").normal(shape, dtype)
            radius = draws.named("radius").uniform(torch.Size([1]), dtype)[:, 0] ** (1 / max(math.prod(shape), 1))
            change = column(radius, self.x) * direction / length(direction)
        return self.project((self.x + self.radius * change).to(self.x.dtype))


def column(of_examples: Tensor, x: Tensor) -> Tensor:
    """(B,) as (B, 1, ...), to be broadcast with x (B, ...)."""
    return of_examples.reshape(-1, *(1 for _ in x.shape[1:]))


def length(x: Tensor) -> Tensor:
    """The L2 norm of each example, (B, 1, ...); never 0, so that it can be divided by."""
    return column(wide(x).flatten(1).norm(dim=1), x).clamp(min=torch.finfo(wide(x).dtype).tiny)
