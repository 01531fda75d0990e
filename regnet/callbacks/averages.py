"""Averages of the weights over training."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from .. import values
from ..errors import UserError
from .learning_rate import set_learning_rate

BATCH_NORM = nn.modules.batchnorm._BatchNorm


class Average(WeightAveraging):
    """Lightning's `WeightAveraging`, with the average on the training device from the start.

    Raises:
        UserError: when training starts with another average, as validation can only see one of them.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        others = [one for one in trainer.callbacks if isinstance(one, WeightAveraging) and one is not self]
        if others:
            names = " and ".join(type(one).__name__ for one in (self, *others))
            raise UserError(f"{names} are both averages of the weights: choose one")
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._average_model.to(pl_module.device)  # Lightning makes it before it moves the module there


class Ema(Average):
    """ē ← ē + (1 - d)(w - ē) after every step, d = `decay` in [0, 1); validation and checkpoints use ē.

    Buffers that do not change are left exactly as they are.

    Raises:
        ValueError: `decay` outside [0, 1).
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = values.rate(decay, "decay")
        super().__init__(avg_fn=self.average)

    def average(self, average: Tensor, current: Tensor, _: Tensor) -> Tensor:
        # batch norm counts its batches in integers
        return torch.lerp(average, current, 1 - self.decay) if average.is_floating_point() else current


class Swa(Average):
    """w̄ = mean of the weights at the end of each epoch from `start` on (Izmailov et al. 2018, algorithm 1).

    Validation, checkpoints and the test use w̄; before `start` the weights themselves. Batch norm's running
    statistics are computed anew for w̄ by one pass over the training batches, as
    `torch.optim.swa_utils.update_bn` does: regnet augments on the way into the network, so that they are clean.

    Args:
        start: the share of the epochs, in [0, 1), before the first that counts.
        lr: the learning rate from there on, in place of any schedule; None leaves it.

    Raises:
        ValueError: a value out of range.
    """

    def __init__(self, start: float = 0.75, lr: float | None = None) -> None:
        self.start = values.rate(start, "start")
        self.lr = None if lr is None else values.positive(lr, "lr")
        super().__init__(use_buffers=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and (trainer.max_epochs is None or trainer.max_epochs < 1):
            raise UserError(f"swa.start={self.start} is a share of the epochs: set trainer.max_epochs")
        super().setup(trainer, pl_module, stage)

    def epochs(self, trainer: Trainer) -> float:
        """How many are averaged after the present one; below 1 before `start`."""
        return trainer.current_epoch + 1 - self.start * trainer.max_epochs

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.lr is not None and self.epochs(trainer) >= 1:  # at each step, as schedules may be by step as well
            for group in trainer.optimizers[0].param_groups:
                set_learning_rate(group, self.lr)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_last_batch:  # its validation comes before the epoch's own end
            return
        begun = self.epochs(trainer)
        if begun < 2:
            self._average_model.n_averaged.zero_()  # takes the weights as they are
        self._average_model.update_parameters(pl_module)
        if begun >= 1:
            self.count_batch_norm(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pass

    def count_batch_norm(self, trainer: Trainer) -> None:
        """The running statistics of the average, from all training batches."""
        average = self._average_model.module
        found = [module for module in average.modules() if isinstance(module, BATCH_NORM)]
        if not found:
            return
        device = average.device
        batches = (trainer.precision_plugin.convert_input(batch)[0] for batch in trainer.train_dataloader)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            update_bn(batches, average, device)
        for module in found:
            for statistic in (module.running_mean, module.running_var):
                if statistic is not None:  # of equal parts of the batches in each process
                    statistic.copy_(trainer.strategy.reduce(statistic, reduce_op="mean"))
