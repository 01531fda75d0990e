"""Lookahead: weights that follow the optimizer's from behind."""

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ...core import hyperparameters, values
from ...core.exact import Wide, wide
from ...core.parametrized import trained
from ...core.weights import parameters
from .decay import Update


class Lookahead(Update):
    """φ ← φ + α (θ - φ), θ ← φ after every k-th step of the optimizer on θ (Zhang et al. 2019, algorithm 1).

    Around any optimizer, whose own state goes on as it is. In between validation sees the fast weights θ. The slow
    ones are kept in float32 at least, whatever the precision of the network. Of all parameters but frozen ones, which
    somebody else may move; φ follows those, and is where they are when unfrozen.

    Args:
        ratio: α in [0, 1], the step of the slow weights φ.
        period: k >= 1.
    """

    stage = Update.AVERAGE
    counts = True

    def __init__(self, ratio: float = 0.5, period: int = 5) -> None:
        super().__init__()
        self.register_buffer("ratio", hyperparameters.ratio(ratio))
        self.register_buffer("steps", torch.tensor(0))
        self.period = values.whole(period, "period")
        self.slow = Wide()  # of its own, as these are rounded to no half precision, and follow the network's double

    def begin(self, network: nn.Module) -> None:
        """The slow weights start where the network is. Raises ValueError for a lazy module without parameters."""
        parameters(network)
        self.steps.zero_()
        for i, w in enumerate(network.parameters()):
            self.slow.register_buffer(str(i), wide(w.detach()).clone())

    @torch.no_grad()
    def forward(self, network: nn.Module) -> None:
        self.steps.add_(1)
        due = self.steps % self.period == 0  # stays a tensor, so that no step waits for the device
        share = torch.where(due, self.ratio, 0.0)
        free = {id(w) for w in trained(network)}
        for slow, w in zip(self.slow.buffers(), network.parameters(), strict=True):
            if id(w) in free:
                slow.add_(share * (w - slow))
                w.copy_(torch.where(due, slow, w))
            else:
                slow.copy_(w)

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        if not self.slow._buffers:
            self.begin(network)
        return optimizer.register_step_post_hook(lambda *_: self(network))
