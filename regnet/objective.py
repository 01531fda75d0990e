"""The objective: a network and its penalties; (x, y) ─► named losses."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from .regularizers.activities import ActivityPenalty
from .regularizers.penalties import Penalty


class Objective(nn.Module):
    """Named terms of the training objective, whose sum is minimized: ``loss``, then ``penalty/<name>``.

    A plain function of parameters and batch: it knows of no trainer, device or loop, and may be called
    under `torch.func` (but with a penalty that differentiates by the inputs).

    Where a penalty compares two passes of the same batch, all terms are those of the doubled batch; they are
    means over it, and expect the same as of one pass.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        penalties: Mapping[str, Penalty] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.penalties = nn.ModuleDict(penalties or {})
        self.passes = max((penalty.passes for penalty in self.penalties.values()), default=1)
        self.of_inputs = any(penalty.of_inputs for penalty in self.penalties.values())

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        if self.passes > 1:
            x, y = torch.cat([x] * self.passes), torch.cat([y] * self.passes)
        if self.of_inputs:
            x = x.detach().requires_grad_()
        with ExitStack() as stack:
            activations = {
                name: stack.enter_context(penalty.recording(self.network))
                for name, penalty in self.penalties.items()
                if isinstance(penalty, ActivityPenalty)
            }
            # a copy where x is differentiated by: what the network does in place must not change x itself
            logits = self.network(x.clone() if self.of_inputs else x)
        loss = self.loss(logits, y)
        terms = {"loss": loss}
        for name, penalty in self.penalties.items():
            terms[f"penalty/{name}"] = penalty(
                self.network, x=x, y=y, logits=logits, loss=loss, activations=activations.get(name, [])
            )
        return terms
