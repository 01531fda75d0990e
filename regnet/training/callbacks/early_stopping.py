"""The end of training when it no longer helps."""

import math
from typing import Any

import torch
from lightning.pytorch import callbacks
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.trainer.states import TrainerFn

from ...core import values
from ...core.metrics import direction
from .others import choosable, loss_of, watched


class EarlyStopping(callbacks.EarlyStopping):
    """Stops at the end of an epoch when the monitor has not improved by more than `min_delta` for `patience` epochs.

    With a `min_delta` of 0 an equal monitor at a lower ``val/loss`` is an improvement too, as for `BestCheckpoint`.
    Epochs are counted, however often is validated: an epoch improves if any of its validations does, and epochs without
    one count as lost at the next. Lightning's own counts validations; nor does this one check for NaN, which regnet's
    module does. Epochs before `start_epoch` count neither as the best nor as lost ones (`start_from_epoch` of Keras),
    nor do those before a callback such as `Swa` has begun. The best weights are those of `BestCheckpoint`; a run of
    regnet is tested with them in any case.

    Args:
        monitor: such as ``val/loss``.
        mode: min or max; None is that of the metric which `monitor` names.
        patience: in epochs, >= 1.

    Raises:
        ValueError: a value out of range, or no mode for a monitor that is none of regnet's metrics.
    """

    def __init__(
        self, monitor: str, mode: str | None = None, patience: int = 10, min_delta: float = 0.0, start_epoch: int = 0
    ) -> None:
        values.whole(patience, "patience")
        values.nonnegative(min_delta, "min_delta")
        super().__init__(
            monitor, min_delta=min_delta, patience=patience, mode=mode or direction(monitor), check_finite=False
        )
        self.start_epoch = values.whole(start_epoch, "start_epoch", 0)
        self.best_epoch = start_epoch
        self.best_loss = math.inf
        self.validated = False  # in this epoch

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        # Lightning forgets that training had been stopped early
        trainer.should_stop = trainer.should_stop or self.stopped

    def watch(self, epoch: int, value: float, loss: float = math.inf) -> None:
        """Takes note of a validation's value of the monitor, and of its loss."""
        if epoch < self.start_epoch:
            return
        self.validated = True
        current = torch.tensor(value)
        tied = self.min_delta == 0 and current == self.best_score and loss < self.best_loss
        if tied or self.monitor_op(current - self.min_delta, self.best_score):
            self.best_score, self.best_epoch, self.best_loss = current, epoch, loss

    def exhausted(self, epoch: int) -> bool:
        """Whether training is to end with this epoch."""
        if not self.validated:  # nothing new is known
            return False
        self.validated = False
        self.wait_count = epoch - self.best_epoch
        if self.wait_count < self.patience:
            return False
        self.stopped_epoch, self.stopping_reason = epoch, EarlyStoppingReason.PATIENCE_EXHAUSTED
        return True

    @property
    def stopped(self) -> bool:
        return self.stopping_reason != EarlyStoppingReason.NOT_STOPPED

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and not trainer.fast_dev_run
        if fitting and choosable(trainer):
            self.watch(trainer.current_epoch, watched(trainer, self.monitor), loss_of(trainer))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        # every process stops if one of them does
        if trainer.strategy.reduce_boolean_decision(self.exhausted(trainer.current_epoch), all=False):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best_epoch": self.best_epoch, "best_loss": self.best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.best_epoch, self.best_loss = state_dict["best_epoch"], state_dict.get("best_loss", math.inf)
