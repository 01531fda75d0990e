"""One run of a pack: everything of it that is not stacked."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from omegaconf import DictConfig
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..compose.build import Setup
from ..compose.make import make
from ..core.errors import Diverged
from ..run.events import EventFile
from ..run.hparams import final_scalars, session_end, session_start
from ..run.lightning_state import epochs_of, loops
from ..training.callbacks import AtomicCheckpointIO, LastCheckpoint, MetricsCsv
from ..training.module import generalization_gap, learning_rates, train_terms
from .job import Job

Tensors = dict[str, Tensor]
NETWORK = "objective."


class Member:
    """A run's own optimizer settings, schedule, early stopping, choice of the best epoch, files and logs.

    Its parameters lie in the pack's `Stack`. The callbacks are those of a run alone, which are told what they
    look at in place of a Trainer: `trainer`.
    """

    def __init__(self, job: Job, cfg: DictConfig, setup: Setup) -> None:
        self.job, self.cfg = job, cfg
        self.data, self.module = setup.data, setup.module
        self.objective = self.module.objective
        self.names = [name for name, _ in self.objective.named_parameters()]
        self.optimizer = self.module.make_optimizer(self.objective.parameters())
        self.scheduler = self.module.make_scheduler(self.optimizer) if self.module.make_scheduler else None
        self.optimizer.step()  # of no gradient: it only tells the schedule that steps are made
        self.rates: list[float] = []  # of learning, in the last step, where the schedule has moved them since
        callbacks = setup.regularizers.callbacks.values()
        self.stoppers = [one for one in callbacks if isinstance(one, EarlyStopping)]
        self.others = [one for one in callbacks if not isinstance(one, EarlyStopping)]
        self.best: ModelCheckpoint | None = self._callback("best")
        self.last: LastCheckpoint | None = self._callback("last")
        self.csv: MetricsCsv | None = self._callback("metrics_csv")
        self.events: EventFile | None = None
        self.rows: list[dict[str, float]] = []  # of metrics.csv, not yet written
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
            state=SimpleNamespace(fn="fit"),
            strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision),
        )
        for stopper in self.stoppers:
            stopper.setup(self.trainer, self.module, "fit")
        self.chosen: dict[str, Any] | None = None  # what best.ckpt has beside the weights, which the stack remembers
        self.unsaved_best = False

    @property
    def folder(self) -> Path:
        return self.job.folder

    def start(self, hyperparameters: Mapping[str, Any], resumed: bool) -> None:
        """Opens the logs."""
        if self.csv:
            self.csv.on_train_start(self.trainer, self.module)
        if self.cfg.logger.get("tensorboard"):
            self.events = EventFile(self.folder, purge_step=self.trainer.global_step + 1 if resumed else None)
            self.events.add(session_start(hyperparameters))

    def end(self, metrics: Mapping[str, float], completed: bool) -> None:
        """Closes the logs."""
        if self.events:
            self.events.scalars(final_scalars(metrics), self.trainer.global_step)
            self.events.add(session_end(completed))
        self.flush()

    def release(self) -> None:
        """Lets go of network and optimizer, which hold on to the memory of the whole stack."""
        del self.module, self.objective, self.optimizer, self.scheduler

    def flush(self) -> None:
        """Brings the logs up to date on disk."""
        if self.csv:
            self.csv.append(self.rows)
            self.rows = []
        if self.events:
            self.events.flush()

    def check(self, values: Mapping[str, float]) -> None:
        """Raises Diverged as a run alone would."""
        for name, value in values.items():
            if not math.isfinite(value):
                epoch, step = self.trainer.current_epoch, self.trainer.global_step
                raise Diverged(f"{name} became {value} in epoch {epoch}, step {step}")

    def log_step(self, terms: Mapping[str, float]) -> None:
        step = {f"step/{name}": value for name, value in terms.items()}
        self.check(step)
        if self.events:
            self.events.scalars(step, self.trainer.global_step)

    def measure(
        self,
        terms: Mapping[str, float],
        weights: Mapping[str, float],
        val: Mapping[str, float],
        probe: Mapping[str, float],
    ) -> bool:
        """Logs an epoch's metrics and follows them; returns whether the epoch is the best.

        Raises:
            Diverged: one of them is not finite.
        """
        measured = train_terms(dict(terms)) | {f"weights/{key}": value for key, value in weights.items()}
        measured |= learning_rates(self.rates or self._rates())
        measured |= self.module.schedules.values()
        for part, metrics in (("val", val), ("train_eval", probe), ("gap", generalization_gap(probe, val))):
            measured |= {f"{part}/{key}": value for key, value in metrics.items()}
        self.module.measured = measured
        self.check(measured)
        # in float32, as Lightning keeps them for its callbacks
        self.trainer.callback_metrics = {f"val/{key}": torch.tensor(value) for key, value in val.items()}
        if self.events:
            self.events.scalars(measured, self.trainer.global_step)
        self.rows.append({"epoch": self.trainer.current_epoch, "step": self.trainer.global_step, **measured})
        best = self.best is not None and self._is_best()
        for stopper in self.stoppers:
            stopper.on_validation_end(self.trainer, self.module)
            stopper.on_train_epoch_end(self.trainer, self.module)
        return best

    def end_step(self) -> bool:
        """Counts a step of the optimizer; whether the schedule has changed the settings of the next one."""
        self.trainer.global_step += 1
        if self.scheduler is None or self.module.interval != "step":
            return False
        self.rates = self._rates()
        self.scheduler.step()
        return True

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def end_epoch(self) -> None:
        """Steps the schedule, where it goes by epochs, and counts the epoch."""
        if self.scheduler is not None and self.module.interval == "epoch":
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(self.trainer.callback_metrics[self.module.monitor])
            else:
                self.scheduler.step()
        self.trainer.current_epoch += 1

    def save(self, best: Tensors | None, last: Tensors | None, optimizer_state: dict[int, Any], steps: int) -> None:
        """Writes best.ckpt if it has changed, and the whole state as last.ckpt, from which a run alone may go on too.

        Args:
            best: the objective's state at its best; None where there is none yet.
            last: its present state; None is not to be gone on from.
            steps: of an epoch.
        """
        disk = AtomicCheckpointIO()
        if self.unsaved_best and best:
            disk.save_checkpoint(self._with_weights(self.chosen, best), self.folder / "checkpoints" / "best.ckpt")
            self.unsaved_best = False
        if self.last is None or last is None:
            return
        self.last.stopped = self.trainer.should_stop
        groups = [
            {key: value for key, value in group.items() if key != "params"} | {"params": list(range(len(self.names)))}
            for group in self.optimizer.param_groups
        ]
        callbacks = [callback for callback in (*self.stoppers, self.best, self.last) if callback]
        epochs = self.trainer.current_epoch
        interval = self.module.interval if self.scheduler else None
        completed = epochs if epochs == self.cfg.trainer.max_epochs else epochs - 1
        state = self._with_weights(self.progress() | {"epoch": completed}, last) | {
            "loops": loops(epochs, completed, self.trainer.global_step, steps, interval),
            "callbacks": {callback.state_key: callback.state_dict() for callback in callbacks},
            "optimizer_states": [{"state": optimizer_state, "param_groups": groups}],
            "lr_schedulers": [self.scheduler.state_dict()] if self.scheduler else [],
        }
        disk.save_checkpoint(state, self.last.path)

    def load(self, path: Path) -> tuple[dict[int, Any], Tensors | None]:
        """Goes on from last.ckpt; returns the state of the optimizer and the objective's best, for the stacked ones."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        if any(state["state_dict"][NETWORK + name].dtype == torch.float64 for name in self.names):
            self.module.double()
        self.module.load_state_dict(state["state_dict"])
        self.module.measured = state["measured"]
        self.trainer.current_epoch, self.trainer.global_step = epochs_of(state), state["global_step"]
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
        if not (self.best and best.exists()):
            return saved["state"], None
        chosen = torch.load(best, map_location="cpu", weights_only=True)
        weights = chosen.pop("state_dict")
        self.chosen = chosen
        return saved["state"], {k.removeprefix(NETWORK): v for k, v in weights.items() if k.startswith(NETWORK)}

    def progress(self) -> dict[str, Any]:
        """A checkpoint in Lightning's form, without its weights."""
        return {
            "epoch": self.trainer.current_epoch,
            "global_step": self.trainer.global_step,
            "pytorch-lightning_version": lightning.__version__,
            "measured": dict(self.module.measured),
        }

    def _with_weights(self, progress: dict[str, Any], objective: Tensors) -> dict[str, Any]:
        rest = self.module.state_dict()
        state = {name: objective.get(name.removeprefix(NETWORK), tensor) for name, tensor in rest.items()}
        # views of the stack otherwise, which would be saved as a whole
        return progress | {"state_dict": {name: tensor.detach().clone() for name, tensor in state.items()}}

    def _is_best(self) -> bool:
        current = self.trainer.callback_metrics[self.best.monitor]
        better = torch.lt if self.best.mode == "min" else torch.gt
        self.best.current_score = current
        if self.best.best_model_score is not None and not better(current, self.best.best_model_score):
            return False
        path = str(self.folder / "checkpoints" / "best.ckpt")
        self.best.best_model_score = self.best.kth_value = current
        self.best.best_model_path = self.best.kth_best_model_path = path
        self.best.best_k_models = {path: current}
        self.chosen, self.unsaved_best = self.progress(), True
        return True

    def _callback(self, name: str) -> Any:
        return make(self.cfg.callbacks[name], f"callbacks.{name}") if self.cfg.callbacks.get(name) else None
