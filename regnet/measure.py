"""Measuring a network on a set of samples, in the same way after training and from a checkpoint."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from .errors import UserError
from .objective import Objective

Batch = tuple[Tensor, Tensor]
Output = TypeVar("Output")
PREFIX = "objective."


def measure(
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
    """What `forward` makes of each batch's inputs, beside the targets, with the objective as in `measure`."""
    dtype = widen(objective)
    objective.to(device).eval()
    for batch in batches:
        x, y = (tensor.to(device) for tensor in batch)
        if perturb is not None:
            x, y = perturb(x, y)
        yield forward(x.to(dtype)), y


def widen(objective: Objective) -> torch.dtype:
    """Half precision becomes float32; the type of what the network takes."""
    dtypes = {p.dtype for p in objective.parameters() if p.is_floating_point()}
    if dtypes == {torch.float64}:
        return torch.float64
    objective.float()
    return torch.float32


def chosen_checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint of the epoch that validation chose: best.ckpt in `folder`, or last.ckpt where no best is kept.

    Raises:
        UserError: there is neither, or it is damaged.
    """
    best, last = folder / "best.ckpt", folder / "last.ckpt"
    path = best if best.exists() else last
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{path} is absent or damaged ({reason}); train the run again") from error


def load_objective(objective: Objective, checkpoint: Mapping[str, Any]) -> None:
    """Puts what a loaded checkpoint of `RegularizedModule` knows of its objective into `objective`.

    Raises:
        UserError: the checkpoint is one of another objective.
    """
    state = {k.removeprefix(PREFIX): v for k, v in checkpoint["state_dict"].items() if k.startswith(PREFIX)}
    saved = [state[name].dtype for name, _ in objective.named_parameters() if name in state]
    # an average of weights in half precision is not in half precision itself
    objective.double() if torch.float64 in saved else objective.float()  # which leave complex numbers what they are
    try:
        objective.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the checkpoint is of another network or regularizer than the config's: {reason}") from error
