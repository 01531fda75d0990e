"""What Lightning's checkpoints hold beside weights and optimizer: so that a run alone goes on from a packed one's."""

from typing import Any


def loops(epochs: int, completed: int, steps: int, batches: int, interval: str | None) -> dict[str, Any]:
    """The progress of Lightning's loops after so many epochs, and steps, of so many batches each.

    `completed` is one epoch less, unless it was the last one that was asked for. A learning-rate schedule is stepped
    after each `interval`, ``epoch`` or ``step``; None is none.
    """

    def progress(total: int, current: int, *more: str) -> dict[str, dict[str, int]]:
        keys = ("ready", "completed", *more)
        return {"total": dict.fromkeys(keys, total), "current": dict.fromkeys(keys, current)}

    epoch = progress(epochs, epochs, "started", "processed")
    epoch["total"]["completed"], epoch["current"]["completed"] = epochs - 1, completed
    zeros = progress(0, 0)
    fit = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": steps},
        "epoch_loop.batch_progress": progress(steps, batches, "started", "processed") | {"is_last_batch": True},
        "epoch_loop.scheduler_progress": {"epoch": progress(epochs, 1), "step": progress(steps, batches)}.get(
            interval, zeros
        ),
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {"step": progress(steps, batches), "zero_grad": progress(steps, batches, "started")}
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


def epochs_of(checkpoint: dict[str, Any]) -> int:
    """How many epochs were trained before the checkpoint."""
    return checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
