"""Measuring a network on a set of samples, in the same way after training and from a checkpoint."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .tasks import Classification, Regression

PREFIX = "objective.network."


@torch.no_grad()
def evaluate(
    network: nn.Module,
    task: Classification | Regression,
    batches: Iterable[tuple[Tensor, Tensor]],
    perturb: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """The task's metrics over all batches in evaluation mode; `perturb` changes the inputs first."""
    network.eval()
    outputs, targets = [], []
    for batch in batches:
        x, y = (tensor.to(device) for tensor in batch)
        outputs.append(network(x if perturb is None else perturb(x)))
        targets.append(y)
    return task.metrics(torch.cat(outputs), torch.cat(targets))


def load_weights(network: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Puts the network of a loaded checkpoint of `RegularizedModule` into `network`."""
    state = checkpoint["state_dict"]
    network.load_state_dict({k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)})
