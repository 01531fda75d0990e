"""Averages of the weights over training."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ...core import values
from ...core.errors import UserError
from ...core.exact import in_precision, settings, wide
from .learning_rate import set_learning_rate
from .others import FromStart, Moment, callbacks_of

BatchNorm = nn.modules.batchnorm._BatchNorm


class Average(FromStart, WeightAveraging):
    """Lightning's `WeightAveraging` in its hooks and checkpoints, with an average in float32 at least.

    Half precision would round it: in bfloat16 a thousandth of the way to w is none at all. regnet's own settings,
    such as strengths that follow a schedule, are no weights: with the average go those of the present.

    Attributes:
        start: the share of the epochs, in [0, 1), before the first that counts. Before it validation and checkpoints
            are those of the weights as they are, and no epoch is chosen.
        with_buffers: whether buffers are averaged too; else those of the present go with the average.

    Raises:
        UserError: when training starts with another average, as validation can only see one of them, or without an
            end of which `start` is a share.
    """

    start = 0.0
    with_buffers = True
    _average_model: Any  # an AveragedModel from `setup` on

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        others = [one for one in callbacks_of(trainer, WeightAveraging) if one is not self]
        if others:
            names = " and ".join(type(one).__name__ for one in (self, *others))
            raise UserError(f"{names} are both averages of the weights: choose one")
        if stage == "fit" and self.start and (trainer.max_epochs is None or trainer.max_epochs < 1):
            name = type(self).__name__.lower()
            raise UserError(f"{name}.start={self.start} is a share of the epochs: set trainer.max_epochs")
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.align(pl_module)

    def epochs(self, trainer: Trainer | Moment) -> float:
        """How many are averaged after the present one; below 1 before `start`."""
        before = self.start * trainer.max_epochs if self.start and trainer.max_epochs else 0  # see `setup`
        return trainer.current_epoch + 1 - before

    def begun(self, trainer: Trainer | Moment) -> bool:
        return self.epochs(trainer) >= 1

    def due(self, trainer: Trainer | Moment) -> bool:
        """Whether the weights of the step that was just made are taken into the average."""
        return True

    def anew(self, trainer: Trainer | Moment) -> bool:
        """Whether the average begins with them: it is then the weights as they are."""
        return not self.begun(trainer)

    def share(self, count: int) -> float:
        """Of the present weights in the average of `count` others and them."""
        raise NotImplementedError

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.align(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.align(pl_module)

    @torch.no_grad()
    def align(self, pl_module: LightningModule) -> None:
        """Follows the module to its device and precision, which Lightning gives it after it has made the average."""
        average = self._average_model.module.to(pl_module.device)
        own = settings(pl_module)
        ours, theirs = (dict(chain(one.named_parameters(), one.named_buffers())) for one in (average, pl_module))
        # what is averaged, and what it is the average of
        self.pairs = [(mean, theirs[name]) for name, mean in ours.items() if name not in own]
        for mean, now in self.pairs:
            mean.data = mean.data.to(wide(now).dtype if is_averaged(now) else now.dtype)

    @torch.no_grad()
    def update(self) -> None:
        """Takes the present weights into the average; the first ones, and what is counted in integers, as they are."""
        count = int(self._average_model.n_averaged)
        for mean, now in self.pairs:
            mixed = count and is_averaged(mean) and (self.with_buffers or isinstance(now, nn.Parameter))
            mean.copy_(torch.lerp(mean, now.to(mean.dtype), self.share(count)) if mixed else now)
        self._average_model.n_averaged += 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > self._latest_update_step:  # otherwise gradients were only accumulated
            if self.due(trainer):
                if self.anew(trainer):
                    self._average_model.n_averaged.zero_()
                self.update()
            self._latest_update_step = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pass

    @torch.no_grad()
    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._average_model is not None:
            self.kept = [now.detach().clone() for _, now in self.pairs]
            self._copy_average_to_current(pl_module)

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._average_model is not None:
            for (_, now), kept in zip(self.pairs, self.kept, strict=True):
                now.copy_(kept)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        present = {name: checkpoint["state_dict"][name] for name in settings(pl_module)}
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint["state_dict"] |= present

    @torch.no_grad()
    def _copy_average_to_current(self, pl_module: LightningModule) -> None:
        for mean, now in self.pairs:
            now.copy_(mean)


def is_averaged(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


class Ema(Average):
    """ē ← ē + (1 - d)(w - ē) after every step, d = `decay` in [0, 1); validation and checkpoints use ē.

    Args:
        start: the share of the epochs, in [0, 1), before the first that counts.

    Raises:
        ValueError: `decay` or `start` outside [0, 1).
    """

    def __init__(self, decay: float = 0.99, start: float = 0.0) -> None:
        self.decay, self.start = values.rate(decay, "decay"), values.rate(start, "start")
        super().__init__()

    def share(self, count: int) -> float:
        return 1 - self.decay


class Swa(Average):
    """w̄ = mean of the weights at the end of each epoch from `start` on (Izmailov et al. 2018, algorithm 1).

    Validation, checkpoints and the test use w̄, as far as there is one: in the middle of an epoch it is that of the
    epochs behind, and before the first of them the weights themselves are used as they are. Batch norm's running
    statistics are computed anew for w̄ by one pass over the training batches, as
    `torch.optim.swa_utils.update_bn` does: regnet augments on the way into the network, so that they are clean.

    Args:
        start: the share of the epochs, in [0, 1), before the first that counts.
        lr: the learning rate from there on, in place of any schedule; None leaves it.

    Raises:
        ValueError: a value out of range.
    """

    with_buffers = False

    def __init__(self, start: float = 0.75, lr: float | None = None) -> None:
        self.start = values.rate(start, "start")
        self.lr = None if lr is None else values.positive(lr, "lr")
        super().__init__(use_buffers=self.with_buffers)

    def begun(self, trainer: Trainer | Moment) -> bool:
        return self.epochs(trainer) >= (1 if trainer.is_last_batch else 2)  # before an epoch's end it does not count

    def due(self, trainer: Trainer | Moment) -> bool:
        return trainer.is_last_batch  # the validation at the last batch comes before the end of the epoch

    def anew(self, trainer: Trainer | Moment) -> bool:
        return self.epochs(trainer) < 2

    def share(self, count: int) -> float:
        return 1 / (count + 1)

    def set_rates(self, trainer: Trainer | Moment, groups: Sequence[dict[str, Any]]) -> None:
        if self.lr is not None and self.epochs(trainer) >= 1:  # at each step, as schedules may be by step as well
            for group in groups:
                set_learning_rate(group, self.lr)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.set_rates(trainer, trainer.optimizers[0].param_groups)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.due(trainer) and self.begun(trainer):
            self.count_batch_norm(trainer)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._average_model is not None and not trainer.is_last_batch and self.epochs(trainer) < 2:
            self._average_model.n_averaged.zero_()
            self.update()
        super().on_validation_epoch_start(trainer, pl_module)

    def count_batch_norm(self, trainer: Trainer) -> None:
        """The running statistics of the average, from all training batches."""
        average = self._average_model.module
        loader: Any = trainer.train_dataloader
        recount(average, loader, average.device)
        for module in batch_norms(average):
            for statistic in (module.running_mean, module.running_var):
                if statistic is not None:  # each process has seen an equal part of the batches
                    statistic.copy_(trainer.strategy.reduce(statistic, reduce_op="mean"))


def batch_norms(network: nn.Module) -> list[BatchNorm]:
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def recount(network: nn.Module, batches: Iterable[Sequence[Tensor]], device: torch.device) -> None:
    """The running statistics of batch norm, from all these batches; random numbers go on as if nothing was drawn."""
    if batch_norms(network):
        dtype = next(network.parameters()).dtype
        inputs = (in_precision(batch[0], dtype) for batch in batches)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            update_bn(inputs, network, device)
