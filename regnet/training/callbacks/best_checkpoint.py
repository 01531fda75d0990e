"""The checkpoint of the epoch that validation chooses."""

import math
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from ...core.metrics import direction
from .others import watched


class BestCheckpoint(Checkpoint):
    """Saves the state of training at each validation whose monitor is better than all before; the first one wins a tie.

    What was best is remembered by its value alone: a run whose folder was moved goes on with the same choice.

    Args:
        path: of the one file.
        monitor: such as ``val/loss``.
        mode: min or max; None is that of the metric which `monitor` names.

    Raises:
        ValueError: no mode for a monitor that is none of regnet's metrics.
    """

    def __init__(self, path: str, monitor: str, mode: str | None = None) -> None:
        self.path, self.monitor, self.mode = path, monitor, mode or direction(monitor)
        self.best: float | None = None
        self.saved_step = -1

    def improves(self, value: float) -> bool:
        """Whether it is better than all before; if so, it is the best from now on."""
        sign = -1 if self.mode == "min" else 1
        better = not math.isnan(value) and (self.best is None or sign * value > sign * self.best)
        if better:
            self.best = value
        return better

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run or trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:  # type: ignore[attr-defined]
            return
        if self.saved_step == trainer.global_step:
            return
        better = self.improves(watched(trainer, self.monitor))
        if trainer.strategy.reduce_boolean_decision(better):
            self.saved_step = trainer.global_step
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "saved_step": self.saved_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.saved_step = state_dict["best"], state_dict["saved_step"]
