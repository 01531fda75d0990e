"""Auto-PGD: a step size that each example's progress chooses."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from ..core import values
from .ball import Ball, column
from .base import Attack, Norm, Worst
from .draws import Draws
from .losses import LOSSES, targeted_dlr, without
from .victim import Victim

RISING = 0.75  # ρ: the share of steps that must raise the loss
MOMENTUM = 0.75  # α: the share of the newest step
TARGETED = "targeted_dlr"


class APGD(Attack):
    """PGD with momentum, that halves the step and goes back to the best point where progress ends.

    z = P(x_k + η s(∂ℓ/∂x)), x_{k+1} = P(x_k + α (z - x_k) + (1 - α) (x_k - x_{k-1})), α = 0.75, η = 2 ε at first
    (Croce and Hein 2020, algorithm 1). At each of `checkpoints` an example's η is halved where fewer than 75 % of
    the steps since the last have raised its loss, or where neither its η nor its best loss has changed since then.
    The point of the largest margin is taken of all that were passed.

    Args:
        steps: gradients of each start, after that at its beginning.
        loss: ``cross_entropy``, ``dlr`` or ``margin``; ``targeted_dlr`` aims at so many `targets` in turn, those
            wrong classes that have the largest logits at x.
        restarts: starts, each at a point of its own, uniform in the ball.
        epsilon, norm, bounds, scale, passes, seed: see `Attack`.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        epsilon: float,
        steps: int = 100,
        loss: str = "cross_entropy",
        targets: int = 9,
        restarts: int = 1,
        norm: Norm = "linf",
        bounds: tuple[float, float] | None = None,
        scale: Tensor | float = 1.0,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(epsilon, norm, bounds, scale, passes, seed)
        self.steps = values.whole(steps, "steps")
        self.loss = values.one_of(loss, "loss", (*LOSSES, TARGETED))
        self.targets = values.whole(targets, "targets")
        self.restarts = values.whole(restarts, "restarts")

    def perturb(self, victim: Victim, ball: Ball, y: Tensor, draws: Draws) -> Tensor:
        worst = Worst(ball.x)
        for aim, loss in enumerate(self._losses(victim, ball.x, y)):
            for start in range(self.restarts):
                self._climb(victim, ball, y, loss, draws.named("start", aim, start), worst)
        return worst.x

    def _losses(self, victim: Victim, x: Tensor, y: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
        if self.loss != TARGETED:
            loss = LOSSES[self.loss]
            yield lambda logits: loss(logits, y)
            return
        wrong = without(victim.predict(x), y)
        for target in wrong.topk(min(self.targets, wrong.shape[1] - 1), dim=1).indices.T:
            yield partial(targeted_dlr, y=y, target=target)

    def _climb(
        self, victim: Victim, ball: Ball, y: Tensor, loss: Callable[[Tensor], Tensor], draws: Draws, worst: Worst
    ) -> None:
        before = x = ball.random(draws)
        gradient, value, logits = victim.climb(loss, x)
        worst.see(x, logits, y)
        progress = _Progress(x, gradient, value)
        marks = checkpoints(self.steps)
        for step in range(1, self.steps + 1):
            size = column(progress.size, x)
            newest = 1.0 if step == 1 else MOMENTUM
            to = ball.move(x, gradient, size)
            before, x = x, ball.project(x + newest * (to - x) + (1 - newest) * (x - before))
            gradient, value, logits = victim.climb(loss, x)
            worst.see(x, logits, y)
            progress.see(x, gradient, value)
            if step in marks:
                x, gradient = progress.check(x, gradient)


class _Progress:
    """Of each example: its step η, in units of ε, its best point so far, and what has happened since a checkpoint."""

    def __init__(self, x: Tensor, gradient: Tensor, value: Tensor) -> None:
        self.size = torch.full_like(value, 2.0)
        self.x, self.gradient, self.best, self.value = x, gradient, value, value
        self.then, self.halved = value, torch.ones_like(value, dtype=torch.bool)
        self.rises, self.steps = torch.zeros_like(value), 0

    def see(self, x: Tensor, gradient: Tensor, value: Tensor) -> None:
        self.rises, self.steps = self.rises + (value > self.value), self.steps + 1
        self.value = value
        better = value > self.best
        self.x, self.gradient = (
            torch.where(column(better, x), new, old) for new, old in ((x, self.x), (gradient, self.gradient))
        )
        self.best = torch.where(better, value, self.best)

    def check(self, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Halves the step of those that are stuck, and has them go on from their best point."""
        stuck = (self.rises < RISING * self.steps) | (~self.halved & (self.then >= self.best))
        self.size = torch.where(stuck, self.size / 2, self.size)
        self.value = torch.where(stuck, self.best, self.value)
        self.then, self.halved = self.best, stuck
        self.rises, self.steps = torch.zeros_like(self.rises), 0
        back = column(stuck, x)
        return torch.where(back, self.x, x), torch.where(back, self.gradient, gradient)


def checkpoints(steps: int) -> list[int]:
    """⌈p_j N⌉ with p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06), as long as p_j <= 1.

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    shares = [0.0, 0.22]
    while (following := shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06)) <= 1:
        shares.append(following)
    return sorted({math.ceil(round(share * steps, 9)) for share in shares[1:]})
