"""metrics.csv: one row for each validation, which is one an epoch unless the Trainer is told otherwise."""

import csv
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

COUNTS = ("epoch", "step")


class MetricsCsv(Callback):
    """Writes what the module measured (`RegularizedModule.measured`) as one row for each validation.

    An epoch has one by default; several rows of an epoch differ in `step`.

    Numbers are written so that they read back bitwise. A resumed run keeps the rows of the epochs that
    its checkpoint has seen, so that the file equals that of an uninterrupted run.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rows = _read(self.path, trainer.current_epoch) if trainer.current_epoch else []
        if trainer.is_global_zero:
            self.path.unlink(missing_ok=True)
            self.append(self.rows)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step, **pl_module.measured}
        self.rows.append(row)
        if trainer.is_global_zero:
            self.append([row])

    def append(self, rows: list[dict[str, float]]) -> None:
        """Writes rows behind those in the file."""
        if not rows:
            return
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            if new:
                writer.writeheader()
            writer.writerows(rows)


def _read(path: Path, epochs: int) -> list[dict[str, float]]:
    """The rows of the first epochs; a later one may have been cut off with the run."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epochs]
    return [{key: (int if key in COUNTS else float)(row[key]) for key in row} for row in rows]
