"""An end of training by steps."""

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class StepLimit(Callback):
    """Ends training after so many steps of the optimizer, as the Trainer's `max_steps`.

    A Trainer that is made with `max_steps` takes each checkpoint for one from the middle of an epoch, and a run that
    goes on from an epoch's end would see other noise than one that was never interrupted.

    Args:
        steps: >= 1.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.fit_loop.epoch_loop.max_steps = self.steps
