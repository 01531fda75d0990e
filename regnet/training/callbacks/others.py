"""What a callback finds in its Trainer: the other callbacks, and what was measured."""

import math
from typing import TypeVar

from lightning import Trainer

from ...core.errors import UserError, shown
from ...core.metrics import TIES

Kind = TypeVar("Kind")


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """Those of this kind, in the Trainer's order."""
    return [one for one in trainer.callbacks if isinstance(one, kind)]  # type: ignore[attr-defined]


class FromStart:
    """A callback that makes another network of the trained one, from some epoch on."""

    def begun(self, trainer: Trainer) -> bool:
        """Whether the network that was just validated is the one it makes. Epochs before are not chosen."""
        return True


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
