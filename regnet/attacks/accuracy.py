"""What attacks find out about a network, example by example."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Attack
from .victim import Network, undisturbed


def correct(
    network: Network, x: Tensor, y: Tensor, *, passes: int | None = None, seed: int = 0
) -> Tensor:  # (B, ...), (B,) ─► bool (B,)
    """Whether each example is classified right, in evaluation mode, or by so many stochastic passes together."""
    with undisturbed(network, passes, seed, x.device) as victim:
        return victim.predict(x).argmax(1) == y


def robust(
    attack: Attack,
    network: Network,
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float | Tensor | None = None,
    index: Tensor | None = None,
) -> Tensor:  # ─► bool (B,)
    """Whether each example is classified right both as it is and attacked; their mean is the robust accuracy.

    >>> from torch import nn
    >>> from regnet.attacks import PGD
    >>> robust(PGD(1.0), nn.Identity(), torch.tensor([[5.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 0]))
    tensor([ True, False, False])
    """
    found = attack(network, x, y, epsilon=epsilon, index=index)
    clean, attacked = (correct(network, each, y, passes=attack.passes, seed=attack.seed) for each in (x, found))
    return clean & attacked


def transfer(
    attack: Attack, networks: Sequence[Network], x: Tensor, y: Tensor, *, index: Tensor | None = None
) -> Tensor:  # ─► float64 (K, K)
    """Row i, column j: the accuracy of network j on the examples that were made against network i."""
    rows = []
    for source in networks:
        found = attack(source, x, y, index=index)
        rows.append(
            torch.stack(
                [correct(one, found, y, passes=attack.passes, seed=attack.seed).double().mean() for one in networks]
            )
        )
    return torch.stack(rows)


def minimal_epsilon(
    attack: Attack,
    network: Network,
    x: Tensor,
    y: Tensor,
    *,
    largest: float,
    halvings: int = 10,
    index: Tensor | None = None,
) -> Tensor:  # ─► float64 (B,)
    """The smallest radius at which the attack makes each example an error, by bisection of [0, largest].

    It is known to largest / 2^halvings, from above: 0 where the example is an error as it is, inf where it is none at
    `largest`.

    >>> from torch import nn
    >>> from regnet.attacks import PGD
    >>> x = torch.tensor([[5.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> minimal_epsilon(PGD(1.0), nn.Identity(), x, torch.tensor([0, 0, 0]), largest=2.0, halvings=1)
    tensor([inf, 1., 0.], dtype=torch.float64)

    Raises:
        ValueError: as of `Attack`.
    """
    ends = torch.tensor([0.0, largest], dtype=torch.float64, device=x.device)
    low, high = (end.expand(len(x)) for end in ends)
    wrong = ~correct(network, x, y, passes=attack.passes, seed=attack.seed)
    never = robust(attack, network, x, y, epsilon=high, index=index)
    for _ in range(halvings):
        middle = (low + high) / 2
        holds = robust(attack, network, x, y, epsilon=middle, index=index)
        low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
    return high.masked_fill(never, torch.inf).masked_fill(wrong, 0.0)
