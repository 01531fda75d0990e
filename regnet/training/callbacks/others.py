"""What a callback finds in its Trainer: the other callbacks, and what was measured."""

from typing import TypeVar

from lightning import Trainer

from ...core.errors import UserError, shown

Kind = TypeVar("Kind")


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """Those of this kind, in the Trainer's order."""
    return [one for one in trainer.callbacks if isinstance(one, kind)]  # type: ignore[attr-defined]


def watched(trainer: Trainer, monitor: str) -> float:
    """What a validation has found of a metric. Raises UserError: nothing has logged it there."""
    if monitor not in trainer.callback_metrics:
        logged = ", ".join(sorted(trainer.callback_metrics))
        raise UserError(f"monitor={shown(monitor)} is not logged in validation, which has: {logged}")
    return float(trainer.callback_metrics[monitor])
