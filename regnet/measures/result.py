"""What came out of a training: the epoch that validation chose, tested."""

from typing import Any

import torch

from ..data import DataModule
from ..run.checkpoints import load_objective
from ..training.module import RegularizedModule
from .task_metrics import task_metrics


def result(
    module: RegularizedModule, data: DataModule, chosen: dict[str, Any], epochs: int, device: torch.device
) -> dict[str, Any]:
    """For the record: the chosen checkpoint's metrics of its time, and on test, looked at only now.

    Args:
        module: gets the chosen weights.
        epochs: that were trained.
    """
    load_objective(module.objective, chosen)
    test = task_metrics(module.objective, data.test_dataloader(), device=device)
    return {
        "status": "completed",
        "epochs": epochs,
        "best_epoch": min(chosen["epoch"], epochs - 1),  # after the last epoch last.ckpt has the next number
        "metrics": {**module.ledger.record(chosen["measured"]), "test": test},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
