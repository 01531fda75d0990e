"""How far the run is, and in a study how far the study."""

import logging
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from ...core import values
from ...core.console import live_line, plain_console
from ...run.study import position

log = logging.getLogger(__name__)


class Progress(Callback):
    """One live line in a terminal or a notebook; in a log file, a line of text every so often.

    It is redrawn by the clock and not by the step, so that it costs a step nothing.

    Args:
        redraw: seconds between two pictures of the live line.
        report: seconds between two lines in a log file.
    """

    def __init__(self, redraw: float = 0.1, report: float = 30.0) -> None:
        console = plain_console()
        self.live = console.is_terminal or console.is_jupyter
        values.nonnegative(redraw, "redraw")
        values.nonnegative(report, "report")
        self.every = redraw if self.live else report
        self.bar = live_line(console)
        self.drawn = 0.0
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = self.drawn = time.monotonic()
        self.first_epoch = trainer.current_epoch
        if trainer.is_global_zero and self.live:
            self.bar.start()
            self.task = self.bar.add_task(position() or "training", total=_total(trainer), text="")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now - self.drawn < self.every or not trainer.is_global_zero:
            return
        self.drawn = now
        done = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
        text = self._text(trainer, pl_module, done, now - self.started)
        if self.live:
            self.bar.update(self.task, completed=done, text=text)
            self.bar.refresh()
        else:
            log.info("%s", "  ".join(filter(None, (position(), text))))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar.live.is_started:
            self.bar.stop()

    def _text(self, trainer: Trainer, pl_module: LightningModule, done: float, seconds: float) -> str:
        total = _total(trainer)
        words = [f"epoch {trainer.current_epoch + 1}" + (f"/{total}" if total else "")]
        for name in ("train_eval", "val"):
            if f"{name}/loss" in pl_module.measured:
                words.append(f"{name.removesuffix('_eval')} loss {pl_module.measured[f'{name}/loss']:.3f}")
        if total and done > self.first_epoch:
            left = seconds / (done - self.first_epoch) * (total - done)
            words.append(f"{left:.0f} s left")
        return "  ".join(words)


def _total(trainer: Trainer) -> int | None:
    return trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
