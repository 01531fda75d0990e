"""metrics.csv of a run."""

from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import Callback


class MetricsCsv(Callback):
    """Keeps the rows of the module's `Ledger` in a file too: one for each validation, under one header.

    A resumed run keeps those that its checkpoint has seen, so that the file equals that of an uninterrupted run.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        pl_module.ledger.open(self.path, write=trainer.is_global_zero)
