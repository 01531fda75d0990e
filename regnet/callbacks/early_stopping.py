"""The end of training when it no longer helps."""

from typing import Any

from lightning.pytorch import callbacks

from .. import values


class EarlyStopping(callbacks.EarlyStopping):
    """Stops when the monitor has not improved by more than `min_delta` for `patience` epochs.

    Lightning's own, without a check for NaN, which regnet's module has, and with a start: epochs before
    `start_epoch` count neither as the best nor as lost ones (`start_from_epoch` of Keras). The best weights are
    those of ModelCheckpoint; a run of regnet is tested with them in any case.

    Args:
        monitor: such as ``val/loss``.
        mode: min or max.

    Raises:
        ValueError: a value out of range.
    """

    def __init__(
        self, monitor: str, mode: str = "min", patience: int = 10, min_delta: float = 0.0, start_epoch: int = 0
    ) -> None:
        values.whole(patience, "patience")
        values.nonnegative(min_delta, "min_delta")
        super().__init__(monitor, min_delta=min_delta, patience=patience, mode=mode, check_finite=False)
        self.start_epoch = values.whole(start_epoch, "start_epoch", 0)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch >= self.start_epoch:
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch >= self.start_epoch:
            super().on_validation_end(trainer, pl_module)
