"""What callbacks watch."""

from lightning import Trainer

from ...core.errors import UserError, shown


def watched(trainer: Trainer, monitor: str) -> float:
    """What a validation has found of a metric. Raises UserError: nothing has logged it there."""
    if monitor not in trainer.callback_metrics:
        logged = ", ".join(sorted(trainer.callback_metrics))
        raise UserError(f"monitor={shown(monitor)} is not logged in validation, which has: {logged}")
    return float(trainer.callback_metrics[monitor])
