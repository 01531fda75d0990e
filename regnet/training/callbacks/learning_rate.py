"""The learning rate of an optimizer, where a callback is what moves it."""

from typing import Any

from torch import Tensor


def set_learning_rate(group: dict[str, Any], lr: float) -> None:
    """Of one of an optimizer's ``param_groups``; where it is a tensor, in place, as a compiled step needs it."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
