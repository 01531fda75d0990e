"""What a callback finds in its Trainer: the other callbacks, and what was measured."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from lightning import Trainer

from ...core.errors import UserError, shown
from ...core.metrics import TIES

Kind = TypeVar("Kind")


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """Those of this kind, in the Trainer's order."""
    return [one for one in trainer.callbacks if isinstance(one, kind)]  # type: ignore[attr-defined]


class Moment(NamedTuple):
    """Where training is, under the names that a Trainer has for it.

    Args:
        global_step: how many steps the optimizer has made.
        is_last_batch: whether the last of them was an epoch's last.
    """

    current_epoch: int
    max_epochs: int | None
    global_step: int
    is_last_batch: bool


class FromStart:
    """A callback that makes another network of the trained one, from some epoch on."""

    def begun(self, trainer: Trainer | Moment) -> bool:
        """Whether the network that was just validated is the one it makes. Epochs before are not chosen."""
        return True

    def plan(self, steps: float, groups: Sequence[dict[str, Any]]) -> None:
        """Is told before training how many steps it has, and the optimizer's ``param_groups``."""

    def set_rates(self, trainer: Trainer | Moment, groups: Sequence[dict[str, Any]]) -> None:
        """Sets the learning rates of the next step, if it is what moves them."""


def choosable(trainer: Trainer) -> bool:
    """Whether the epoch that was just validated may be the chosen one."""
    return all(callback.begun(trainer) for callback in callbacks_of(trainer, FromStart))


def loss_of(trainer: Trainer) -> float:
    """The loss of the validation, which parts those with equal monitors; infinite where there is none."""
    return float(trainer.callback_metrics.get(TIES, math.inf))


def watched(trainer: Trainer, monitor: str) -> float:
    """What a validation has found of a metric. Raises UserError: nothing has logged it there."""
    if monitor not in trainer.callback_metrics:
        logged = ", ".join(sorted(trainer.callback_metrics))
        raise UserError(f"monitor={shown(monitor)} is not logged in validation, which has: {logged}")
    return float(trainer.callback_metrics[monitor])
