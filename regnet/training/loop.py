"""Several steps of the optimizer between two looks of Lightning."""

import math
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor

from .callbacks import NoProfiler
from .gradients import Gradients
from .module import RegularizedModule

OF_STEP = (  # what a callback or a module may do at every step
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_start",
    "on_train_batch_end",
)
OF_MODULE = (
    *(name for name in OF_STEP if name != "on_train_batch_end"),
    "training_step",
    "backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
)


class EpochLoop(_TrainingEpochLoop):
    """Lightning's loop over the batches of an epoch, which makes most steps without Lightning's hooks.

    Lightning takes .5 to 1 ms for the hooks of a step. Here a step that ends an epoch, is logged, is validated behind,
    or is the last of all goes through them; those between go by `RegularizedModule.step`, with bitwise the same
    results. All do where anything asks for a hook at every step: a callback that is not regnet's, a profiler or a
    search for anomalies, clipping or accumulation by the Trainer, several devices, a scaled loss, a module derived from
    `RegularizedModule` that has hooks of its own.

    Args:
        steps: of the optimizer, at most, from one with hooks to the next; None for as many as there may be.
    """

    def __init__(self, trainer: Trainer, steps: int | None = None) -> None:
        super().__init__(trainer)
        self.steps = steps
        self.gradients: Gradients | None = None

    @classmethod
    def install(cls, trainer: Trainer, steps: int | None = None) -> None:
        """In place of the loop that `trainer` has."""
        before = trainer.fit_loop.epoch_loop
        loop = cls(trainer, steps)
        loop.min_steps, loop.max_steps = before.min_steps, before.max_steps
        trainer.fit_loop.epoch_loop = loop

    def advance(self, data_fetcher: _DataFetcher) -> None:
        callbacks = None if self.restarting else self._callbacks()
        if callbacks is not None and (ahead := self._ahead()) > 0:
            module: RegularizedModule = self.trainer.lightning_module  # type: ignore[assignment]  # see `_callbacks`
            if self.gradients is None or self.gradients.objective is not module.objective:
                self.gradients = Gradients(module.objective)
            self.gradients.look()
            for _ in range(ahead):
                self._step(data_fetcher, module, self.gradients, callbacks)
        super().advance(data_fetcher)

    def _ahead(self) -> int:
        """How many batches there are before the next one that Lightning is to see."""
        trainer: Any = self.trainer  # of whose attributes it declares some
        done, steps = self.batch_progress.current.ready, self.global_step
        last = trainer.num_training_batches - done
        seen = done if trainer.check_val_every_n_epoch else self.batch_progress.total.ready
        validated = trainer.val_check_batch - seen % trainer.val_check_batch
        every = trainer.log_every_n_steps  # 0 is never
        logged = -steps % every + 1 if every else math.inf
        limit = self.max_steps - steps if self.max_steps != -1 else math.inf
        return int(min(last, validated, logged, limit, self.steps or math.inf)) - 1

    def _callbacks(self) -> list[Callback] | None:
        """Those that act at a step, all regnet's; None where Lightning has to see each step."""
        trainer: Any = self.trainer
        module = trainer.lightning_module
        acting = [one for one in trainer.callbacks if any(_overrides(one, Callback, name) for name in OF_STEP)]
        precision = trainer.precision_plugin
        quick = (
            isinstance(module, RegularizedModule)
            and not any(_overrides(module, RegularizedModule, name) for name in OF_MODULE)
            and all(type(one).__module__.startswith("regnet.") for one in acting)
            and type(trainer.strategy) is SingleDeviceStrategy
            and not (isinstance(precision, MixedPrecision) and precision.scaler)
            and type(trainer.profiler) is NoProfiler
            and trainer.accumulate_grad_batches == 1
            and trainer.gradient_clip_val is None
            and trainer._val_check_time_interval is None
            and not trainer.should_stop
            and math.isfinite(trainer.num_training_batches)  # else no step knows whether it is the last
            and not torch.is_anomaly_enabled()  # which looks at each step of autograd
        )
        return acting if quick else None

    def _step(
        self, data_fetcher: _DataFetcher, module: RegularizedModule, gradients: Gradients, callbacks: list[Callback]
    ) -> None:
        trainer = self.trainer
        batch, _, _ = next(data_fetcher)
        index = self.batch_idx + 1
        self.batch_progress.is_last_batch = data_fetcher.done
        batch = trainer.precision_plugin.convert_input(batch)
        batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
        self.batch_progress.increment_ready()
        for callback in callbacks:
            callback.on_train_batch_start(trainer, module, batch, index)
        self.batch_progress.increment_started()
        progress = self.automatic_optimization.optim_progress.optimizer
        precision = trainer.precision_plugin.train_step_context

        def computed(x: Tensor, y: Tensor) -> Tensor:
            progress.zero_grad.increment_ready()
            progress.zero_grad.increment_started()
            values = gradients(x, y, precision)
            progress.zero_grad.increment_completed()
            return values

        progress.step.increment_ready()
        module.step(batch, trainer.optimizers[0], precision, computed)
        progress.step.increment_completed()
        self.batch_progress.increment_processed()
        self.update_lr_schedulers("step", update_plateau_schedulers=False)
        for callback in callbacks:
            callback.on_train_batch_end(trainer, module, {}, batch, index)
        self.batch_progress.increment_completed()
        self._batches_that_stepped += 1


def _overrides(one: Any, kind: type, name: str) -> bool:
    return name in vars(one) or getattr(type(one), name) is not getattr(kind, name)
