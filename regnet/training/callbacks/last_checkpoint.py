"""Checkpoints to go on from after an interruption."""

import time
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from ...core import values
from ...core.files import write, writing
from ...run.checkpoints import readable
from .others import callbacks_of
from .time_limit import TimeLimit


class LastCheckpoint(Checkpoint):
    """Saves the whole state of training at the end of an epoch, at most every so many seconds.

    Always at an epoch's end, where a resumed run goes on bitwise; by the clock, as an epoch of a small run
    takes less time than its checkpoint.

    Raises:
        ValueError: `every_seconds` is no number >= 0.
    """

    def __init__(self, path: str, every_seconds: float = 10.0) -> None:
        self.path, self.every_seconds = path, values.nonnegative(every_seconds, "every_seconds")
        self.stopped = False

    def state_dict(self) -> dict[str, Any]:
        return {"stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stopped = state_dict["stopped"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved = time.monotonic()
        # Lightning forgets that training had been stopped early
        trainer.should_stop = trainer.should_stop or self.stopped

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        due = trainer.fit_loop.done or time.monotonic() - self.saved >= self.every_seconds
        # all processes must decide alike, because some strategies save together
        if trainer.strategy.broadcast(due):
            cut = any(limit.cut for limit in callbacks_of(trainer, TimeLimit))
            self.stopped = trainer.should_stop and not cut
            trainer.save_checkpoint(self.path)
            self.saved = time.monotonic()


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is the old one or the new one, never a part: written beside its place, then moved there.

    Which older ones a callback removes can come from a checkpoint of somebody else: only those are removed that lie
    in a folder where this process has saved one.
    """

    def __init__(self) -> None:
        self.folders: set[Path] = set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        state = {key: value if key == "state_dict" else readable(value, key) for key, value in checkpoint.items()}
        buffer = BytesIO()
        torch.save(state, buffer)
        with writing(Path(path)):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        write(Path(path), buffer.getbuffer())
        self.folders.add(Path(path).resolve().parent)

    def remove_checkpoint(self, path: str | Path) -> None:
        if Path(path).resolve().parent in self.folders:
            super().remove_checkpoint(path)
