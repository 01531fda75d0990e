"""The LightningModule: an objective, its optimizer, and what is measured each epoch."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter
from typing import Any

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ..core.ending import stop_here
from ..core.seeds import derive
from ..core.weights import weight_statistics
from ..regularizers import SAM, BatchTransform, Update
from ..regularizers.schedules import Schedules
from ..run.ledger import Ledger, training_state
from ..run.loggers import Overheard
from .objective import Batch, Objective
from .replay import Replay


class RegularizedModule(lightning.LightningModule):
    """Trains an `Objective`: the sum of its named terms, every term logged apart.

    What is measured at every validation goes into the `Ledger`, which has the names; an epoch has one by default. The
    end of training is always validated, wherever it comes: `max_steps` in the middle of an epoch, or an epoch that
    `check_val_every_n_epoch` passes over.

    Args:
        objective: its `loss` is a task of `regnet.core.tasks` (it also defines the metrics).
        optimizer: makes the optimizer from parameters, such as ``partial(torch.optim.Adam, lr=1e-3)``.
        scheduler: makes the learning-rate schedule from the optimizer; stepped after each `interval`,
            `ReduceLROnPlateau` after each epoch with what `monitor` was last.
        updates: attached to the optimizer by their stage (clipping, decay, constraints); SAM around the closure.
        transforms: of the training batch, run by their stage.
        schedules: of strengths and rates, which move with every step.
        seed: of the noise stream, which starts anew every epoch, so that a resumed run needs no state.
        monitor: the metric by which epochs are judged, which `ReduceLROnPlateau` watches.
        interval: ``epoch``, or ``step`` of the optimizer.
    """

    updates: Sequence[Update]  # a ModuleList, as is the next: torch's is one of any modules
    transforms: Sequence[BatchTransform]

    def __init__(
        self,
        objective: Objective,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        updates: Sequence[Update] = (),
        transforms: Sequence[BatchTransform] = (),
        schedules: Schedules | None = None,
        seed: int = 0,
        monitor: str | None = "val/loss",
        interval: str = "epoch",
    ) -> None:
        super().__init__()
        self.objective = objective
        self.updates = nn.ModuleList(sorted(updates, key=attrgetter("stage")))  # type: ignore[assignment]
        self.transforms = nn.ModuleList(sorted(transforms, key=attrgetter("stage")))  # type: ignore[assignment]
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.schedules = schedules or Schedules()
        self.seed, self.monitor, self.interval = seed, monitor, interval
        self.replay = Replay(self, next((update for update in self.updates if isinstance(update, SAM)), None))
        self.ledger = Ledger()
        self.also: Callable[[], dict[str, float]] | None = None  # what else each validation measures
        self._state: dict[str, float] = {}  # of the training, at the last validation
        self._rates: list[float | Tensor] = []  # of learning, in the last step
        self._logged_step = -1
        self._sums: Tensor | None = None  # (terms,): Σ of each term over the epoch's samples
        self._count = 0  # of the samples
        self._outputs: tuple[list[Batch], list[Batch]] = ([], [])  # logits and targets of val and probe

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of the running hook 40 times a step: not a matter for nn.Module's bookkeeping
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def measured(self) -> dict[str, float]:
        """What the last validation found, under the names of the `Ledger`."""
        return self.ledger.measured

    def forward(self, x: Tensor) -> Tensor:
        return self.objective.network(x)

    def setup(self, stage: str) -> None:
        self.ledger.listeners = [logger for logger in self.loggers if not isinstance(logger, Overheard)]

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.objective.parameters())
        for update in self.updates:
            if not isinstance(update, SAM):
                update.attach(optimizer, self.objective.network)
        if self.make_scheduler is None:
            return optimizer
        schedule: Any = self.make_scheduler(optimizer)
        if isinstance(schedule, ReduceLROnPlateau):  # Lightning would step it only after the epoch's checkpoint
            schedule = {"scheduler": schedule, "monitor": self.monitor, "reduce_on_plateau": False}
        elif self.interval == "step":
            schedule = {"scheduler": schedule, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def lr_scheduler_step(self, scheduler: LRScheduler, metric: Any) -> None:
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def on_train_epoch_end(self) -> None:
        scheduler = self.lr_schedulers()
        if not isinstance(scheduler, ReduceLROnPlateau) or self.monitor is None:
            return
        found = self.measured.get(self.monitor, self.trainer.callback_metrics.get(self.monitor))
        if found is not None:
            scheduler.step(torch.as_tensor(found))

    def on_train_start(self) -> None:
        self._steps = self.trainer.estimated_stepping_batches if self.schedules.scheduled else 0

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(derive(self.seed, "noise", self.current_epoch, self.global_rank))
        self._sums = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._begin_step()
        self.replay.keep(batch, batch_idx)
        x, y = self._transformed(batch)
        values = torch.stack(list(self.objective(x, y).values()))
        if self.replay.running:
            return values.sum()
        self._accumulate(values.detach(), len(x))
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # 0 is never
        if every and self.global_step % every == 0 and self.global_step != self._logged_step:
            self._log_step(values)
        return values.sum()

    def step(
        self,
        batch: Batch,
        optimizer: Optimizer,
        precision: Callable[[], AbstractContextManager[Any]],
        gradients: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        """What Lightning makes of `training_step` and `optimizer_step`, without its hooks and without a log.

        Args:
            precision: within which a training_step is computed.
            gradients: (x, y) ─► the terms, whose sum's gradients are then those of the parameters.
        """
        self._begin_step()

        def closure() -> Tensor:
            with precision():
                x, y = self._transformed(batch)
            values = gradients(x, y)
            if not self.replay.running:
                self._accumulate(values, len(x))
            return values.sum()

        optimizer.step(self.replay.around(closure, optimizer))

    def _begin_step(self) -> None:
        stop_here()
        if self.schedules.scheduled:
            self.schedules.set(self.global_step / self._steps)

    def _transformed(self, batch: Batch) -> Batch:
        x, y = batch
        for transform in self.transforms:
            x, y = transform(x, y, self.objective)
        return x, y

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, self.replay.around(optimizer_closure, optimizer))
        rates = (
            group["lr"] for group in optimizer.param_groups if "lr" in group
        )  # schedules move on before the validation
        self._rates = [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        trainer = self.trainer
        last_epoch = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        last_step = trainer.max_steps != -1 and trainer.global_step == trainer.max_steps
        if last_epoch or last_step or trainer.should_stop:
            trainer.check_val_every_n_epoch, trainer.val_check_batch = 1, batch_idx + 1  # now

    def on_validation_epoch_start(self) -> None:
        # here, as callbacks that average weights swap them in for the validation alone
        weights = weight_statistics(self.objective.network)
        self._state = training_state(self._train_terms(), weights, self._rates, self.schedules.values())

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        stop_here()
        x, y = batch
        with torch.autocast(self.device.type, enabled=False):  # measured in float32, as the test is
            self._outputs[dataloader_idx].append((self.objective.network(x), y))

    def on_validation_epoch_end(self) -> None:
        val, probe = map(self._metrics, self._outputs)
        val |= self.also() if self.also else {}
        self.ledger.validated(self.current_epoch, self.global_step, self._state, val, probe)
        if not self.trainer.sanity_checking:
            # what callbacks may watch; the rest goes to the loggers directly, as `self.log` costs 0.2 ms a value
            self.log_dict({f"val/{key}": value for key, value in val.items()}, logger=False)
            self.ledger.enter(self.current_epoch, self.global_step, row=self.trainer.state.fn == TrainerFn.FITTING)
            self.ledger.flush()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= self.ledger.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.ledger.load_state_dict(checkpoint)

    def _metrics(self, outputs: list[Batch]) -> dict[str, float]:
        """The task's metrics of what a validation has gathered, which is then forgotten."""
        if not outputs:
            return {}
        logits, y = (torch.cat(column) for column in zip(*outputs, strict=True))
        outputs.clear()
        return self.objective.loss.metrics(logits, y)

    def _accumulate(self, values: Tensor, count: int) -> None:
        if self._sums is None:
            self._sums, self._count = torch.zeros_like(values), 0
        self._sums.add_(values, alpha=count)
        self._count += count

    def _train_terms(self) -> dict[str, float]:
        if self._sums is None:
            return {}
        both = torch.cat([self._sums, self._sums.new_tensor([self._count])])
        *sums, count = self.trainer.strategy.reduce(both, reduce_op="sum").tolist()
        return {name: value / count for name, value in zip(self.objective.terms, sums, strict=True)}

    def _log_step(self, values: Tensor) -> None:
        self._logged_step = self.global_step  # with accumulated gradients, several batches have the same step
        alone = self.trainer.world_size == 1  # else one would stop while the others go on
        named = dict(zip(self.objective.terms, values.tolist(), strict=True))
        self.ledger.step(named, self.current_epoch, self.global_step, alone)
