"""Attacks along the gradient: one step of it, and many within the ball."""

from torch import Tensor

from ..core import values
from .ball import Ball
from .base import Attack, Norm, Worst
from .draws import Draws
from .losses import LOSSES
from .victim import Victim


class PGD(Attack):
    """x ← P(x + η ε s(∂ℓ/∂x)), P onto the ball; s is the sign (L-inf), or the gradient over its norm (L2).

    Projected gradient descent (Madry et al. 2018). The last point of each start is taken, and of several starts each
    example's worst.

    >>> import torch
    >>> from torch import nn
    >>> attack = PGD(epsilon=8 / 255, steps=20, bounds=(0, 1))
    >>> x = attack(nn.Sequential(nn.Flatten(), nn.Linear(9, 3)), torch.rand(5, 1, 3, 3), torch.arange(5) % 3)
    >>> x.shape
    torch.Size([5, 1, 3, 3])

    Args:
        steps: gradients of each start.
        relative_step: η, a step's length in units of epsilon; None is 2.5 / steps (theirs).
        random_start: begins at a point uniform in the ball, else at x.
        restarts: starts, each at a point of its own.
        loss: ``cross_entropy``, ``dlr`` or ``margin``.
        epsilon, norm, bounds, scale, passes, seed: see `Attack`.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        epsilon: float,
        steps: int = 20,
        relative_step: float | None = None,
        random_start: bool = True,
        restarts: int = 1,
        loss: str = "cross_entropy",
        norm: Norm = "linf",
        bounds: tuple[float, float] | None = None,
        scale: Tensor | float = 1.0,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(epsilon, norm, bounds, scale, passes, seed)
        self.steps = values.whole(steps, "steps")
        self.relative_step = values.positive(2.5 / steps if relative_step is None else relative_step, "relative_step")
        self.random_start = values.flag(random_start, "random_start")
        self.restarts = values.whole(restarts, "restarts")
        self.loss = values.one_of(loss, "loss", LOSSES)

    def perturb(self, victim: Victim, ball: Ball, y: Tensor, draws: Draws) -> Tensor:
        if self.restarts == 1:
            return self._climbed(victim, ball, y, draws.named("start", 0))
        worst = Worst(ball.x)
        for start in range(self.restarts):
            x = self._climbed(victim, ball, y, draws.named("start", start))
            worst.see(x, victim.predict(x), y)
        return worst.x

    def _climbed(self, victim: Victim, ball: Ball, y: Tensor, draws: Draws) -> Tensor:
        loss = LOSSES[self.loss]
        x = ball.random(draws) if self.random_start else ball.x
        for _ in range(self.steps):
            gradient, *_ = victim.climb(lambda logits: loss(logits, y), x)
            x = ball.move(x, gradient, self.relative_step)
        return x


class FGSM(PGD):
    """x + ε sign(∂ℓ/∂x), ℓ the cross-entropy (Goodfellow et al. 2015); of L2 x + ε g/||g||, g the gradient.

    Args:
        epsilon, norm, bounds, scale, passes, seed: see `Attack`.

    Raises:
        ValueError: a setting out of range.
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
        super().__init__(
            epsilon,
            steps=1,
            relative_step=1.0,
            random_start=False,
            norm=norm,
            bounds=bounds,
            scale=scale,
            passes=passes,
            seed=seed,
        )
