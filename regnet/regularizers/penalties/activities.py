"""Penalties of activations: what the network's layers put out, recorded while it computes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...core import hyperparameters, values
from ...core.exact import at_precision_of, wide
from ...core.patterns import modules
from .weights import AbsoluteSum, Penalty, SquareSum, total

SQUASHINGS = {"none": lambda h: h, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class ActivityPenalty(Penalty):
    """A penalty of activations, each (B, ...): a mean over the batch, as Keras's `activity_regularizer`.

    In any training code::

        with penalty.recording(network) as activations:
            logits = network(x)
        loss = F.cross_entropy(logits, y) + penalty(network, activations=activations)

    Args:
        strength: λ >= 0.
        layers: whose outputs, by class or name (see `regnet.core.patterns.modules`); None is all activation functions.
    """

    def __init__(self, strength: float, layers: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.layers = layers

    def begin(self, network: nn.Module) -> None:
        """Raises ValueError where there is nothing to record."""
        if not self._recorded(network):
            raise ValueError("the network has no activation functions to record; name other modules as layers")

    @contextmanager
    def recording(self, network: nn.Module) -> Iterator[list[Tensor]]:
        """What the layers put out meanwhile, in the order of their calls; before what may be added behind them.

        Raises:
            ValueError: a layer puts out something else than one tensor, such as LSTM.
        """
        activations: list[Tensor] = []

        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not isinstance(output, Tensor):
                names = type(self).__name__, type(module).__name__, type(output).__name__
                raise ValueError("{} is for layers that put out one tensor, and {} puts out a {}".format(*names))
            activations.append(output.clone())  # what comes next may change it in place, as nn.ReLU(inplace=True)

        handles = [m.register_forward_hook(record, prepend=True) for m in self._recorded(network)]
        try:
            yield activations
        finally:
            for handle in handles:
                handle.remove()

    def forward(self, network: nn.Module, activations: Sequence[Tensor], **_: Any) -> Tensor:
        if not activations:
            raise ValueError(f"{type(self).__name__} has recorded nothing: none of its layers was called in this pass")
        total = self.measure([wide(h) for h in activations])
        return at_precision_of(total, self.strength) * total

    def measure(self, activations: list[Tensor]) -> Tensor:
        """The penalty of these at strength 1; they are in float32 at least."""
        raise NotImplementedError

    def _recorded(self, network: nn.Module) -> list[nn.Module]:
        if self.layers is not None:
            return modules(network, self.layers)
        found = (m for m in network.modules() if type(m).__module__ == nn.ReLU.__module__)
        return [m for m in found if not isinstance(m, nn.MultiheadAttention)]  # which torch keeps beside them


class ActivityL1(ActivityPenalty):
    """λ / B Σ_b Σ|h_b| over all activations of a sample. Keras's `activity_regularizer=L1`."""

    def measure(self, activations: list[Tensor]) -> Tensor:
        return AbsoluteSum.apply(*activations) / len(activations[0])


class ActivityL2(ActivityPenalty):
    """λ / B Σ_b Σ h_b² over all activations of a sample. Keras's `activity_regularizer=L2`."""

    def measure(self, activations: list[Tensor]) -> Tensor:
        return SquareSum.apply(*activations) / len(activations[0])


class KLSparsity(ActivityPenalty):
    """λ Σ_j [ρ log(ρ / ρ̂_j) + (1 - ρ) log((1 - ρ) / (1 - ρ̂_j))], ρ̂_j the mean activation of unit j (Ng 2011).

    The mean is over the batch, and over the positions of a feature map: a unit is an entry of axis 1. It is held
    in [1e-6, 1 - 1e-6].

    Args:
        strength: λ >= 0; Ng's β.
        target: ρ in (0, 1).
        squash: takes activations into [0, 1] first: ``tanh`` those that are not negative, such as of ReLU;
            ``sigmoid`` any real ones, such as of Linear; ``none`` where they are there already, as of Sigmoid.
        layers: as of every `ActivityPenalty`.
    """

    def __init__(
        self,
        strength: float,
        target: float = 0.05,
        squash: str = "tanh",
        layers: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(strength, layers)
        self.register_buffer("target", hyperparameters.fraction(target, "target"))
        self.squash = values.one_of(squash, "squash", SQUASHINGS)

    def measure(self, activations: list[Tensor]) -> Tensor:
        return total(self._divergence(SQUASHINGS[self.squash](h)) for h in activations)

    def _divergence(self, h: Tensor) -> Tensor:  # (B, units, ...)
        mean = h.transpose(0, 1).flatten(1).mean(1).clamp(1e-6, 1 - 1e-6)  # (units,)
        rho = at_precision_of(mean, self.target)
        return (rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()).sum()
