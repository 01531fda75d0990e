"""How far the run is, and in a study how far the study."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from ...core import values
from ...core.progress import ProgressLine, time_left
from ...run.study import position

log = logging.getLogger(__name__)


class Progress(Callback):
    """One live line in a terminal or a notebook; in a log file, a line of text every so often.

    Args:
        redraw: seconds between two pictures of the live line.
        report: seconds between two lines in a log file.
    """

    def __init__(self, redraw: float = 0.1, report: float = 30.0) -> None:
        values.nonnegative(redraw, "redraw")
        values.nonnegative(report, "report")
        self.line = ProgressLine(self._say, redraw, report)
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started, self.first_epoch = time.monotonic(), trainer.current_epoch
        if trainer.is_global_zero:
            self.line.start(position() or "training", _total(trainer))

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.is_global_zero and self.line.due():
            done = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
            self.line.show(done, self._text(trainer, pl_module.measured, done), _total(trainer))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.line.stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.line.stop()

    def _say(self, text: str) -> None:
        log.info("%s", "  ".join(filter(None, (position(), text))))

    def _text(self, trainer: Trainer, measured: Mapping[str, float], done: float) -> str:
        total = _total(trainer)
        words = [f"epoch {trainer.current_epoch + 1}" + (f"/{total}" if total else "")]
        for name in ("train_eval", "val"):
            if f"{name}/loss" in measured:
                words.append(f"{name.removesuffix('_eval')} loss {measured[f'{name}/loss']:.3f}")
        if total:
            words.append(time_left(self.started, self.first_epoch, done, total))
        return "  ".join(filter(None, words))


def _total(trainer: Trainer) -> int | None:
    return trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
