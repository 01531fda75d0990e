"""Measuring a network on a set of samples, in the same way after training and from a checkpoint."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .objective import Objective

Batch = tuple[Tensor, Tensor]
PREFIX = "objective."


@torch.no_grad()
def measure(
    objective: Objective,
    batches: Iterable[Batch],
    perturb: Callable[[Tensor, Tensor], Batch] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """The metrics of the objective's task over all batches, in evaluation mode, in float32.

    `perturb` changes each batch first, as a batch transform does.
    """
    objective.float().to(device).eval()
    outputs, targets = [], []
    for batch in batches:
        x, y = (tensor.to(device) for tensor in batch)
        if perturb is not None:
            x, y = perturb(x, y)
        outputs.append(objective.network(x))
        targets.append(y)
    return objective.loss.metrics(torch.cat(outputs), torch.cat(targets))


def load_objective(objective: Objective, checkpoint: Mapping[str, Any]) -> None:
    """Puts what a loaded checkpoint of `RegularizedModule` knows of its objective into `objective`."""
    state = checkpoint["state_dict"]
    objective.load_state_dict({k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)})
