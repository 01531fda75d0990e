"""An end of training by the clock."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Timer


class TimeLimit(Timer):
    """Ends training with the epoch in which the time is up, at the end of which a run can go on bitwise.

    Each start of a run has the whole time: the same run goes on when it is started again.

    Args:
        duration: as ``DD:HH:MM:SS``, or a dict of days, hours, minutes and seconds.
    """

    def __init__(self, duration: str | dict[str, int]) -> None:
        super().__init__(duration, interval="epoch")
        self.cut = False  # whether training was to go on

    def on_fit_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        pass

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.fit_loop.done and trainer.strategy.broadcast(self.time_remaining() <= 0):  # type: ignore[operator]  # not None
            self.cut = trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass
