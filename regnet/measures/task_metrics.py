"""Measuring a network on a set of samples, in the same way after training and from a checkpoint."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from ..core.exact import in_precision
from ..training.objective import Batch, Objective

Output = TypeVar("Output")


def task_metrics(
    objective: Objective,
    batches: Iterable[Batch],
    perturb: Callable[[Tensor, Tensor], Batch] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """The metrics of the objective's task over all batches, in evaluation mode, in float32 at least.

    `perturb` changes each batch first, as a batch transform does.
    """
    outputs, targets = zip(*passed(objective, batches, perturb, device, objective.network), strict=True)
    return objective.loss.metrics(torch.cat(outputs), torch.cat(targets))


@torch.no_grad()
def passed(
    objective: Objective,
    batches: Iterable[Batch],
    perturb: Callable[[Tensor, Tensor], Batch] | None,
    device: torch.device | str,
    forward: Callable[[Tensor], Output],
) -> Iterator[tuple[Output, Tensor]]:
    """What `forward` makes of each batch's inputs, beside the targets, with the objective as in `task_metrics`."""
    dtype = widen(objective)
    objective.to(device).eval()
    for batch in batches:
        x, y = (tensor.to(device) for tensor in batch)
        if perturb is not None:
            x, y = perturb(x, y)
        yield forward(in_precision(x, dtype)), y


def widen(objective: Objective) -> torch.dtype:
    """Half precision becomes float32; the type of what the network takes."""
    dtypes = {p.dtype for p in objective.parameters() if p.is_floating_point()}
    if dtypes == {torch.float64}:
        return torch.float64
    objective.float()
    return torch.float32
