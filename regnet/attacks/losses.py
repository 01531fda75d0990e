"""What attacks climb: a loss of each example, from logits (B, C) and classes y (B,), to (B,)."""

import warnings
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """-log p_y, in nats."""
    return F.cross_entropy(logits, y, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """max_{j≠y} z_j - z_y: above 0 where the example is classified wrongly.

    >>> import torch
    >>> margin(torch.tensor([[3.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1]))
    tensor([-2.,  2.])
    """
    return without(logits, y).amax(1) - of_class(logits, y)


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """(max_{j≠y} z_j - z_y) / (z_π1 - z_π3), π the order of the logits (Croce and Hein 2020, equation 6).

    The ratio changes with neither offset nor scale of the logits. It is not defined for two classes: a warning says
    so, and the margin is taken.
    """
    if _too_few(logits, 3, "the DLR loss"):
        return margin(logits, y)
    top = logits.topk(3, dim=1).values
    return margin(logits, y) / (top[:, 0] - top[:, 2]).clamp(min=TINY)


def targeted_dlr(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """(z_t - z_y) / (z_π1 - (z_π3 + z_π4) / 2) (Croce and Hein 2020, equation 7).

    It is not defined for three classes or fewer: a warning says so, and z_t - z_y is taken.
    """
    ahead = of_class(logits, target) - of_class(logits, y)
    if _too_few(logits, 4, "the targeted DLR loss"):
        return ahead
    top = logits.topk(4, dim=1).values
    return ahead / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2).clamp(min=TINY)


TINY = 1e-12
LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "dlr": dlr, "margin": margin}


def of_class(logits: Tensor, y: Tensor) -> Tensor:
    """z_y, (B,)."""
    return logits.gather(1, y[:, None])[:, 0]


def without(logits: Tensor, y: Tensor) -> Tensor:
    """The logits with -inf in place of z_y, (B, C)."""
    return logits.scatter(1, y[:, None], -float("inf"))


def _too_few(logits: Tensor, least: int, name: str) -> bool:
    if logits.shape[1] >= least:
        return False
    warnings.warn(
        f"{name} needs at least {least} classes, and there are {logits.shape[1]}: the margin is climbed instead",
        stacklevel=2,
    )
    return True
