"""The checkpoint of the epoch that validation chooses."""

import math
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from ...core.metrics import direction
from .others import choosable, loss_of, watched


class BestCheckpoint(Checkpoint):
    """Saves the state of training at each validation whose monitor is better than all before.

    Of equal ones the lowest ``val/loss`` is the best, and of these the first. Validations before a callback such as
    `Swa` has begun are passed over. What was best is remembered by its values alone: a run whose folder was moved goes
    on with the same choice.

    Args:
        path: of the one file.
        monitor: such as ``val/loss``; None chooses nothing, so that the last epoch is taken.
        mode: min or max; None is that of the metric which `monitor` names.

    Raises:
        ValueError: no mode for a monitor that is none of regnet's metrics.
    """

    def __init__(self, path: str, monitor: str | None, mode: str | None = None) -> None:
        self.path, self.monitor = path, monitor
        self.mode = None if monitor is None else mode or direction(monitor)
        self.best: float | None = None
        self.loss = math.inf
        self.saved_step = -1

    def improves(self, value: float, loss: float = math.inf) -> bool:
        """Whether it is better than all before; if so, it is the best from now on."""
        sign = -1 if self.mode == "max" else 1
        better = not math.isnan(value) and (self.best is None or (sign * value, loss) < (sign * self.best, self.loss))
        if better:
            self.best, self.loss = value, loss
        return better

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run or trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:  # type: ignore[attr-defined]
            return
        if self.monitor is None or self.saved_step == trainer.global_step or not choosable(trainer):
            return
        better = self.improves(watched(trainer, self.monitor), loss_of(trainer))
        if trainer.strategy.reduce_boolean_decision(better):
            self.saved_step = trainer.global_step
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "loss": self.loss, "saved_step": self.saved_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.loss = state_dict["best"], state_dict.get("loss", math.inf)
        self.saved_step = state_dict["saved_step"]
