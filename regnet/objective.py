"""The objective: a network and its penalties; (x, y) ─► named losses."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from .regularizers.penalties import Penalty


class Objective(nn.Module):
    """Named terms of the training objective, whose sum is minimized: ``loss``, then ``penalty/<name>``.

    A plain function of parameters and batch: it knows of no trainer, device or loop, and may be called
    under `torch.func`.
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

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        logits = self.network(x)
        terms = {"loss": self.loss(logits, y)}
        for name, penalty in self.penalties.items():
            terms[f"penalty/{name}"] = penalty(self.network, x=x, y=y, logits=logits)
        return terms
