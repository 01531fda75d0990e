"""What Lightning keeps for itself, touched here and nowhere else.

The form of its checkpoints, so that a run alone goes on from a packed one's and the other way round; the epoch at
which a Trainer begins; and the packages that it asks for callbacks.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.fabric.utilities import registry

# Each Trainer reads the metadata of all that is installed for callbacks to add: once will do
registry.entry_points = cache(registry.entry_points)  # type: ignore[assignment]  # it has overloads


def checkpoint(
    epochs: int,
    steps: int,
    weights: Mapping[str, Any],
    batches: int,
    steps_of_epoch: int,
    finished: bool,
    optimizer: Mapping[str, Any],
    scheduler: Mapping[str, Any] | None,
    interval: str,
    callbacks: Mapping[str, Any],
) -> dict[str, Any]:
    """A checkpoint at the end of an epoch.

    Args:
        epochs: trained so far.
        steps: of the optimizer so far.
        batches: of an epoch, which has so many steps.
        finished: whether it was the last epoch that was asked for.
        interval: after which the schedule is stepped, ``epoch`` or ``step``.
        callbacks: their states by their keys.
    """
    completed = epochs if finished else epochs - 1
    return {
        **chosen(completed, steps, weights),
        "loops": _loops(epochs, completed, steps, batches, steps_of_epoch, interval if scheduler else None),
        "callbacks": dict(callbacks),
        "optimizer_states": [dict(optimizer)],
        "lr_schedulers": [] if scheduler is None else [dict(scheduler)],
    }


def chosen(epoch: int, steps: int, weights: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint that is only evaluated, not gone on from."""
    return {
        "epoch": epoch,
        "global_step": steps,
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": dict(weights),
    }


def with_average(checkpoint: dict[str, Any], weights: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A checkpoint of weights that are an average of so many, beside the present ones, as `WeightAveraging` has it."""
    return {
        **checkpoint,
        "state_dict": dict(weights),
        "current_model_state": checkpoint["state_dict"],
        "averaging_state": {"n_averaged": torch.tensor(count)},
    }


def take_average(checkpoint: dict[str, Any]) -> tuple[dict[str, Any], int] | None:
    """The inverse: takes the average and its count out of a checkpoint, if it has one."""
    if "averaging_state" not in checkpoint:
        return None
    average, checkpoint["state_dict"] = checkpoint["state_dict"], checkpoint.pop("current_model_state")
    return average, int(checkpoint.pop("averaging_state")["n_averaged"])


def epochs_of(checkpoint: Mapping[str, Any]) -> int:
    """How many epochs were trained before the checkpoint."""
    return checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]


def begin_at(trainer: Trainer, epoch: int) -> None:
    """Lets a Trainer's fit begin with this epoch."""
    progress: Any = trainer.fit_loop.epoch_progress.current  # whose declared type has no `processed`
    progress.ready = progress.completed = progress.processed = epoch


def _loops(
    epochs: int, completed: int, steps: int, batches: int, of_epoch: int, interval: str | None
) -> dict[str, Any]:
    def progress(total: int, current: int, *more: str) -> dict[str, dict[str, int]]:
        keys = ("ready", "completed", *more)
        return {"total": dict.fromkeys(keys, total), "current": dict.fromkeys(keys, current)}

    epoch = progress(epochs, epochs, "started", "processed")
    epoch["total"]["completed"], epoch["current"]["completed"] = epochs - 1, completed
    zeros = progress(0, 0)
    scheduled = {"epoch": progress(epochs, 1), "step": progress(steps, of_epoch)}
    fit = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": steps},
        "epoch_loop.batch_progress": progress(epochs * batches, batches, "started", "processed")
        | {"is_last_batch": True},
        "epoch_loop.scheduler_progress": scheduled.get(interval or "", zeros),
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {"step": progress(steps, of_epoch), "zero_grad": progress(steps, of_epoch, "started")}
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": zeros,
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": progress(2, 2, "started", "processed") | {"is_last_batch": True},
        "epoch_progress": epoch,
    }
    none = {"state_dict": {}, "batch_progress": progress(0, 0, "started", "processed")}
    idle = {"state_dict": {}, "batch_progress": none["batch_progress"] | {"is_last_batch": False}}
    return {"fit_loop": fit, "validate_loop": idle, "test_loop": idle, "predict_loop": none}
