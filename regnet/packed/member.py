"""One run of a pack: everything of it that is not stacked."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..compose.build import Setup
from ..compose.make import make
from ..compose.trainer import build_loggers
from ..core.files import CannotWrite
from ..core.metrics import TIES
from ..run import lightning_state
from ..run.checkpoints import PREFIX, read_checkpoint
from ..run.events import EventFile
from ..run.ledger import training_state
from ..run.life import Run
from ..run.loggers import break_off, end_session, hyperparameters, start_session
from ..training.callbacks import (
    AtomicCheckpointIO,
    BestCheckpoint,
    EarlyStopping,
    LastCheckpoint,
    MetricsCsv,
    Snapshots,
)
from ..training.callbacks.averages import Average
from ..training.callbacks.others import FromStart, Moment
from .job import Job

Tensors = dict[str, Tensor]
Metrics = Mapping[str, float]


class Trained(NamedTuple):
    """The states of an objective: of the epoch that was chosen, None where it is the last; and of the last."""

    best: Tensors | None
    last: Tensors


class Member:
    """A run's own optimizer settings, schedule, early stopping, choice of the best epoch, files and logs.

    Its parameters lie in the pack's `Stack`. What decides and what writes are the same objects as of a run alone.

    Attributes:
        epoch: how many were trained, of `epochs`, of `batches` and `steps` each.
        step: how many the optimizer made.
        stopped: whether it is to train no further.
    """

    def __init__(self, job: Job, cfg: DictConfig, setup: Setup, run: Run) -> None:
        self.job, self.cfg, self.run = job, cfg, run
        self.data, self.module, self.measures = setup.data, setup.module, setup.measures
        self.objective, self.ledger = self.module.objective, self.module.ledger
        self.names = [name for name, _ in self.objective.named_parameters()]
        self.optimizer = self.module.make_optimizer(self.objective.parameters())
        self.scheduler = self.module.make_scheduler(self.optimizer) if self.module.make_scheduler else None
        self.optimizer.step()  # without gradients: it only tells the schedule that steps are made
        self.rates: list[float] = []  # of learning, in the last step, where the schedule has moved them since
        callbacks = setup.regularizers.callbacks.values()
        self.stoppers = [one for one in callbacks if isinstance(one, EarlyStopping)]
        self.makers = [one for one in callbacks if isinstance(one, FromStart)]
        self.others = [one for one in callbacks if not isinstance(one, EarlyStopping | FromStart)]
        self.average = next((one for one in callbacks if isinstance(one, Average)), None)
        self.averaged: tuple[Tensors, int] | None = None  # the average and its count, where the run goes on with one
        self.snapshots = next((one for one in callbacks if isinstance(one, Snapshots)), None)
        self.accumulates, self.batches = cfg.trainer.accumulate_grad_batches or 1, self.data.batches()
        self.epochs, self.steps = cfg.trainer.max_epochs, -(-self.batches // self.accumulates)
        self.logged = -1  # the last step whose terms were
        self.best: BestCheckpoint | None = self._callback("best")
        self.last: LastCheckpoint | None = self._callback("last")
        self.csv: MetricsCsv | None = self._callback("metrics_csv")
        self.epoch = self.step = 0
        self.stopped = False
        self.chosen: dict[str, Any] | None = None  # what best.ckpt has beside the weights, which the stack remembers
        self.beside: Tensors = {}  # of `chosen`: what has changed by then beside the objective
        self.unsaved_best = False
        self.loggers: dict[str, Any] = {}
        self.resumed: dict[str, Any] | None = None  # the checkpoint from which the run goes on, without its weights

    def start(self) -> None:
        """Opens the logs. Raises UserError: a logger fails."""
        if self.csv:
            self.ledger.open(self.csv.path)
        loggers = build_loggers(self.cfg, self.resumed)
        purge_step = self.step + 1 if self.resumed else None
        self.loggers = {
            name: EventFile(Path(one.log_dir), purge_step) if isinstance(one, TensorBoardLogger) else one
            for name, one in loggers.items()
        }
        for maker in self.makers:
            maker.plan(self.epochs * self.steps, self.optimizer.param_groups)
        self.ledger.stores = start_session(self.loggers, hyperparameters(self.cfg))
        self.ledger.listeners = list(self.loggers.values())

    def end(self, metrics: Mapping[str, Any]) -> None:
        """Closes the logs of a run that has its result."""
        self.ledger.flush()
        end_session(self.loggers, metrics, self.step)

    def break_off(self, goes_on: bool = False) -> None:
        """Closes the logs of a run that has no result, or not yet."""
        with suppress(CannotWrite):
            self.ledger.flush()
        break_off(self.loggers, goes_on)

    def release(self) -> None:
        """Lets go of network and optimizer, which hold on to the memory of the whole stack."""
        del self.module, self.objective, self.optimizer, self.scheduler

    def flush(self) -> None:
        """Brings the logs up to date on disk."""
        self.ledger.flush()
        for logger in self.loggers.values():
            logger.save()

    def log_step(self, terms: Metrics) -> None:
        """Raises Diverged: a term is not finite."""
        self.logged = self.step
        self.ledger.step(terms, self.epoch, self.step)

    @property
    def moment(self) -> Moment:
        return Moment(self.epoch, self.epochs, self.step, self.step % self.steps == 0)

    def begin_step(self) -> bool:
        """Whether a callback has changed the optimizer's settings."""
        if not self.makers:
            return False
        before = self._rates()
        for maker in self.makers:
            maker.set_rates(self.moment, self.optimizer.param_groups)
        return self._rates() != before

    def end_step(self) -> bool:
        """Counts a step of the optimizer; whether the schedule has changed the settings of the next one."""
        self.step += 1
        if self.snapshots and self.snapshots.due(self.moment):
            self.snapshots.ensemble.take()
        if self.scheduler is None or self.module.interval != "step":
            return False
        self.rates = self._rates()
        self.scheduler.step()
        return True

    def end_epoch(self, terms: Metrics, weights: Metrics, val: Metrics, probe: Metrics) -> bool:
        """Logs an epoch's metrics and follows them; returns whether the epoch is the best.

        Raises:
            Diverged: one of them is not finite.
        """
        state = training_state(terms, weights, self.rates or self._rates(), self.module.schedules.values())
        self.ledger.validated(self.epoch, self.step, state, val, probe)
        self.ledger.enter(self.epoch, self.step)
        loss = self._watched(TIES)
        choosable = all(maker.begun(self.moment) for maker in self.makers)
        monitor = self.best.monitor if self.best and choosable else None
        best = self.best is not None and monitor is not None and self.best.improves(self._watched(monitor), loss)
        if self.best and best:
            self.best.saved_step = self.step
            self.chosen, self.unsaved_best = self.progress(), True
            self.beside = self._beside()
        for stopper in self.stoppers:
            if choosable:
                stopper.watch(self.epoch, self._watched(stopper.monitor), loss)
            self.stopped |= stopper.exhausted(self.epoch)
        if self.scheduler is not None and self.module.interval == "epoch":
            if isinstance(self.scheduler, ReduceLROnPlateau) and self.module.monitor:
                self.scheduler.step(torch.tensor(self._watched(self.module.monitor)))
            else:
                self.scheduler.step()
        self.epoch += 1
        return best

    def save(
        self,
        best: Tensors | None,
        last: Tensors | None,
        optimizer_state: dict[int, Any],
        averaged: tuple[Tensors, int] | None = None,
    ) -> None:
        """Writes best.ckpt if it has changed, and the whole state as last.ckpt, from which a run alone may go on too.

        Args:
            best: the objective's state at its best; None where there is none yet.
            last: its present state; None is not to be gone on from.
            averaged: the average that stands for `last`, and its count.
        """
        disk = AtomicCheckpointIO()
        if self.unsaved_best and best and self.best and self.chosen:
            disk.save_checkpoint(self.chosen | {"state_dict": self._whole(best) | self.beside}, self.best.path)
            self.unsaved_best = False
        if self.last is None or last is None:
            return
        self.last.stopped = self.stopped
        if self.average:
            self.average._latest_update_step = self.step
        groups = [
            {key: value for key, value in group.items() if key != "params"} | {"params": list(range(len(self.names)))}
            for group in self.optimizer.param_groups
        ]
        state = lightning_state.checkpoint(
            self.epoch,
            self.step,
            self._whole(last),
            batches=self.batches,
            steps_of_epoch=self.steps,
            finished=self.epoch == self.epochs,
            optimizer={"state": optimizer_state, "param_groups": groups},
            scheduler=self.scheduler.state_dict() if self.scheduler else None,
            interval=self.module.interval,
            callbacks={callback.state_key: callback.state_dict() for callback in self._with_state()},
        )
        if averaged:
            state = lightning_state.with_average(state, self._whole(averaged[0]), averaged[1])
        disk.save_checkpoint(state | self.ledger.state_dict(), self.last.path)

    def load(self, path: Path) -> tuple[dict[int, Any], Tensors | None]:
        """Goes on from last.ckpt; returns the state of the optimizer and the objective's best, for the stacked ones."""
        state = read_checkpoint(path)
        self.averaged = lightning_state.take_average(state)
        if any(state["state_dict"][PREFIX + name].dtype == torch.float64 for name in self.names):
            self.module.double()
        self.module.load_state_dict(state.pop("state_dict"))
        self.resumed = {name: state[name] for name in ("global_step", "loggers") if name in state}
        self.ledger.load_state_dict(state)
        self.epoch, self.step = lightning_state.epochs_of(state), state["global_step"]
        for callback in self._with_state():
            if callback.state_key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.state_key])
        self.stopped = bool(self.last and self.last.stopped)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["lr_schedulers"][0])
        saved = state["optimizer_states"][0]
        for group, before in zip(self.optimizer.param_groups, saved["param_groups"], strict=True):
            group.update({key: value for key, value in before.items() if key != "params"})
        if not (self.best and Path(self.best.path).exists()):
            return saved["state"], None
        self.chosen = read_checkpoint(Path(self.best.path))
        weights = self.chosen.pop("state_dict")
        return saved["state"], {k.removeprefix(PREFIX): v for k, v in weights.items() if k.startswith(PREFIX)}

    def progress(self) -> dict[str, Any]:
        """A checkpoint without its weights."""
        return lightning_state.chosen(self.epoch, self.step, {}) | self.ledger.state_dict()

    def _whole(self, objective: Tensors) -> Tensors:
        rest = self.module.state_dict()
        state = {name: objective.get(name.removeprefix(PREFIX), tensor) for name, tensor in rest.items()}
        # copies, because of a view of the stack the whole stack would be saved
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    def _beside(self) -> Tensors:
        parts = {f"{name}.": self.module.get_submodule(name) for name in ("updates", "transforms")}
        states = [part.state_dict(prefix=prefix) for prefix, part in parts.items()]
        return {name: tensor.clone() for state in states for name, tensor in state.items()}

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _watched(self, monitor: str) -> float:
        """In float32, as Lightning keeps metrics for its callbacks."""
        return torch.tensor(self.ledger.measured[monitor]).item()

    def _with_state(self) -> list[Any]:
        return [callback for callback in (*self.stoppers, *self.makers, self.best, self.last) if callback]

    def _callback(self, name: str) -> Any:
        return make(self.cfg.callbacks[name], f"callbacks.{name}") if self.cfg.callbacks.get(name) else None
