"""Averages of the weights over training."""

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class Ema(WeightAveraging):
    """ē ← ē + (1 - d)(w - ē) after every step, d = `decay` in [0, 1); validation and checkpoints use ē.

    Lightning's `WeightAveraging`, with the average on the training device from the start, and buffers that do
    not change left exactly as they are.

    Raises:
        ValueError: `decay` outside [0, 1).
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay!r}")
        self.decay = decay
        super().__init__(avg_fn=self.average)

    def average(self, average: Tensor, current: Tensor, _: Tensor) -> Tensor:
        # batch norm counts its batches in integers
        return torch.lerp(average, current, 1 - self.decay) if average.is_floating_point() else current

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._average_model.to(pl_module.device)  # Lightning makes it before it moves the module there
