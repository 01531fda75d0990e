"""The worst of several attacks, for each example."""

import torch
from torch import Tensor

from ..core import values
from .apgd import APGD
from .ball import Ball
from .base import Attack, Norm, Worst
from .draws import Draws
from .square import Square
from .victim import Victim


class Strongest(Attack):
    """APGD on cross-entropy, APGD on the targeted DLR loss, and Square, one after the other; each example's worst.

    That is AutoAttack (Croce and Hein 2020) without FAB. Examples that are misclassified already, at x or by an
    earlier attack, are left to those that are not.

    Args:
        steps: of each APGD; see `APGD`.
        targets: of the targeted one; see `APGD`.
        queries: see `Square`.
        epsilon, norm, bounds, scale, passes, seed: see `Attack`.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        epsilon: float,
        steps: int = 100,
        targets: int = 9,
        queries: int = 1000,
        norm: Norm = "linf",
        bounds: tuple[float, float] | None = None,
        scale: Tensor | float = 1.0,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(epsilon, norm, bounds, scale, passes, seed)
        self.attacks: dict[str, Attack] = {  # of which the ball is this one's
            "cross_entropy": APGD(epsilon, steps),
            "targeted_dlr": APGD(epsilon, steps, "targeted_dlr", values.whole(targets, "targets")),
            "square": Square(epsilon, queries),
        }

    def perturb(self, victim: Victim, ball: Ball, y: Tensor, draws: Draws) -> Tensor:
        worst = Worst(ball.x)
        worst.see(ball.x, victim.predict(ball.x), y)
        for name, attack in self.attacks.items():
            left = worst.margin <= 0
            if not left.any():
                break
            if not victim.takes_any_batch:
                left = torch.ones_like(left)
            found = ball.x.clone()
            found[left] = attack.perturb(victim, ball.of(left), y[left], draws.of(left).named(name))
            worst.see(found, victim.predict(found), y)
        return worst.x
