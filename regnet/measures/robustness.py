"""Robustness: what is left of the accuracy under attack."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor

from ..attacks import PGD, Attack, correct, minimal_epsilon
from ..core import values
from ..core.errors import shown
from ..core.metrics import Scale
from ..data import DataModule
from .measure import Found, Measure
from .part import Part


class Robustness(Measure):
    """The share of samples that the network gets right, and that no attack within epsilon makes it get wrong.

    ``robust_accuracy`` at `epsilon`, and ``robust_accuracy_<e>`` at each further one e of `curve`. An example that
    falls at one radius is counted as fallen at every larger one, whose ball holds the same point: so the accuracy
    never rises with epsilon, and at 0 is the clean one, ``clean_accuracy``, of the same samples. What attacks find is
    an upper bound: a stronger attack may find more.

    Epsilon is in the inputs' own unit for images, which lie in [0, 1] and stay there; for tables in standard
    deviations of each column over the training samples, without bounds.

    Args:
        attack: makes an attack from ``epsilon``, ``bounds`` and ``scale``.
        curve: further radii.
        samples: that are attacked, the first of each part; None for all.
        halvings: of the radius, by which ``minimal_epsilon`` is found: the mean over samples of the least radius at
            which the attack succeeds, 0 for mistakes and the largest radius for what withstands it. 0 is without.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        epsilon: float,
        attack: Callable[..., Attack] = PGD,
        curve: Sequence[float] = (),
        samples: int | None = 1000,
        halvings: int = 0,
        at: str = "end",
    ) -> None:
        super().__init__(at)
        self.epsilon = float(values.positive(epsilon, "epsilon"))
        if not isinstance(curve, Sequence) or isinstance(curve, str):
            raise ValueError(f"curve={shown(curve)} must be a list of numbers > 0")
        self.curve = [float(values.positive(one, "curve")) for one in curve]
        self.samples = None if samples is None else values.whole(samples, "samples")
        self.halvings = values.whole(halvings, "halvings", least=0)
        self.attack = attack
        attack(epsilon=self.radii[-1])  # what it refuses is told now

    @property
    def radii(self) -> list[float]:
        """All of them, from the least."""
        return sorted({self.epsilon, *self.curve})

    @property
    def scales(self) -> Mapping[str, Scale]:
        further = [_named(radius) for radius in self.radii if radius != self.epsilon]
        shares = dict.fromkeys(["robust_accuracy", *further, "clean_accuracy"], Scale("max", 0, 1))
        return {**shares, "minimal_epsilon": Scale("max", 0)} if self.halvings else shares

    def check(self, data: DataModule) -> None:
        super().check(data)
        if not data.example.is_floating_point():
            raise ValueError("Robustness attacks numbers, and the data are whole ones, such as tokens")
        self._made(None if len(data.shape) == 3 else data.statistics()[1])

    def measure(self, part: Part, val: Part) -> Found:
        attack: Attack | None = None
        kept, seen, lengths = [0] * (1 + len(self.radii)), 0, 0.0
        for x, y, index in part.first(self.samples):
            attack = attack or self._made(None if x.ndim == 4 else part.unit.to(x))
            judge = partial(correct, part.network, passes=attack.passes, seed=attack.seed)
            standing = judge(x, y)
            if self.halvings:
                least = minimal_epsilon(
                    attack, part.network, x, y, largest=self.radii[-1], halvings=self.halvings, index=index
                )
                lengths += least.clamp(max=self.radii[-1]).sum().item()
            seen += len(x)
            kept[0] += int(standing.sum())
            for i, radius in enumerate(self.radii, 1):
                if standing.any():
                    rows = standing.nonzero()[:, 0]
                    moved = attack(part.network, x[rows], y[rows], epsilon=radius, index=index[rows])
                    standing[rows] = judge(moved, y[rows])
                kept[i] += int(standing.sum())
        shares = [count / seen for count in kept]
        numbers = {
            "robust_accuracy" if radius == self.epsilon else _named(radius): share
            for radius, share in zip(self.radii, shares[1:], strict=True)
        }
        if self.halvings:
            numbers["minimal_epsilon"] = lengths / seen
        curve = {"epsilon": [0.0, *self.radii], "robust_accuracy": shares}
        return Found({**numbers, "clean_accuracy": shares[0]}, {"robustness": curve})

    def _made(self, unit: Tensor | None) -> Attack:
        """For images, which lie in [0, 1], or in the `unit` of each column. Raises ValueError: what it refuses."""
        largest = self.radii[-1]
        if unit is None:
            return self.attack(epsilon=largest, bounds=(0.0, 1.0))
        return self.attack(epsilon=largest, scale=unit)


def _named(radius: float) -> str:
    return f"robust_accuracy_{radius:g}"
