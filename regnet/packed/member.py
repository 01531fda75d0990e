"""One run of a pack: everything of it that is not stacked."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from omegaconf import DictConfig
from torch import Tensor

from ..build import Setup
from ..callbacks import AtomicCheckpointIO, LastCheckpoint, MetricsCsv
from ..errors import Diverged
from ..make import make
from ..module import generalization_gap, train_terms
from ..weights import weight_statistics
from .job import Job


class Member:
    """A run's own optimizer settings, schedule, early stopping, best epoch, files and logs.

    Its parameters lie in the pack's `Stack`. The callbacks and loggers are those of a run alone; what they see
    in place of a Trainer is `trainer`.
    """

    def __init__(self, job: Job, cfg: DictConfig, setup: Setup) -> None:
        self.job, self.cfg = job, cfg
        self.data, self.module = setup.data, setup.module
        self.objective = self.module.objective
        self.names = [name for name, _ in self.objective.named_parameters()]
        self.optimizer = self.module.make_optimizer(self.objective.parameters())
        self.scheduler = self.module.make_scheduler(self.optimizer) if self.module.make_scheduler else None
        self.stoppers = [one for one in setup.callbacks.values() if isinstance(one, EarlyStopping)]
        self.others = [one for one in setup.callbacks.values() if not isinstance(one, EarlyStopping)]
        HydraConfig.instance().set_config(job.hydra)  # the folder in the callbacks' paths is this job's
        configured = {name: make(node, f"callbacks.{name}") for name, node in cfg.callbacks.items() if node}
        self.best: ModelCheckpoint | None = configured.get("best")
        self.last: LastCheckpoint | None = configured.get("last")
        self.csv: MetricsCsv | None = configured.get("metrics_csv")
        self.trainer = SimpleNamespace(
            current_epoch=0,
            global_step=0,
            is_global_zero=True,
            sanity_checking=False,
            should_stop=False,
            fast_dev_run=False,
            world_size=1,
            val_check_interval=1.0,
            check_val_every_n_epoch=1,
            callback_metrics={},
            loggers=[],
            state=SimpleNamespace(fn=TrainerFn.FITTING),
            strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision),
        )
        for stopper in self.stoppers:
            stopper.setup(self.trainer, self.module, "fit")
        self.chosen: dict[str, Any] | None = None  # the best checkpoint, as it lies or will lie on disk
        self.saved_best = True
        self.steps_of_epoch = 0
        self.dtype = torch.float32

    @property
    def folder(self) -> Path:
        return self.job.folder

    @property
    def lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def start(self, hyperparameters: Mapping[str, Any], purge_step: int | None) -> None:
        """Opens the logs."""
        from ..hparams import start_session

        purge = {} if purge_step is None else {"purge_step": purge_step + 1}
        HydraConfig.instance().set_config(self.job.hydra)
        self.trainer.loggers = [make(node, f"logger.{name}", **purge) for name, node in self.cfg.logger.items() if node]
        if self.csv:
            self.csv.on_train_start(self.trainer, self.module)
        start_session(self.trainer, hyperparameters)

    def end(self, metrics: Mapping[str, float], completed: bool) -> None:
        """Closes the logs."""
        from ..hparams import end_session

        end_session(self.trainer, metrics, completed)
        for logger in self.trainer.loggers:
            logger.finalize("success" if completed else "failed")

    def check(self, values: Mapping[str, float]) -> None:
        """Raises Diverged as a run alone would."""
        for name, value in values.items():
            if not math.isfinite(value):
                epoch, step = self.trainer.current_epoch, self.trainer.global_step
                raise Diverged(f"{name} became {value} in epoch {epoch}, step {step}")

    def log_step(self, terms: Mapping[str, float]) -> None:
        step = {f"step/{name}": value for name, value in terms.items()}
        self.check(step)
        for logger in self.trainer.loggers:
            logger.log_metrics(step, step=self.trainer.global_step)

    def measure(self, terms: Mapping[str, float], val: tuple[Tensor, Tensor], probe: tuple[Tensor, Tensor]) -> None:
        """An epoch's metrics from its terms' means and the (outputs, targets) of both sets; logs and follows them.

        Raises:
            Diverged: one of them is not finite.
        """
        task = self.objective.loss
        measured = train_terms(dict(terms))
        measured |= {f"weights/{k}": v for k, v in weight_statistics(self.objective.network).items()}
        parts = {name: task.metrics(*outputs) for name, outputs in (("val", val), ("train_eval", probe))}
        for part, metrics in parts.items():
            measured |= {f"{part}/{key}": value for key, value in metrics.items()}
        gap = generalization_gap(parts["train_eval"], parts["val"])
        measured |= {f"gap/{key}": value for key, value in gap.items()}
        self.module.measured = measured
        self.check(measured)
        self.trainer.callback_metrics = {k: torch.tensor(v) for k, v in measured.items() if k.startswith("val/")}
        for logger in self.trainer.loggers:
            logger.log_metrics(measured, step=self.trainer.global_step)
        if self.csv:
            self.csv.on_validation_end(self.trainer, self.module)
        self._choose()
        for stopper in self.stoppers:
            stopper.on_train_epoch_end(self.trainer, self.module)
            stopper.on_validation_end(self.trainer, self.module)

    def end_epoch(self) -> None:
        """Steps the schedule and counts the epoch."""
        if self.scheduler is not None:
            self.optimizer.step()  # of no gradient: it only tells the schedule that a step was made
            self.scheduler.step()
        self.trainer.current_epoch += 1

    def _choose(self) -> None:
        if self.best is None:
            return
        current = self.trainer.callback_metrics[self.best.monitor]
        better = torch.lt if self.best.mode == "min" else torch.gt
        if self.best.best_model_score is not None and not better(current, self.best.best_model_score):
            self.best.current_score = current
            return
        path = str(self.folder / "checkpoints" / "best.ckpt")
        self.best.current_score = self.best.best_model_score = self.best.kth_value = current
        self.best.best_model_path = self.best.kth_best_model_path = path
        self.best.best_k_models = {path: current}
        self.chosen = self._checkpoint()
        self.saved_best = False

    def _checkpoint(self) -> dict[str, Any]:
        """The weights and what was measured with them, in Lightning's form."""
        return {
            "epoch": self.trainer.current_epoch,
            "global_step": self.trainer.global_step,
            "pytorch-lightning_version": lightning.__version__,
            # views of the stack otherwise, which goes on changing, and would be saved as a whole
            "state_dict": {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()},
            "measured": dict(self.module.measured),
        }

    def save(self, optimizer_state: dict[int, Any], steps: int, last: bool = True) -> None:
        """Writes best.ckpt if it has changed, and the whole state as last.ckpt, from which a run alone may go on too."""
        checkpoints, disk = self.folder / "checkpoints", AtomicCheckpointIO()
        if not self.saved_best:
            disk.save_checkpoint(self.chosen, checkpoints / "best.ckpt")
            self.saved_best = True
        if self.last is None or not last:
            return
        self.last.stopped = self.trainer.should_stop
        groups = [
            {key: value for key, value in group.items() if key != "params"} | {"params": list(range(len(self.names)))}
            for group in self.optimizer.param_groups
        ]
        callbacks = [callback for callback in (*self.stoppers, self.best, self.last) if callback]
        state = self._checkpoint() | {
            "loops": _loops(self.trainer.current_epoch, self.trainer.global_step, steps, self.scheduler is not None),
            "callbacks": {callback.state_key: callback.state_dict() for callback in callbacks},
            "optimizer_states": [{"state": optimizer_state, "param_groups": groups}],
            "lr_schedulers": [self.scheduler.state_dict()] if self.scheduler else [],
        }
        disk.save_checkpoint(state, self.last.path)

    def load(self, path: Path) -> dict[int, Any]:
        """Goes on from last.ckpt; the state of the optimizer is returned, for the stacked one."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.module.load_state_dict(state["state_dict"])
        self.module.measured = state["measured"]
        self.trainer.current_epoch, self.trainer.global_step = state["epoch"], state["global_step"]
        for callback in (*self.stoppers, self.best, self.last):
            if callback and callback.state_key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.state_key])
        self.trainer.should_stop = bool(self.last and self.last.stopped)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["lr_schedulers"][0])
        saved = state["optimizer_states"][0]
        for group, before in zip(self.optimizer.param_groups, saved["param_groups"], strict=True):
            group.update({key: value for key, value in before.items() if key != "params"})
        best = self.folder / "checkpoints" / "best.ckpt"
        if self.best and best.exists():
            self.chosen = torch.load(best, map_location="cpu", weights_only=True)
        return saved["state"]


def _loops(epochs: int, steps: int, batches: int, scheduled: bool) -> dict[str, Any]:
    """The progress of Lightning's loops after so many epochs of so many batches, as its checkpoints tell it."""

    def progress(total: int, current: int, *more: str) -> dict[str, dict[str, int]]:
        keys = ("ready", "completed", *more)
        return {"total": dict.fromkeys(keys, total), "current": dict.fromkeys(keys, current)}

    epoch = progress(epochs, epochs, "started", "processed")
    epoch["total"]["completed"] = epoch["current"]["completed"] = epochs - 1
    epoch["current"]["completed"] = epochs
    rest = {"epoch_loop.val_loop.state_dict": {}, "epoch_loop.manual_optimization.state_dict": {}}
    zeros = progress(0, 0)
    fit = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": steps},
        "epoch_loop.batch_progress": progress(steps, batches, "started", "processed") | {"is_last_batch": True},
        "epoch_loop.scheduler_progress": progress(epochs, 1) if scheduled else zeros,
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {"step": progress(steps, batches), "zero_grad": progress(steps, batches, "started")}
        },
        "epoch_loop.manual_optimization.optim_step_progress": zeros,
        "epoch_loop.val_loop.batch_progress": progress(2, 2, "started", "processed") | {"is_last_batch": True},
        "epoch_progress": epoch,
        **rest,
    }
    return {"fit_loop": fit, "validate_loop": _idle(), "test_loop": _idle(), "predict_loop": _idle()}


def _idle() -> dict[str, Any]:
    return {
        "state_dict": {},
        "batch_progress": {
            "total": dict.fromkeys(("ready", "completed", "started", "processed"), 0),
            "current": dict.fromkeys(("ready", "completed", "started", "processed"), 0),
            "is_last_batch": False,
        },
    }


def neighbours(members: Sequence[Member]) -> list[Member]:
    """In an order in which runs that share their batches stand together."""

    def key(member: Member) -> tuple[int, ...]:
        data = member.data
        return len(data.train), data.train.x.data_ptr(), data.seed, member.job.number

    return sorted(members, key=key)
