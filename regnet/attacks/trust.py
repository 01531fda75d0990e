"""Signs that a robust accuracy is not to be trusted: that the attack failed, not that the network withstood it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .accuracy import correct, robust
from .base import Attack
from .losses import cross_entropy
from .square import Square
from .victim import Network, undisturbed

FEW = 0.01  # of the examples: below it lies what rounding and chance may do
RANGES = 10.0  # units of the scale that count as the range of inputs without bounds


class Sign(NamedTuple):
    """A finding: its name, its size, and what it says."""

    name: str
    value: float
    sentence: str


def signs(
    attack: Attack,
    network: Network,
    x: Tensor,
    y: Tensor,
    *,
    others: Sequence[Network] = (),
    queries: int = 200,
    index: Tensor | None = None,
) -> list[Sign]:
    """What speaks against the robust accuracy that an attack by gradients finds (Athalye et al. 2018, section 3.1).

    ``zero_gradients``: the loss has no gradient at more than 1 % of the examples. ``randomness``: two passes differ.
    ``black_box``: Square makes more errors than the attack. ``large_epsilon``: more than 1 % withstand a radius of the
    whole range. ``transfer``: examples made against another network make more errors than those made against this.

    >>> from torch import nn
    >>> from regnet.attacks import PGD
    >>> x = torch.rand(50, 4)
    >>> [sign.name for sign in signs(PGD(0.1, bounds=(0, 1)), lambda x: x.round(), x, x.argmax(1))]
    ['zero_gradients', 'black_box', 'large_epsilon']

    Args:
        others: networks for the same task.
        queries: of Square.
        index: see `Attack`.
    """
    holds = _share(robust(attack, network, x, y, index=index))
    found = [_zero_gradients(attack, network, x, y), _randomness(attack, network, x)]
    found.append(_black_box(attack, network, x, y, queries, index, holds))
    found.append(_large_epsilon(attack, network, x, y, index))
    found += [_transfer(attack, network, other, x, y, index, holds) for other in others]
    return [sign for sign in found if sign is not None]


def _zero_gradients(attack: Attack, network: Network, x: Tensor, y: Tensor) -> Sign | None:
    with undisturbed(network, attack.passes, attack.seed, x.device) as victim:
        gradient, *_ = victim.climb(lambda logits: cross_entropy(logits, y), x)
    share = _share((gradient == 0).flatten(1).all(1))
    return _if(share > FEW, "zero_gradients", share, f"at {share:.1%} of the examples the gradient is exactly 0")


def _randomness(attack: Attack, network: Network, x: Tensor) -> Sign | None:
    with undisturbed(network, attack.passes, attack.seed, x.device) as victim:
        first, second = victim.predict(x), victim.predict(x)
    share = _share(first.argmax(1) != second.argmax(1))
    differ = not torch.equal(first, second)
    return _if(differ, "randomness", share, f"two passes differ, in the class of {share:.1%} of the examples")


def _black_box(
    attack: Attack, network: Network, x: Tensor, y: Tensor, queries: int, index: Tensor | None, holds: float
) -> Sign | None:
    square = Square(attack.epsilon, queries, norm=attack.norm, passes=attack.passes, seed=attack.seed)
    left = _share(robust(square.within(attack.bounds, attack.scale), network, x, y, index=index))
    sentence = f"without gradients the accuracy falls to {left:.1%}, with them to {holds:.1%}"
    return _if(left < holds - FEW, "black_box", holds - left, sentence)


def _large_epsilon(attack: Attack, network: Network, x: Tensor, y: Tensor, index: Tensor | None) -> Sign | None:
    large = _range(attack, x)
    left = _share(robust(attack, network, x, y, epsilon=large, index=index))
    return _if(left > FEW, "large_epsilon", left, f"at epsilon={large:g}, the whole range, {left:.1%} are still right")


def _range(attack: Attack, x: Tensor) -> float:
    """The radius within which all inputs lie; without bounds many units of the scale."""
    if attack.bounds is None:
        return max(RANGES, RANGES * attack.epsilon)
    width = (attack.bounds[1] - attack.bounds[0]) / torch.as_tensor(attack.scale).min().item()
    return width if attack.norm == "linf" else width * x[0].numel() ** 0.5


def _transfer(
    attack: Attack, network: Network, other: Network, x: Tensor, y: Tensor, index: Tensor | None, holds: float
) -> Sign | None:
    found = attack(other, x, y, index=index)
    clean, attacked = (correct(network, one, y, passes=attack.passes, seed=attack.seed) for one in (x, found))
    left = _share(clean & attacked)
    sentence = f"examples made against another network leave {left:.1%} right, those made against this one {holds:.1%}"
    return _if(left < holds - FEW, "transfer", holds - left, sentence)


def _if(found: bool, name: str, value: float, sentence: str) -> Sign | None:
    return Sign(name, value, sentence) if found else None


def _share(of: Tensor) -> float:
    return of.double().mean().item()
