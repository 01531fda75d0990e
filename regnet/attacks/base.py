"""Attacks: (network, x, y) ─► x' within epsilon of x, on which the network is to err."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor

from ..core import values
from ..core.seeds import derive
from .ball import NORMS, Ball
from .draws import Draws
from .losses import margin
from .victim import Network, Victim, undisturbed

Self = TypeVar("Self", bound="Attack")
Norm = Literal["linf", "l2"]


class Attack(ABC):
    """An attack on a classifier, within ||(x' - x) / scale|| <= epsilon and the bounds.

    The network is any callable x (B, ...) ─► logits (B, C), or one logit (B,) or (B, 1) of two classes. A module is
    in evaluation mode during the attack; its modes, gradients and statistics, and torch's random numbers, are
    afterwards as before. What is drawn for an example follows from the seed and the example's index.

    Args:
        epsilon: the radius, >= 0, in units of the inputs (of `scale`, where there is one).
        norm: ``linf`` or ``l2``, over all features of an example.
        bounds: (low, high) between which inputs lie, such as (0, 1) of images; None does not clip.
        scale: the unit of each feature, broadcastable to x, such as the standard deviations of a table's columns.
        passes: of a network with random layers, which then draw as in training; None: they do not draw.
        seed: of what is drawn.

    Raises:
        ValueError: a setting out of range, or an epsilon larger than the range of the bounds.
    """

    def __init__(
        self,
        epsilon: float,
        norm: Norm = "linf",
        bounds: tuple[float, float] | None = None,
        scale: Tensor | float = 1.0,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        values.one_of(norm, "norm", NORMS)
        self.norm: Norm = norm
        self.passes = None if passes is None else values.whole(passes, "passes")
        self.seed = values.whole(seed, "seed", least=0)
        self.epsilon = values.nonnegative(epsilon, "epsilon")
        self._set_range(bounds, scale)

    def within(self: Self, bounds: tuple[float, float] | None = None, scale: Tensor | float = 1.0) -> Self:
        """The same attack on inputs of another range.

        Raises:
            ValueError: as of the class.
        """
        other = copy.copy(self)
        other._set_range(bounds, scale)
        return other

    def _set_range(self, bounds: Sequence[float] | None, scale: Tensor | float) -> None:
        self.bounds = _ordered(bounds)
        self.scale = scale if isinstance(scale, Tensor) else values.positive(scale, "scale")
        if isinstance(scale, Tensor) and not bool((scale > 0).logical_and(scale < torch.inf).all()):
            raise ValueError("scale must be finite and > 0 for each feature")
        if self.bounds is not None and self.norm == "linf":
            low, high = self.bounds
            if self.epsilon * torch.as_tensor(self.scale).max().item() > high - low:
                raise ValueError(f"epsilon={self.epsilon} is larger than the range of bounds=({low}, {high})")

    def __call__(
        self,
        network: Network,
        x: Tensor,
        y: Tensor,
        *,
        epsilon: float | Tensor | None = None,
        index: Tensor | None = None,
    ) -> Tensor:
        """The attacked inputs, shaped as x.

        Args:
            x: (B, ...), floating point, within the bounds.
            y: class indices (B,).
            epsilon: another radius than the attack's, of all examples or (B,) of each.
            index: (B,) the examples' places in the data, so that batches of any size are attacked alike; by
                default 0 to B - 1.

        Raises:
            ValueError: inputs outside the bounds or not floating point, labels that are no classes (B,), or a radius
                that is negative or not finite.
        """
        self._check(x, y)
        radius = self._radius(x, self.epsilon if epsilon is None else epsilon)
        index = torch.arange(len(x)) if index is None else index
        if index.shape != y.shape:
            raise ValueError(f"index must have the shape of y, {[*y.shape]}, got {[*index.shape]}")
        with undisturbed(network, self.passes, derive(self.seed, "passes"), x.device) as victim:
            x, y = x.detach().clone(), y.detach().clone().long()  # a tensor of inference mode takes no gradient
            if not len(x):
                return x
            low, high = y.aminmax()
            victim.labels = int(low), int(high)
            ball = Ball(x, radius, self.norm, self.bounds, self.scale)
            return self.perturb(victim, ball, y, Draws(self.seed, index.to(x.device))).detach()

    @abstractmethod
    def perturb(self, victim: Victim, ball: Ball, y: Tensor, draws: Draws) -> Tensor:
        """The attacked inputs. Each example is treated for itself, without a branch on what tensors hold."""

    def _check(self, x: Tensor, y: Tensor) -> None:
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise ValueError(f"y must be class indices, got {y.dtype}: an attack has no meaning for a regression")
        if y.shape != x.shape[:1]:
            raise ValueError(f"y must have shape {[*x.shape[:1]]}, a class for each example, got {[*y.shape]}")
        if not x.is_floating_point():
            raise ValueError(f"x must be floating point, got {x.dtype}")
        if self.bounds is not None and x.numel():
            low, high = (bound.item() for bound in x.aminmax())
            if not self.bounds[0] <= low <= high <= self.bounds[1]:
                raise ValueError(f"x must be within bounds={self.bounds}, and goes from {low} to {high}")

    def _radius(self, x: Tensor, epsilon: float | Tensor) -> Tensor:
        radius = torch.as_tensor(epsilon, dtype=torch.float64)
        if radius.shape not in (torch.Size([]), x.shape[:1]):
            raise ValueError(f"epsilon must be a number, or one for each of {len(x)} examples, got {[*radius.shape]}")
        if not bool((radius >= 0).logical_and(radius < torch.inf).all()):
            raise ValueError("epsilon must be a finite number >= 0")
        return radius.expand(len(x))


class Worst:
    """Of the points that were seen for each example, that of the largest margin: one that is misclassified, if any."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.margin = x, torch.full(x.shape[:1], -torch.inf, device=x.device)

    def see(self, x: Tensor, logits: Tensor, y: Tensor) -> None:
        found = margin(logits, y)
        worse = found > self.margin
        self.x = torch.where(worse.reshape(-1, *(1 for _ in x.shape[1:])), x, self.x)
        self.margin = torch.where(worse, found, self.margin)


def _ordered(bounds: Sequence[float] | None) -> tuple[float, float] | None:
    if bounds is None:
        return None
    if len(bounds) != 2 or not values.finite(bounds[0], "bounds") < values.finite(bounds[1], "bounds"):
        raise ValueError(f"bounds must be (low, high) with low < high, or null, got {tuple(bounds)}")
    return float(bounds[0]), float(bounds[1])
