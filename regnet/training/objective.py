"""The objective: a network and its penalties; (x, y) ─► named losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..regularizers.penalties.weights import Penalty

Batch = tuple[Tensor, Tensor]


class Needs(NamedTuple):
    """What penalties need of a batch.

    Args:
        passes: how often it goes through the network, one copy behind the other.
        of_inputs: whether they differentiate by x.
    """

    passes: int
    of_inputs: bool

    @classmethod
    def of(cls, penalties: Iterable[Penalty]) -> Needs:
        penalties = list(penalties)
        passes = max((penalty.passes for penalty in penalties), default=1)
        return cls(passes, any(penalty.of_inputs for penalty in penalties))

    def batch(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(passes B, ...) each."""
        if self.passes > 1:
            x, y = torch.cat([x] * self.passes), torch.cat([y] * self.passes)
        return (x.detach().requires_grad_() if self.of_inputs and not x.requires_grad else x), y

    def inputs(self, x: Tensor) -> Tensor:
        """For the network: a copy where x is differentiated by, which nothing may then change in place."""
        return x.clone() if self.of_inputs else x


class Objective(nn.Module):
    """Named terms of the training objective, whose sum is minimized: ``loss``, then ``penalty/<name>``.

    A plain function of parameters and batch: it knows of no trainer, device or loop, and may be called
    under `torch.func` (but with a penalty that differentiates by the inputs).

    Where a penalty compares two passes of the same batch, all terms are those of the doubled batch; they are
    means over it, and expect the same as of one pass.
    """

    loss: Any  # which has `metrics` as well where something measures: see `regnet.core.tasks`
    penalties: Mapping[str, Penalty]  # a ModuleDict: torch's is one of any modules

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        penalties: Mapping[str, Penalty] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.penalties = nn.ModuleDict(penalties or {})  # type: ignore[assignment]
        self.needs = Needs.of(self.penalties.values())

    @property
    def terms(self) -> list[str]:
        """Their names."""
        return ["loss", *(f"penalty/{name}" for name in self.penalties)]

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        x, y = self.needs.batch(x, y)
        with ExitStack() as stack:
            activations = {
                name: stack.enter_context(penalty.recording(self.network)) for name, penalty in self.penalties.items()
            }
            logits = self.network(self.needs.inputs(x))
        loss = self.loss(logits, y)
        terms = {"loss": loss}
        for name, penalty in self.penalties.items():
            term = penalty(self.network, x=x, y=y, logits=logits, loss=loss, activations=activations[name])
            terms[f"penalty/{name}"] = term.to(loss.dtype)  # a float64 strength may have made it wider
        return terms
