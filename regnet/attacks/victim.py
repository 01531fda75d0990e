"""The network as an attack sees it: logits of the classes, gradients by its inputs, and nothing else changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..core.exact import wide
from ..core.seeds import bookmark
from ..core.stochastic import modes_kept, stochastic
from .stacked import Stacked

Network = nn.Module | Callable[[Tensor], Tensor]


class Victim:
    """x (B, ...) ─► logits (B, C), in float32 at least.

    A network of one logit z per example, (B,) or (B, 1), is one of two classes: its logits are 0 and z. Of so many
    `passes` the logits are log p̄, p̄ the mean of their probabilities, so that what is attacked is the prediction of
    the passes together (expectation over transformation, Athalye et al. 2018).
    """

    def __init__(self, network: Network, passes: int | None = None) -> None:
        self.network, self.passes = network, passes
        self.labels = (0, 0)  # the least and the largest that will be asked for

    def __call__(self, x: Tensor) -> Tensor:
        if self.passes is None:
            return self._logits(x)
        log_p = torch.stack([self._logits(x).log_softmax(1) for _ in range(self.passes)])
        return log_p.logsumexp(0) - torch.tensor(float(self.passes)).log().to(log_p)

    @property
    def takes_any_batch(self) -> bool:
        """Whether some of the examples may be asked for without the others."""
        return not isinstance(self.network, Stacked)

    def predict(self, x: Tensor) -> Tensor:
        """The logits alone, without a graph."""
        with torch.no_grad():
            return self(x)

    def climb(self, loss: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """At x, of a loss of logits: its gradient by x, the loss (B,), and the logits; no gradients of weights."""
        leaf = x.detach().requires_grad_()
        logits = self(leaf)
        value = loss(logits)
        if not value.requires_grad:  # an output that depends on x by no gradient, such as a class
            return torch.zeros_like(x), value, logits
        (gradient,) = torch.autograd.grad(value.sum(), leaf, materialize_grads=True)
        return gradient, value.detach(), logits.detach()

    def _logits(self, x: Tensor) -> Tensor:
        logits = wide(self.network(x.clone()))  # which it may change in place
        if logits.ndim == 1:
            logits = logits[:, None]
        logits = torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
        last, (low, high) = logits.shape[1] - 1, self.labels
        if not 0 <= low <= high <= last:
            raise ValueError(f"y must be from 0 to {last}, and goes from {low} to {high}")
        return logits


@contextmanager
def undisturbed(network: Network, passes: int | None, seed: int, device: torch.device) -> Iterator[Victim]:
    """The network in evaluation mode, with its random layers drawing where there are passes, and with gradients.

    Afterwards its modes and torch's random numbers are as before.
    """
    rewind = bookmark(device)
    try:
        with torch.inference_mode(False), torch.enable_grad(), _evaluating(network, passes is not None):
            if passes is not None:
                torch.manual_seed(seed)
            yield Victim(network, passes)
    finally:
        rewind()


@contextmanager
def _evaluating(network: Network, drawing: bool) -> Iterator[None]:
    if not isinstance(network, nn.Module):
        yield
    elif drawing:
        with stochastic(network):
            yield
    else:
        with modes_kept(network):
            network.eval()
            yield
